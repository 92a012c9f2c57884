// Verification: are two images of one class? Every id image is compared with every spot image.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       const VerificationResult result,
//       EvaluateVerification({id_features, id_labels}, {spot_features, spot_labels},
//                            {.fars = {1e-2, 1e-3, 1e-4}}, pool));
//   const double tar = result.at_far[0].tar;  // The share of genuine pairs accepted at FAR 1e-2.
//
// The score of a pair is the cosine of its features. Thresholds are exact, from all scores, in
// memory that does not grow with the number of pairs: two passes over the pairs count scores by the
// upper half of their bits, and then, where it matters, by the lower half.
#ifndef PROTOPAGE_EVAL_VERIFICATION_H_
#define PROTOPAGE_EVAL_VERIFICATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/eval/wilson_interval.h"

namespace protopage {

// features [M, D], labels [M].
struct LabeledFeatures {
  ConstRowMatrixRef features;
  absl::Span<const ClassId> labels;
};

struct VerificationOptions {
  std::vector<double> fars = {1e-2, 1e-3, 1e-4};  // Each in (0, 1).
  int64_t roc_points = 100;                       // At most; spaced evenly in log(FAR).
};

// The point of the ROC with the largest FAR not above the target.
struct TarAtFar {
  double target_far = 0;
  float threshold = 0;  // A pair is accepted if its score is > threshold.
  int64_t false_accepts = 0;
  int64_t true_accepts = 0;
  double far = 0;                  // false_accepts / impostor_pairs
  double tar = 0;                  // true_accepts / genuine_pairs
  Interval tar_interval;           // Wilson, 95 %, as if pairs were independent
  bool few_false_accepts = false;  // Fewer than 10: the TAR is not reliable.
};

struct RocPoint {
  float threshold = 0;  // As in TarAtFar.
  double far = 0;
  double tar = 0;
};

struct VerificationResult {
  int64_t genuine_pairs = 0;
  int64_t impostor_pairs = 0;
  std::vector<TarAtFar> at_far;  // In the order of options.fars.
  // The mean of FAR and false reject rate where they are nearest to each other.
  double equal_error_rate = 0;
  float equal_error_threshold = 0;
  std::vector<RocPoint> roc;  // In ascending order of FAR; each is an exact point of the curve.
};

// Errors: InvalidArgument (shapes, values that are not finite, a FAR outside (0, 1), no genuine or
// no impostor pair).
absl::StatusOr<VerificationResult> EvaluateVerification(const LabeledFeatures& ids,
                                                        const LabeledFeatures& spots,
                                                        const VerificationOptions& options,
                                                        ThreadPool& pool);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_VERIFICATION_H_
