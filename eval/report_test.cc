#include "protopage/eval/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <nlohmann/json.hpp>

namespace protopage {
namespace {

EvalReport Imprinted() {
  EvalReport report = {.name = "imprinted"};
  report.closed_set =
      ClosedSetResult{.num_classes = 100,
                      .all = {.samples = 10000, .top1 = 2080, .top5 = 4500},
                      .by_domain = {{1, {.samples = 4000, .top1 = 1000, .top5 = 2000}}}};
  report.domain_names = {{1, "spot"}};
  return report;
}

EvalReport Trained() {
  EvalReport report = Imprinted();
  report.name = "dominant";
  report.closed_set->all.top1 = 5742;
  report.closed_set->all.top5 = 6250;
  report.identification = IdentificationResult{.gallery = 50,
                                               .distractors = 7,
                                               .probes = 200,
                                               .probes_without_mate = 3,
                                               .ranks = {1, 5},
                                               .hits = {150, 190}};
  VerificationResult verification;
  verification.genuine_pairs = 200;
  verification.impostor_pairs = 9800;
  verification.at_far = {{.target_far = 1e-2,
                          .threshold = 0.5f,
                          .false_accepts = 98,
                          .true_accepts = 160,
                          .far = 0.01,
                          .tar = 0.8,
                          .tar_interval = {0.75, 0.85},
                          .few_false_accepts = false},
                         {.target_far = 1e-4,
                          .threshold = 0.75f,
                          .false_accepts = 0,
                          .true_accepts = 100,
                          .far = 0,
                          .tar = 0.5,
                          .tar_interval = {0.43, 0.57},
                          .few_false_accepts = true}};
  verification.equal_error_rate = 0.0625;
  verification.equal_error_threshold = 0.25f;
  verification.roc = {{.threshold = 0.5f, .far = 0.01, .tar = 0.8}};
  report.verification = verification;
  return report;
}

TEST(EvalReport, TheExampleOfTheHeader) {
  const ClosedSetResult imprinted = *Imprinted().closed_set, trained = *Trained().closed_set;
  const EvalReport before = {.name = "imprinted", .classes = "target", .closed_set = imprinted};
  const EvalReport after = {.name = "trained", .classes = "target", .closed_set = trained};
  std::cout << FormatReport(after);
  std::cout << FormatComparison({before, after});  // One column per report, and the change.
  const nlohmann::ordered_json json = ToJson(after);
  EXPECT_EQ(json["name"], "trained");
}

TEST(FormatReport, ShowsValuesIntervalsAndCounts) {
  EXPECT_EQ("\n" + FormatReport(Trained()),
            R"(
dominant                  value    95 % interval                                          counts
------------------------------------------------------------------------------------------------
closed set top-1        0.5742   0.5645 - 0.5839                          5,742 of 10,000 images
closed set top-5        0.6250   0.6155 - 0.6344                          6,250 of 10,000 images
closed set top-1, spot  0.2500   0.2368 - 0.2637                           1,000 of 4,000 images
closed set top-5, spot  0.5000   0.4845 - 0.5155                           2,000 of 4,000 images
rank-1                  0.7500   0.6857 - 0.8049                               150 of 200 probes
rank-5                  0.9500   0.9104 - 0.9726                               190 of 200 probes
TAR at FAR 0.01         0.8000   0.7391 - 0.8495  160 of 200 genuine, 98 of 9,800 impostor pairs
TAR at FAR 0.0001       0.5000*  0.4314 - 0.5686   100 of 200 genuine, 0 of 9,800 impostor pairs
equal error rate        0.0625                                 200 genuine, 9,800 impostor pairs
* rests on fewer than 10 false accepts
)");
}

TEST(FormatReport, IsEmptyButForTheHeaderWithoutResults) {
  EXPECT_EQ(FormatReport({.name = "nothing"}),
            "nothing  value  95 % interval  counts\n"
            "-------------------------------------\n");
}

TEST(FormatComparison, HasAColumnAReportAndTheChange) {
  EXPECT_EQ(FormatComparison({Imprinted(), Trained()}),
            R"(metric                  imprinted  dominant   change
----------------------------------------------------
closed set top-1          0.2080    0.5742   +0.3662
closed set top-5          0.4500    0.6250   +0.1750
closed set top-1, spot    0.2500    0.2500   +0.0000
closed set top-5, spot    0.5000    0.5000   +0.0000
rank-1                         -    0.7500         -
rank-5                         -    0.9500         -
TAR at FAR 0.01                -    0.8000         -
TAR at FAR 0.0001              -    0.5000*        -
equal error rate               -    0.0625         -
* rests on fewer than 10 false accepts
)");
}

TEST(FormatComparison, TheChangeIsFromTheFirstOfTheSameClasses) {
  EvalReport source = Imprinted(), imprinted = Imprinted(), trained = Trained();
  source.name = "source", source.closed_set->all.top1 = 9480;
  source.classes = "source", imprinted.classes = trained.classes = "target";
  source.closed_set->by_domain.clear(), imprinted.closed_set->by_domain.clear();
  const std::string table = FormatComparison({source, imprinted, trained});
  EXPECT_THAT(
      table, testing::HasSubstr("closed set top-1        0.9480     0.2080    0.5742   +0.3662\n"));
  EXPECT_THAT(table, testing::EndsWith(
                         "change: dominant against imprinted, the first of the same classes\n"));
  EXPECT_THAT(FormatComparison({source, imprinted}),
              testing::AllOf(testing::HasSubstr("closed set top-1  0.9480     0.2080\n"),
                             testing::Not(testing::HasSubstr("change"))));
}

TEST(FormatComparison, OfOneReportHasNoChange) {
  EXPECT_EQ(FormatComparison({Imprinted()}),
            R"(metric                  imprinted
---------------------------------
closed set top-1          0.2080
closed set top-5          0.4500
closed set top-1, spot    0.2500
closed set top-5, spot    0.5000
)");
}

TEST(ToJson, HoldsEveryResult) {
  const nlohmann::ordered_json json = ToJson(Trained());
  EXPECT_EQ(json["name"], "dominant");
  EXPECT_EQ(json["closed_set"],
            nlohmann::ordered_json::parse(R"({"num_classes": 100, "samples": 10000,
                "top1": 0.5742, "top5": 0.625,
                "by_domain": {"spot": {"samples": 4000, "top1": 0.25, "top5": 0.5}}})"));
  EXPECT_EQ(json["identification"],
            nlohmann::ordered_json::parse(R"({"gallery": 50, "distractors": 7, "probes": 200,
                "probes_without_mate": 3, "rank1": 0.75, "rank5": 0.95})"));
  const auto& verification = json["verification"];
  EXPECT_EQ(verification["genuine_pairs"], 200);
  EXPECT_EQ(verification["impostor_pairs"], 9800);
  EXPECT_EQ(verification["equal_error_rate"], 0.0625);
  EXPECT_EQ(verification["at_far"][1],
            nlohmann::ordered_json::parse(R"({"target_far": 0.0001, "tar": 0.5, "tar_low": 0.43,
                "tar_high": 0.57, "far": 0.0, "false_accepts": 0, "true_accepts": 100,
                "threshold": 0.75, "few_false_accepts": true})"));
  EXPECT_EQ(verification["roc"],
            nlohmann::ordered_json::parse(R"([{"far": 0.01, "tar": 0.8, "threshold": 0.5}])"));
}

TEST(EvalReportFromJson, IsTheInverseOfToJson) {
  for (const EvalReport& report :
       {Imprinted(), Trained(), EvalReport{.name = "nothing", .classes = "target"}}) {
    const nlohmann::ordered_json json = ToJson(report);
    // By way of text, as a file does it.
    const absl::StatusOr<EvalReport> again =
        EvalReportFromJson(nlohmann::ordered_json::parse(json.dump()));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ToJson(*again), json);
    EXPECT_EQ(FormatReport(*again), FormatReport(report));
  }
}

TEST(EvalReportFromJson, SaysWhatIsMissing) {
  nlohmann::ordered_json json = ToJson(Trained());
  json["verification"].erase("genuine_pairs");
  const absl::StatusOr<EvalReport> report = EvalReportFromJson(json);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(report.status().message().find("genuine_pairs"), absl::string_view::npos);
}

TEST(ToJson, LeavesOutWhatWasNotEvaluated) {
  const nlohmann::ordered_json json = ToJson(Imprinted());
  EXPECT_EQ(json.size(), 2u);
  EXPECT_TRUE(json.contains("closed_set"));
}

}  // namespace
}  // namespace protopage
