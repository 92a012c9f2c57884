// Evaluation of a session's model on images that were never trained on.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const EvalReport report,
//                              EvaluateTarget(session, Split::kTargetTest, "imprinted"));
//   std::cout << FormatReport(report);
#ifndef PROTOPAGE_TRAINER_STAGES_EVALUATOR_H_
#define PROTOPAGE_TRAINER_STAGES_EVALUATOR_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/data/image_source.h"
#include "protopage/data/open_source.h"
#include "protopage/eval/report.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// The images that identification and verification compare, as records of a source.
struct Gallery {
  std::vector<int64_t> ids;    // The first image of domain "id" of each class that has one.
  std::vector<int64_t> spots;  // All images of domain "spot": the probes.
};
// Both are empty unless the source has both domains: there is nothing to measure then. Errors:
// InvalidArgument when it has both, but no pair of images to compare (of one class, or of two).
absl::StatusOr<Gallery> ChooseGallery(const ImageSource& source);

// Warns of images of `unseen` that are not in its gallery and so are not measured.
void WarnOfUnmeasured(Session& session, const ImageSource& unseen, const Gallery& gallery);

// Whether the images of `split` can be classified by a classifier of `classes` classes. Errors:
// InvalidArgument (other classes, or none).
absl::Status CheckClosedSet(Split split, const ImageSource& source, int64_t classes);

// The records of classes that were not dropped: a dropped class cannot be found. Errors:
// InvalidArgument when there is none.
absl::StatusOr<std::vector<int64_t>> RecordsToClassify(const ImageSource& source,
                                                       const PrototypeStore& store);

// Closed-set accuracy of `split` against the dense head. Errors: FailedPrecondition (no head).
absl::StatusOr<EvalReport> EvaluateSource(Session& session, Split split, const std::string& name);

// Closed-set accuracy of `split` against all prototypes, dropped classes and their images left out;
// and when the data has unseen classes, with the domains "id" and "spot": identification of their
// spots in a gallery of one id image a class, and verification of all id x spot pairs. Errors:
// FailedPrecondition (no prototypes), InvalidArgument (other classes, or images of dropped ones
// only).
absl::StatusOr<EvalReport> EvaluateTarget(Session& session, Split split, const std::string& name);

// The figures to plot and compare: ("closed_set/top1", 0.574), ...
std::vector<std::pair<std::string, double>> ReportScalars(const EvalReport& report);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_EVALUATOR_H_
