// Reports: results as JSON for programs and as tables for people.
//
//   const EvalReport before = {.name = "imprinted", .classes = "target", .closed_set = imprinted};
//   const EvalReport after = {.name = "trained", .classes = "target", .closed_set = trained};
//   std::cout << FormatReport(after);
//   std::cout << FormatComparison({before, after});  // One column per report, and the change.
//   const nlohmann::ordered_json json = ToJson(after);
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

// The evaluation of one model at one moment. Parts that were not evaluated are absent.
struct EvalReport {
  std::string name;          // "imprinted"
  std::string classes = {};  // The classes evaluated: "source" or "target".
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
// The inverse of ToJson(EvalReport), exact except for the numbers of unnamed domains, for reports
// of an earlier process. Errors: InvalidArgument (a member is missing or of the wrong type).
absl::StatusOr<EvalReport> EvalReportFromJson(const nlohmann::ordered_json& json);

// One line per metric: value, 95 % interval, and the counts it is computed from. A FAR that rests
// on fewer than 10 false accepts is marked.
std::string FormatReport(const EvalReport& report);

// One line per metric, one column per report, and then the change to the last report from the first
// report of the same classes (absent if that is the last itself). "-" where a report lacks a
// metric.
std::string FormatComparison(absl::Span<const EvalReport> reports);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_REPORT_H_
