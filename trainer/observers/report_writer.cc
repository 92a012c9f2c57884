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

// Means over the points whose index is at most `radius` away. Near the start, where curves are
// steep, over fewer, so that the window stays centred.
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

// The distance of about `count` ticks over `range`: 1, 2 or 5 times a power of ten.
double TickStep(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

// The frame of a chart, in units of the SVG: small enough that the text is readable when the figure
// is as narrow as a phone.
constexpr double kWidth = 400, kHeight = 230;
constexpr double kLeft = 44, kRight = 12, kTop = 12, kBottom = 38;

// The range of a chart, and where its points lie in the frame.
struct Axes {
  double first, last;  // Of x.
  double low, high;    // Of y; whole steps.
  double y_step;

  double X(double x) const {
    return kLeft + (kWidth - kLeft - kRight) * (x - first) / (last - first);
  }
  double Y(double y) const {
    return kHeight - kBottom -
           (kHeight - kTop - kBottom) * std::min(1.0, std::max(0.0, (y - low) / (high - low)));
  }
};

// The first losses may be many times the rest, so the range of y is that of the smooth curve; the
// raw one is cut off at the frame.
Axes FitAxes(const std::vector<Point>& raw, const std::vector<Point>& smooth) {
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
  Axes axes;
  axes.y_step = TickStep(high - low, 5);
  axes.low = std::floor(low / axes.y_step) * axes.y_step;
  axes.high = std::ceil(high / axes.y_step) * axes.y_step;
  axes.first = raw.front().x;
  axes.last = std::max(raw.back().x, axes.first + 1);
  return axes;
}

// Lines and labels at the ticks of y, labels at those of x.
std::string Ticks(const Axes& axes) {
  std::string out;
  const int y_ticks = static_cast<int>(std::lround((axes.high - axes.low) / axes.y_step));
  for (int i = 0; i <= y_ticks; ++i) {
    // Rounded to the step, so that 0.30000000000000004 is 0.3.
    const double value = std::round(axes.low / axes.y_step + i) * axes.y_step;
    absl::StrAppendFormat(&out,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, kWidth - kRight, axes.Y(value), axes.Y(value), kLeft - 6,
                          axes.Y(value) + 4, absl::StrFormat("%.6g", value == 0 ? 0 : value));
  }
  // Half a tick's label fits on either side of its place.
  const double x_step = std::max(1.0, TickStep(axes.last - axes.first, 6));
  for (double x = std::ceil(axes.first / x_step) * x_step; x <= axes.last; x += x_step) {
    absl::StrAppendFormat(&out,
                          "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s"
                          "</text>\n",
                          axes.X(x), kHeight - kBottom + 16, ShortCount(x));
  }
  absl::StrAppendFormat(&out, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">steps</text>\n",
                        kWidth - kRight, kHeight - 6);
  return out;
}

// `name` and `weight` are CSS classes.
std::string Polyline(absl::string_view name, absl::string_view weight, const Axes& axes,
                     const std::vector<Point>& line) {
  std::string out = absl::StrCat("<polyline class=\"", name, " ", weight, "\" points=\"");
  for (const Point& point : line) {
    absl::StrAppendFormat(&out, "%.1f,%.1f ", axes.X(point.x), axes.Y(point.y));
  }
  return out + "\"/>\n";
}

// A figure with the curve of `points`, at least one. `name` is also the CSS class that colours it.
std::string Chart(absl::string_view name, const std::vector<Point>& points) {
  const std::vector<Point> raw = Thinned(points, 400);
  const std::vector<Point> smooth = raw.size() >= 50 ? Smoothed(raw, raw.size() / 40) : raw;
  const Axes axes = FitAxes(raw, smooth);
  const double final_value = smooth.back().y;
  std::string out = absl::StrFormat(
      "<figure><figcaption>%s <span>%.4g at the end</span></figcaption>\n"
      "<svg viewBox=\"0 0 %g %g\" role=\"img\">\n"
      "<title>%s over steps: from %.4g to %.4g</title>\n",
      name, final_value, kWidth, kHeight, name, smooth.front().y, final_value);
  out += Ticks(axes);
  if (smooth.size() == 1) {
    absl::StrAppendFormat(&out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", name,
                          axes.X(axes.first), axes.Y(final_value));
  } else {
    if (raw.size() >= 50) out += Polyline(name, "raw", axes, raw);
    out += Polyline(name, "smooth", axes, smooth);
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

// A text of an evaluation's results, "" when there is none.
std::string ResultText(const Json& line, const char* key) {
  const auto results = line.find("results");
  return results != line.end() && results->is_object() ? Text(*results, key) : std::string();
}

// The classifier that was evaluated, "imprinted", escaped; all evaluations share a stage's name.
std::string EvaluationName(const Json& line) {
  const std::string name = ResultText(line, "name");
  return Escape(name.empty() ? Text(line, "stage") : name);
}

// A figure of an evaluation; kUnknown when it has none of that name.
double Scalar(const Json& line, const std::string& name) {
  const auto scalars = line.find("scalars");
  return scalars != line.end() && scalars->is_object() ? Number(*scalars, name.c_str()) : kUnknown;
}

// The evaluations in the columns of the table, and the one that the last is compared with.
struct ShownEvaluations {
  std::vector<const Json*> columns;
  int64_t base = 0;  // A column.
  bool has_change() const { return base + 1 < static_cast<int64_t>(columns.size()); }
};

// The last ones and the first one that is of the same classes as the last.
ShownEvaluations ChooseEvaluations(const std::vector<const Json*>& evaluations) {
  // A phone shows few columns; the first and the last ones tell the story.
  constexpr size_t kColumns = 4;
  ShownEvaluations shown{evaluations};
  std::vector<const Json*>& columns = shown.columns;
  const std::string classes = ResultText(*columns.back(), "classes");
  shown.base =
      std::find_if(columns.begin(), columns.end(),
                   [&](const Json* line) { return ResultText(*line, "classes") == classes; }) -
      columns.begin();
  if (columns.size() > kColumns) {
    const int64_t left_out = std::min<int64_t>(shown.base, columns.size() - kColumns);
    columns.erase(columns.begin(), columns.begin() + left_out);
    columns.erase(columns.begin() + 1, columns.end() - (kColumns - 1));
    shown.base -= left_out;
  }
  return shown;
}

// The names of the figures that any of the evaluations has, in the order of the first that has
// them.
std::vector<std::string> ScalarNames(const std::vector<const Json*>& evaluations) {
  std::vector<std::string> names;
  for (const Json* line : evaluations) {
    const auto scalars = line->find("scalars");
    if (scalars == line->end() || !scalars->is_object()) continue;
    for (const auto& item : scalars->items()) {
      if (std::find(names.begin(), names.end(), item.key()) == names.end()) {
        names.push_back(item.key());
      }
    }
  }
  return names;
}

std::string ChangeCell(double change) {
  if (std::isnan(change)) return "<td>&ndash;</td>";
  const char* direction = change > 0 ? "better" : change < 0 ? "worse" : "";
  return absl::StrFormat("<td class=\"%s\">%+.4g</td>", direction, change);
}

// The row of one figure.
std::string ScalarRow(const std::string& name, const ShownEvaluations& shown) {
  // A long name may break at its slashes.
  std::string out = absl::StrCat("<tr><th scope=\"row\">",
                                 absl::StrReplaceAll(Escape(name), {{"/", "/<wbr>"}}), "</th>");
  for (const Json* line : shown.columns) {
    const double value = Scalar(*line, name);
    absl::StrAppend(&out, "<td>", std::isnan(value) ? "&ndash;" : absl::StrFormat("%.4g", value),
                    "</td>");
  }
  if (shown.has_change()) {
    out +=
        ChangeCell(Scalar(*shown.columns.back(), name) - Scalar(*shown.columns[shown.base], name));
  }
  return out + "</tr>\n";
}

// Figures down, evaluations across, with the change to the last from the first that is of the same
// classes.
std::string EvaluationTable(const ShownEvaluations& shown) {
  std::string out = "<div class=\"wide\"><table><thead><tr><th></th>";
  for (const Json* line : shown.columns) {
    absl::StrAppend(&out, "<th>", EvaluationName(*line), "<br>step ",
                    FormatCount(Integer(*line, "step")), "</th>");
  }
  if (shown.has_change()) out += "<th>change</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const std::string& name : ScalarNames(shown.columns)) out += ScalarRow(name, shown);
  return out + "</tbody></table></div>\n";
}

// All results of an evaluation, folded.
std::string EvaluationDetails(const Json& line) {
  const auto results = line.find("results");
  if (results == line.end() || results->empty()) return "";
  return absl::StrCat("<details><summary>All that was measured: ", EvaluationName(line), ", step ",
                      FormatCount(Integer(line, "step")), "</summary><pre>", EscapedJson(*results),
                      "</pre></details>\n");
}

// Of at least one evaluation.
std::string EvaluationSection(const std::vector<const Json*>& evaluations) {
  const ShownEvaluations shown = ChooseEvaluations(evaluations);
  std::string out = "<section><h2>Evaluations</h2>\n<p>";
  if (shown.columns.size() < evaluations.size()) {
    absl::StrAppend(&out, shown.columns.size(), " of ", evaluations.size(), ". ");
  }
  if (shown.has_change()) {
    absl::StrAppend(&out, "Change: ", EvaluationName(*shown.columns.back()), " against ",
                    EvaluationName(*shown.columns[shown.base]),
                    shown.base > 0 ? ", the first of the same classes." : ".");
  }
  absl::StrAppend(&out, "</p>\n", EvaluationTable(shown));
  for (const Json* line : shown.columns) out += EvaluationDetails(*line);
  return out + "</section>\n";
}

// The steps and times of the run and of its stages, in one line.
std::string RunSummary(const std::map<int64_t, Stage>& stages) {
  double seconds = 0;
  int64_t steps = 0;
  for (const auto& entry : stages) {
    seconds += entry.second.seconds;
    steps += entry.second.steps;
  }
  std::string out =
      absl::StrCat(FormatCount(steps), steps == 1 ? " step" : " steps", " in ", stages.size(),
                   stages.size() == 1 ? " stage" : " stages", ", ", FormatDuration(seconds), ":");
  for (const auto& entry : stages) {
    absl::StrAppend(&out, entry.first == stages.begin()->first ? " " : ", ",
                    Escape(entry.second.name), " ", FormatDuration(entry.second.seconds));
  }
  return out;
}

}  // namespace

std::string RenderReport(absl::string_view title, const Json& config,
                         absl::Span<const Json> metrics, absl::string_view note) {
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
      "</h1>\n<p>", RunSummary(stages), "</p>\n");
  if (!note.empty()) absl::StrAppend(&out, "<p>", Escape(note), "</p>\n");
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
  PROTOPAGE_ASSIGN_OR_RETURN(const MetricsContent metrics,
                             ReadReadableMetrics(fs_, metrics_path_, SealRule::kOptional));
  std::string note;
  if (!metrics.damaged.empty()) {
    note = absl::StrCat(metrics_path_, " is damaged: ", DescribeLines(metrics.damaged),
                        " cannot be read, and are missing here.");
  }
  return WriteFileAtomically(fs_, report_path_, RenderReport(title_, config_, metrics.lines, note));
}

}  // namespace protopage
