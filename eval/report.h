// Reports: results as JSON for machines and as tables for people.
//
//   EvalReport before = {.name = "imprinted", .closed_set = ..., .verification = ...};
//   std::cout << FormatReport(before);
//   std::cout << FormatComparison({before, after});  // A column a report and the change.
//   nlohmann::ordered_json json = ToJson(after);
#ifndef PROTOPAGE_EVAL_REPORT_H_
#define PROTOPAGE_EVAL_REPORT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/eval/closed_set.h"
#include "protopage/eval/identification.h"
#include "protopage/eval/verification.h"

namespace protopage {

// What was evaluated of one model at one moment; parts that were not are absent.
struct EvalReport {
  std::string name;          // "imprinted"
  std::string classes = {};  // Which were told apart: "source" or "target".
  std::optional<ClosedSetResult> closed_set = {};
  std::optional<IdentificationResult> identification = {};
  std::optional<VerificationResult> verification = {};
  std::map<int32_t, std::string> domain_names =
      {};  // For closed_set->by_domain; numbers elsewhere.
};

nlohmann::ordered_json ToJson(const ClosedSetResult& result);
nlohmann::ordered_json ToJson(const IdentificationResult& result);
nlohmann::ordered_json ToJson(const VerificationResult& result);
nlohmann::ordered_json ToJson(const EvalReport& report);
// The inverse of the last, exact but for the numbers of unnamed domains: for reports of an earlier
// process. Errors: InvalidArgument (what is missing or of a wrong type).
absl::StatusOr<EvalReport> EvalReportFromJson(const nlohmann::ordered_json& json);

// One line a metric: value, 95 % interval, counts behind it. A FAR that rests on fewer than 10
// false accepts is marked.
std::string FormatReport(const EvalReport& report);

// One line a metric, one column a report, and last the change to the last report from the first
// that is of the same classes (absent if there is none but itself). Metrics that a report has not
// are "-".
std::string FormatComparison(absl::Span<const EvalReport> reports);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_REPORT_H_
