#include "protopage/trainer/observers/report_writer.h"

#include <unistd.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/observers/metrics_writer.h"

namespace protopage {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

std::vector<Json> StepLines(int stage_index, int count) {
  std::vector<Json> lines;
  for (int i = 1; i <= count; ++i) {
    lines.push_back({{"kind", "step"},
                     {"stage", "source"},
                     {"stage_index", stage_index},
                     {"step", 10 * i},
                     {"stage_step", 10 * i},
                     {"images", 640},
                     {"seconds", 2.0},
                     {"wait_images_seconds", 0.02},
                     {"wait_rows_seconds", 0.2},
                     {"loss", 8.0 / i},
                     {"accuracy", 1 - 1.0 / i}});
  }
  return lines;
}

Json Evaluation(const std::string& stage, int step, double top1) {
  return {{"kind", "evaluation"},
          {"stage", stage},
          {"stage_index", 1},
          {"step", step},
          {"scalars", {{"closed_set/top1", top1}}},
          {"results", {{"pairs", 1234}}}};
}

size_t Count(absl::string_view text, absl::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != absl::string_view::npos;
       at = text.find(what, at + what.size())) {
    ++count;
  }
  return count;
}

// The numbers of the first polyline of a class: x0, y0, x1, y1, ...
std::vector<double> PolylineOf(const std::string& html, const std::string& css_class) {
  const std::string start = absl::StrCat("<polyline class=\"", css_class, "\" points=\"");
  const size_t begin = html.find(start);
  if (begin == std::string::npos) return {};
  const size_t end = html.find('"', begin + start.size());
  std::vector<double> numbers;
  for (absl::string_view number :
       absl::StrSplit(html.substr(begin + start.size(), end - begin - start.size()),
                      absl::ByAnyChar(" ,"), absl::SkipEmpty())) {
    numbers.push_back(std::stod(std::string(number)));
  }
  return numbers;
}

TEST(RenderReportTest, AStageShowsItsCurvesAndItsPace) {
  const std::string html = RenderReport("run", Json::object(), StepLines(0, 20));
  EXPECT_THAT(html, HasSubstr("200 steps &middot; 40s &middot; 320 images/s "
                              "&middot; waiting for images 1.0 %, for rows "
                              "10.0 %"));
  EXPECT_THAT(html, HasSubstr("<title>loss over steps: from 8 to 0.4</title>"));
  EXPECT_THAT(html, HasSubstr("<title>accuracy over steps: from 0 to 0.95</title>"));
  const std::vector<double> loss = PolylineOf(html, "loss smooth");
  ASSERT_EQ(loss.size(), 2 * 20);
  // From the left to the right of the frame, and downwards (y grows down).
  EXPECT_EQ(loss[0], 44);
  EXPECT_EQ(loss[1], 12);  // 8, the top.
  EXPECT_EQ(loss[38], 388);
  EXPECT_NEAR(loss[39], 192 - 180 * 0.4 / 8, 0.06);
}

TEST(RenderReportTest, NeedsNothingFromOutside) {
  std::vector<Json> lines = StepLines(0, 60);
  lines.push_back(Evaluation("evaluate", 600, 0.5));
  const std::string html = RenderReport("run", Json::object(), lines);
  for (const char* forbidden : {"http:", "https:", "src=", "<link", "@import", "url(", "<script"}) {
    EXPECT_THAT(html, Not(HasSubstr(forbidden)));
  }
  for (const char* wanted : {"prefers-color-scheme: dark", "@media print", "width=device-width"}) {
    EXPECT_THAT(html, HasSubstr(wanted));
  }
}

TEST(RenderReportTest, LongRunsAreThinnedAndSmoothed) {
  const std::string html = RenderReport("run", Json::object(), StepLines(0, 5000));
  EXPECT_EQ(PolylineOf(html, "loss raw").size(), 2 * 400);
  EXPECT_EQ(PolylineOf(html, "loss smooth").size(), 2 * 400);
  EXPECT_LT(html.size(), 100 << 10);
  for (const double number : PolylineOf(html, "loss raw")) {
    EXPECT_GE(number, 0);
    EXPECT_LE(number, 400);
  }
}

TEST(RenderReportTest, ShortAndFlatCurvesAreDrawn) {
  std::vector<Json> lines = StepLines(0, 1);
  EXPECT_THAT(RenderReport("run", Json::object(), lines), HasSubstr("<circle class=\"loss\""));
  lines = StepLines(0, 3);
  for (Json& line : lines) line["loss"] = 0.0;
  const std::string html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf,")));
  EXPECT_EQ(PolylineOf(html, "loss smooth").size(), 6);
}

TEST(RenderReportTest, EvaluationsStandSideBySideWithTheirChange) {
  std::vector<Json> lines = {Evaluation("imprinted", 100, 0.208), Evaluation("after", 5170, 0.574)};
  lines[1]["scalars"]["rank1"] = 0.9;
  const std::string html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, HasSubstr("<th>imprinted<br>step 100</th><th>after<br>step "
                              "5,170</th><th>change</th>"));
  EXPECT_THAT(html, HasSubstr("closed_set/<wbr>top1</th><td>0.208</td>"
                              "<td>0.574</td><td class=\"better\">+0.366"));
  EXPECT_THAT(html, HasSubstr("rank1</th><td>&ndash;</td><td>0.9</td>"
                              "<td>&ndash;</td>"));
  EXPECT_THAT(html, HasSubstr("&quot;pairs&quot;: 1234"));
}

TEST(RenderReportTest, OfManyEvaluationsTheFirstAndTheLastAreShown) {
  std::vector<Json> lines;
  for (int i = 0; i < 10; ++i) {
    lines.push_back(Evaluation(absl::StrCat("e", i), i, 0.1 * i));
  }
  const std::string html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, HasSubstr("<p>4 of 10. Change: e9 against e0.</p>"));
  for (const char* shown : {"<th>e0<", "<th>e7<", "<th>e8<", "<th>e9<"}) {
    EXPECT_THAT(html, HasSubstr(shown));
  }
  EXPECT_EQ(Count(html, "<th>e"), 4);
}

TEST(RenderReportTest, TheChangeIsAgainstTheFirstOfTheSameClasses) {
  std::vector<Json> lines = {Evaluation("source", 10, 0.95), Evaluation("imprinted", 10, 0.8),
                             Evaluation("dominant", 20, 0.9)};
  for (Json& line : lines) {
    line["results"]["classes"] = "target";
    line["results"]["name"] = line["stage"];
    line["stage"] = "evaluate";
  }
  lines[0]["results"]["classes"] = "source";
  std::string html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html,
              HasSubstr("Change: dominant against imprinted, the first of the same classes.</p>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"better\">+0.1</td>"));

  // Of many, that one is shown and not the very first.
  for (int i = 0; i < 5; ++i) lines.push_back(lines.back());
  html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, HasSubstr("4 of 8. Change: dominant against imprinted."));
  EXPECT_THAT(html, HasSubstr("<td class=\"better\">+0.1</td>"));

  lines.resize(2);
  html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, Not(HasSubstr("change")));
}

TEST(RenderReportTest, TextIsEscaped) {
  std::vector<Json> lines = StepLines(0, 2);
  lines.push_back(Evaluation("<b>&\"'", 20, 0.5));
  for (Json& line : lines) line["stage"] = "<script>alert(1)</script>";
  lines.back()["scalars"]["<i>"] = 1.0;
  lines.back()["results"]["<u>"] = "</pre>";
  Json config;
  config["data"]["path"] = "</pre><img onerror='x'>";
  const std::string html = RenderReport("a<b & c", config, lines);
  for (const char* forbidden : {"<script", "<img", "<i>", "<u>", "a<b", "'x'"}) {
    EXPECT_THAT(html, Not(HasSubstr(forbidden)));
  }
  EXPECT_THAT(html, HasSubstr("<h1>a&lt;b &amp; c</h1>"));
  EXPECT_EQ(Count(html, "</pre>"),
            2);  // One of the results, one of the config.
}

TEST(RenderReportTest, StrangeLinesDoNoHarm) {
  const std::vector<Json> lines = {Json(3),
                                   Json::object(),
                                   {{"kind", 7}, {"stage_index", "x"}},
                                   {{"kind", "evaluation"}, {"stage_index", 0}, {"scalars", 5}},
                                   {{"kind", "step"}, {"stage_index", 0}, {"loss", "high"}}};
  EXPECT_THAT(RenderReport("run", Json::object(), lines), HasSubstr("</body></html>"));
}

TEST(RenderReportTest, StagesWithoutCurvesAreOnlyNamed) {
  std::vector<Json> lines = StepLines(0, 20);
  lines.push_back({{"kind", "stage_end"},
                   {"stage", "imprint"},
                   {"stage_kind", "imprint"},
                   {"stage_index", 1},
                   {"step", 200},
                   {"seconds", 3.0}});
  lines.push_back(
      {{"kind", "checkpoint"}, {"stage", "imprint"}, {"stage_index", 2}, {"step", 200}});
  const std::string html = RenderReport("run", Json::object(), lines);
  EXPECT_THAT(html, HasSubstr("200 steps in 2 stages, 43s: source 40s, imprint 3s</p>"));
  EXPECT_THAT(html, Not(HasSubstr("<h2>imprint")));
}

TEST(ReportWriterTest, WritesThePageAtTheEndOfAStage) {
  FileSystem* fs = DefaultFileSystem();
  const std::string directory = JoinPath(testing::TempDir(), absl::StrCat("report.", getpid()));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(directory));
  const std::string metrics_path = JoinPath(directory, "metrics.jsonl");
  const std::string report_path = JoinPath(directory, "report.html");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto metrics, MetricsWriter::Create(fs, metrics_path));
  ObserverList observers;
  observers.Add(std::move(metrics));
  observers.Add(
      std::make_unique<ReportWriter>(fs, metrics_path, report_path, "my run", Json{{"seed", 17}}));
  StageReport stage;
  stage.stage = "source";
  stage.kind = "train";
  PROTOPAGE_ASSERT_OK(observers.OnStageStart(stage));
  StepReport step;
  step.stage = "source";
  step.step = step.stage_step = 1;
  step.loss = 3.5;
  PROTOPAGE_ASSERT_OK(observers.OnStep(step));
  EXPECT_FALSE(fs->Exists(report_path));
  stage.seconds = 100;
  PROTOPAGE_ASSERT_OK(observers.OnStageEnd(stage));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string html, ReadFile(fs, report_path));
  EXPECT_THAT(html, HasSubstr("<h1>my run</h1>"));
  EXPECT_THAT(html, HasSubstr("<h2>source (train)</h2>"));
  EXPECT_THAT(html, HasSubstr("1 step in 1 stage, 1m40s: source 1m40s"));
  EXPECT_THAT(html, HasSubstr("3.5 at the end"));
  EXPECT_THAT(html, HasSubstr("&quot;seed&quot;: 17"));
}

TEST(ReportWriterTest, MissingMetricsAreNamed) {
  ReportWriter writer(DefaultFileSystem(), "no/metrics.jsonl", "no/report.html", "run",
                      Json::object());
  EXPECT_THAT(writer.OnStageEnd({}), StatusIs(absl::StatusCode::kNotFound, "no/metrics.jsonl"));
}

[[maybe_unused]] void TheExampleOfTheHeader(FileSystem* fs, ObserverList& observers,
                                            std::unique_ptr<MetricsWriter> metrics_writer,
                                            const Json& config_json) {
  observers.Add(std::move(metrics_writer));
  observers.Add(std::make_unique<ReportWriter>(fs, "run/metrics.jsonl", "run/report.html", "my run",
                                               config_json));
}

}  // namespace
}  // namespace protopage
