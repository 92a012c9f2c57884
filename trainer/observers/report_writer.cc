#include "protopage/trainer/observers/report_writer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/text_table.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/observers/progress_observer.h"

namespace protopage {
namespace {

using Json = nlohmann::ordered_json;

// Colours are variables, so that light, dark and paper differ in one place.
constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --text: #1b1f24; --soft: #59636e;
  --page: #ffffff; --panel: #f6f8fa; --line: #d1d9e0; --loss: #0b62c4;
  --accuracy: #1a7f37; --better: #1a7f37; --worse: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9aa4af;
  --page: #0d1117; --panel: #161b22; --line: #30363d; --loss: #6cb0ff;
  --accuracy: #4ac26b; --better: #4ac26b; --worse: #ff8a80; } }
@media print { :root { color-scheme: light; --text: #000; --soft: #444;
  --page: #fff; --panel: #fff; --line: #bbb; --loss: #0b62c4;
  --accuracy: #1a7f37; --better: #1a7f37; --worse: #b3261e; }
  section, figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; color: var(--text);
  background: var(--page); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .25rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
p { margin: .25rem 0 .75rem; color: var(--soft); }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0; padding: .75rem; background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; }
figcaption { display: flex; justify-content: space-between; gap: 1rem;
  font-weight: 600; }
figcaption span { font-weight: 400; color: var(--soft); }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg polyline { fill: none; stroke-linejoin: round; }
.loss { stroke: var(--loss); } .accuracy { stroke: var(--accuracy); }
.raw { stroke-width: 1; opacity: .35; } .smooth { stroke-width: 2.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 0 .35rem 1rem; text-align: right;
  overflow-wrap: normal; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { white-space: nowrap; } tbody wbr { white-space: normal; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
@media (max-width: 30rem) { table { font-size: .85rem; }
  th, td { padding-left: .6rem; } }
.better { color: var(--better); } .worse { color: var(--worse); }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--soft); }
pre { margin: .5rem 0; padding: .75rem; background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; font-size: .8rem;
  white-space: pre-wrap; }
)";

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string EscapedJson(const Json& json) {
  return Escape(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

double Number(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : kUnknown;
}

int64_t Integer(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<int64_t>() : 0;
}

std::string Text(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

// 950, 1.5k, 2M: short enough for an axis.
std::string ShortCount(double count) {
  if (std::abs(count) >= 1e6) return absl::StrFormat("%gM", count / 1e6);
  if (std::abs(count) >= 1e3) return absl::StrFormat("%gk", count / 1e3);
  return absl::StrFormat("%g", count);
}

struct Point {
  double x;
  double y;
};

// One stage, as its lines in metrics.jsonl tell it.
struct Stage {
  std::string name;
  std::string kind;
  int64_t steps = 0;
  double seconds = 0;  // Of the logged steps, or of the stage when it is longer.
  double images = 0;
  double step_seconds = 0;
  double wait_images_seconds = 0;
  double wait_rows_seconds = 0;
  int64_t skipped_steps = 0;
  std::vector<Point> loss;  // Over steps of the stage.
  std::vector<Point> accuracy;
};

// By index. Means over steps of unknown times stay at 0 and are not shown.
std::map<int64_t, Stage> CollectStages(absl::Span<const Json> metrics) {
  std::map<int64_t, Stage> stages;
  const auto add = [](const Json& line, const char* key, double& sum) {
    const double value = Number(line, key);
    if (std::isfinite(value)) sum += value;
  };
  for (const Json& line : metrics) {
    if (!line.is_object()) continue;
    const std::string kind = Text(line, "kind");
    if (kind == "checkpoint") continue;  // Its stage_index may be the next stage's.
    Stage& stage = stages[Integer(line, "stage_index")];
    stage.name = Text(line, "stage");
    if (kind == "step") {
      const auto x = static_cast<double>(Integer(line, "stage_step"));
      stage.steps = std::max(stage.steps, Integer(line, "stage_step"));
      const double loss = Number(line, "loss");
      const double accuracy = Number(line, "accuracy");
      if (std::isfinite(loss)) stage.loss.push_back({x, loss});
      if (std::isfinite(accuracy)) stage.accuracy.push_back({x, accuracy});
      add(line, "images", stage.images);
      add(line, "seconds", stage.step_seconds);
      add(line, "wait_images_seconds", stage.wait_images_seconds);
      add(line, "wait_rows_seconds", stage.wait_rows_seconds);
      stage.skipped_steps = std::max(stage.skipped_steps, Integer(line, "skipped_steps"));
    } else if (kind == "stage_start" || kind == "stage_end") {
      stage.kind = Text(line, "stage_kind");
      add(line, "seconds", stage.seconds);
    }
  }
  for (auto& entry : stages) {
    entry.second.seconds = std::max(entry.second.seconds, entry.second.step_seconds);
  }
  return stages;
}

// At most `limit` points: each the mean of consecutive ones.
std::vector<Point> Thinned(const std::vector<Point>& points, size_t limit) {
  if (points.size() <= limit) return points;
  std::vector<Point> out;
  for (size_t i = 0; i < limit; ++i) {
    const size_t begin = i * points.size() / limit;
    const size_t end = (i + 1) * points.size() / limit;
    Point mean{0, 0};
    for (size_t j = begin; j < end; ++j) {
      mean.x += points[j].x / static_cast<double>(end - begin);
      mean.y += points[j].y / static_cast<double>(end - begin);
    }
    out.push_back(mean);
  }
  return out;
}

// Means over the points at most `radius` places away. Near the start, where curves are steep,
// over fewer, so that the window stays centred.
std::vector<Point> Smoothed(const std::vector<Point>& points, size_t radius) {
  std::vector<Point> out;
  for (size_t i = 0; i < points.size(); ++i) {
    const size_t begin = i - std::min(radius, i);
    const size_t end = std::min(i + (i - begin) + 1, points.size());
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += points[j].y;
    out.push_back({points[i].x, sum / static_cast<double>(end - begin)});
  }
  return out;
}

// The distance of about `count` ticks over `range`: 1, 2 or 5 times a power of
// ten.
double TickStep(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

// A figure with the curve of `points`, at least one. `name` is also the CSS
// class that colours it.
std::string Chart(absl::string_view name, const std::vector<Point>& points) {
  // In units of the SVG: small enough that the text is readable when the
  // figure is as narrow as a phone.
  constexpr double kWidth = 400, kHeight = 230;
  constexpr double kLeft = 44, kRight = 12, kTop = 12, kBottom = 38;
  const std::vector<Point> raw = Thinned(points, 400);
  const std::vector<Point> smooth = raw.size() >= 50 ? Smoothed(raw, raw.size() / 40) : raw;

  // The first losses may be many times the rest, so the range is the one of the
  // smooth curve; the raw one is cut off at the frame.
  double low = smooth[0].y, high = smooth[0].y;
  for (const Point& point : smooth) {
    low = std::min(low, point.y);
    high = std::max(high, point.y);
  }
  if (high - low < 1e-9 * std::max(std::abs(high), 1e-3)) {
    const double half = std::max(std::abs(high) / 10, 1e-3);
    low -= half;
    high += half;
  }
  const double y_step = TickStep(high - low, 5);
  low = std::floor(low / y_step) * y_step;
  high = std::ceil(high / y_step) * y_step;
  const double first = raw.front().x;
  const double last = std::max(raw.back().x, first + 1);

  const auto x_of = [&](double x) {
    return kLeft + (kWidth - kLeft - kRight) * (x - first) / (last - first);
  };
  const auto y_of = [&](double y) {
    return kHeight - kBottom -
           (kHeight - kTop - kBottom) * std::min(1.0, std::max(0.0, (y - low) / (high - low)));
  };
  const auto polyline = [&](const std::vector<Point>& line, absl::string_view weight) {
    std::string out = absl::StrCat("<polyline class=\"", name, " ", weight, "\" points=\"");
    for (const Point& point : line) {
      absl::StrAppendFormat(&out, "%.1f,%.1f ", x_of(point.x), y_of(point.y));
    }
    return out + "\"/>\n";
  };

  const double final_value = smooth.back().y;
  std::string out = absl::StrFormat(
      "<figure><figcaption>%s <span>%.4g at the end</span></figcaption>\n"
      "<svg viewBox=\"0 0 %g %g\" role=\"img\">\n"
      "<title>%s over steps: from %.4g to %.4g</title>\n",
      name, final_value, kWidth, kHeight, name, smooth.front().y, final_value);
  const int y_ticks = static_cast<int>(std::lround((high - low) / y_step));
  for (int i = 0; i <= y_ticks; ++i) {
    // Rounded to the step, so that 0.30000000000000004 is 0.3.
    const double value = std::round(low / y_step + i) * y_step;
    absl::StrAppendFormat(&out,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, kWidth - kRight, y_of(value), y_of(value), kLeft - 6,
                          y_of(value) + 4, absl::StrFormat("%.6g", value == 0 ? 0 : value));
  }
  // Half a tick's label fits on either side of its place.
  const double x_step = std::max(1.0, TickStep(last - first, 6));
  for (double x = std::ceil(first / x_step) * x_step; x <= last; x += x_step) {
    absl::StrAppendFormat(&out,
                          "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s"
                          "</text>\n",
                          x_of(x), kHeight - kBottom + 16, ShortCount(x));
  }
  absl::StrAppendFormat(&out, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">steps</text>\n",
                        kWidth - kRight, kHeight - 6);
  if (smooth.size() == 1) {
    absl::StrAppendFormat(&out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", name,
                          x_of(first), y_of(final_value));
  } else {
    if (raw.size() >= 50) out += polyline(raw, "raw");
    out += polyline(smooth, "smooth");
  }
  return out + "</svg></figure>\n";
}

// The pace and the curves of a stage that has some.
std::string StageSection(const Stage& stage) {
  std::string out = absl::StrCat("<section><h2>", Escape(stage.name));
  if (!stage.kind.empty() && stage.kind != stage.name) {
    absl::StrAppend(&out, " (", Escape(stage.kind), ")");
  }
  out += "</h2>\n<p>";
  std::vector<std::string> facts;
  if (stage.steps > 0) {
    facts.push_back(absl::StrCat(FormatCount(stage.steps), " steps"));
  }
  if (stage.seconds > 0) facts.push_back(FormatDuration(stage.seconds));
  if (stage.step_seconds > 0 && stage.images > 0) {
    facts.push_back(
        absl::StrCat(FormatCount(std::llround(stage.images / stage.step_seconds)), " images/s"));
  }
  if (stage.step_seconds > 0) {
    facts.push_back(absl::StrFormat("waiting for images %.1f %%, for rows %.1f %%",
                                    100 * stage.wait_images_seconds / stage.step_seconds,
                                    100 * stage.wait_rows_seconds / stage.step_seconds));
  }
  if (stage.skipped_steps > 0) {
    facts.push_back(
        absl::StrCat(FormatCount(stage.skipped_steps), " steps skipped so far (not finite)"));
  }
  for (size_t i = 0; i < facts.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : " &middot; ", facts[i]);
  }
  out += "</p>\n";
  out += "<div class=\"charts\">\n";
  if (!stage.loss.empty()) out += Chart("loss", stage.loss);
  if (!stage.accuracy.empty()) out += Chart("accuracy", stage.accuracy);
  return out + "</div></section>\n";
}

// Figures down, evaluations across, with the change to the last from the first that is of the same
// classes.
std::string EvaluationSection(const std::vector<const Json*>& evaluations) {
  // A phone shows few columns; the first and the last ones tell the story.
  constexpr size_t kColumns = 4;
  const auto result = [](const Json* line, const char* key) {
    const auto results = line->find("results");
    return results != line->end() && results->is_object() ? Text(*results, key) : std::string();
  };
  // What was evaluated: "imprinted"; every stage that does is named "evaluate".
  const auto name_of = [&](const Json* line) {
    const std::string name = result(line, "name");
    return Escape(name.empty() ? Text(*line, "stage") : name);
  };
  std::vector<const Json*> shown = evaluations;
  // The last one's change is against this one.
  int64_t base = std::find_if(shown.begin(), shown.end(),
                              [&](const Json* line) {
                                return result(line, "classes") == result(shown.back(), "classes");
                              }) -
                 shown.begin();
  if (shown.size() > kColumns) {
    const int64_t left_out = std::min<int64_t>(base, shown.size() - kColumns);
    shown.erase(shown.begin(), shown.begin() + left_out);
    shown.erase(shown.begin() + 1, shown.end() - (kColumns - 1));
    base -= left_out;
  }
  const bool with_change = base + 1 < static_cast<int64_t>(shown.size());
  std::vector<std::string> names;
  for (const Json* line : shown) {
    const auto scalars = line->find("scalars");
    if (scalars == line->end() || !scalars->is_object()) continue;
    for (const auto& item : scalars->items()) {
      if (std::find(names.begin(), names.end(), item.key()) == names.end()) {
        names.push_back(item.key());
      }
    }
  }
  std::string out = "<section><h2>Evaluations</h2>\n<p>";
  if (shown.size() < evaluations.size()) {
    absl::StrAppend(&out, shown.size(), " of ", evaluations.size(), ". ");
  }
  if (with_change) {
    absl::StrAppend(&out, "Change: ", name_of(shown.back()), " against ", name_of(shown[base]),
                    base > 0 ? ", the first of the same classes." : ".");
  }
  out += "</p>\n<div class=\"wide\"><table><thead><tr><th></th>";
  for (const Json* line : shown) {
    absl::StrAppend(&out, "<th>", name_of(line), "<br>step ", FormatCount(Integer(*line, "step")),
                    "</th>");
  }
  if (with_change) out += "<th>change</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const std::string& name : names) {
    // A long name may break at its slashes.
    absl::StrAppend(&out, "<tr><th scope=\"row\">",
                    absl::StrReplaceAll(Escape(name), {{"/", "/<wbr>"}}), "</th>");
    std::vector<double> values;
    for (const Json* line : shown) {
      const auto scalars = line->find("scalars");
      const double value = scalars != line->end() && scalars->is_object()
                               ? Number(*scalars, name.c_str())
                               : kUnknown;
      values.push_back(value);
      absl::StrAppend(&out, "<td>", std::isnan(value) ? "&ndash;" : absl::StrFormat("%.4g", value),
                      "</td>");
    }
    if (with_change) {
      const double change = values.back() - values[base];
      if (std::isnan(change)) {
        out += "<td>&ndash;</td>";
      } else {
        absl::StrAppendFormat(&out, "<td class=\"%s\">%+.4g</td>",
                              change > 0   ? "better"
                              : change < 0 ? "worse"
                                           : "",
                              change);
      }
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  for (const Json* line : shown) {
    const auto results = line->find("results");
    if (results == line->end() || results->empty()) continue;
    absl::StrAppend(&out, "<details><summary>All that was measured: ", name_of(line), ", step ",
                    FormatCount(Integer(*line, "step")), "</summary><pre>", EscapedJson(*results),
                    "</pre></details>\n");
  }
  return out + "</section>\n";
}

}  // namespace

std::string RenderReport(absl::string_view title, const Json& config,
                         absl::Span<const Json> metrics) {
  const std::map<int64_t, Stage> stages = CollectStages(metrics);
  std::vector<const Json*> evaluations;
  for (const Json& line : metrics) {
    if (line.is_object() && Text(line, "kind") == "evaluation") {
      evaluations.push_back(&line);
    }
  }
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>",
      Escape(title), "</title>\n<style>", kStyle, "</style></head>\n<body>\n<h1>", Escape(title),
      "</h1>\n<p>");
  double seconds = 0;
  int64_t steps = 0;
  for (const auto& entry : stages) {
    seconds += entry.second.seconds;
    steps += entry.second.steps;
  }
  absl::StrAppend(&out, FormatCount(steps), steps == 1 ? " step" : " steps", " in ", stages.size(),
                  stages.size() == 1 ? " stage" : " stages", ", ", FormatDuration(seconds), ":");
  for (const auto& entry : stages) {
    absl::StrAppend(&out, entry.first == stages.begin()->first ? " " : ", ",
                    Escape(entry.second.name), " ", FormatDuration(entry.second.seconds));
  }
  out += "</p>\n";
  if (!evaluations.empty()) out += EvaluationSection(evaluations);
  for (const auto& entry : stages) {
    const Stage& stage = entry.second;
    if (!stage.loss.empty() || !stage.accuracy.empty()) out += StageSection(stage);
  }
  absl::StrAppend(&out,
                  "<section><h2>Config</h2>\n<details open><summary>As "
                  "resolved</summary><pre>",
                  EscapedJson(config), "</pre></details></section>\n</body></html>\n");
  return out;
}

ReportWriter::ReportWriter(FileSystem* fs, std::string metrics_path, std::string report_path,
                           std::string title, Json config)
    : fs_(fs),
      metrics_path_(std::move(metrics_path)),
      report_path_(std::move(report_path)),
      title_(std::move(title)),
      config_(std::move(config)) {}

absl::Status ReportWriter::OnStageEnd(const StageReport&) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<Json> metrics, ReadMetrics(fs_, metrics_path_));
  return WriteFileAtomically(fs_, report_path_, RenderReport(title_, config_, metrics));
}

}  // namespace protopage
