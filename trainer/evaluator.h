// Evaluation of a session's model on images that were never trained on.
//
//   ASSIGN_OR_RETURN(EvalReport report, EvaluateTarget(session, Split::kTargetTest, "imprinted"));
//   std::cout << FormatReport(report);
#ifndef PROTOPAGE_TRAINER_EVALUATOR_H_
#define PROTOPAGE_TRAINER_EVALUATOR_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/open_source.h"
#include "eval/report.h"
#include "trainer/session.h"

namespace protopage {

// Closed-set accuracy of `split` against the dense head. Errors: FailedPrecondition (no head).
absl::StatusOr<EvalReport> EvaluateSource(Session& session, Split split, const std::string& name);

// Closed-set accuracy of `split` against all prototypes; and when the data has unseen classes, with the domains
// "id" and "spot": identification of their spots in a gallery of one id image a class, and
// verification of all id x spot pairs. Errors: FailedPrecondition (no prototypes).
absl::StatusOr<EvalReport> EvaluateTarget(Session& session, Split split, const std::string& name);

// The figures to plot and compare: ("closed_set/top1", 0.574), ...
std::vector<std::pair<std::string, double>> ReportScalars(const EvalReport& report);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_EVALUATOR_H_
