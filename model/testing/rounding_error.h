// Bounds of the difference that rounding makes to the losses of two backends' training steps,
// measured by runs of the same steps with perturbed weights instead of guessed:
//
//   std::vector<std::vector<double>> runs;
//   for (uint64_t seed = 1; seed <= 4; ++seed) {
//     ...
//     PerturbRelatively(RoundingError(precision, depth), seed, step, &weights);
//     ...
//   }
//   const std::vector<double> bounds = RoundingBounds(losses, runs, 24.0);
//   EXPECT_NEAR(cuda_losses[step], losses[step], bounds[step]);
//
// Each run perturbs the weights before each of its steps on the CPU. Why weights: a sum of products
// with rounding, in whatever order, is the exact sum of products x_i w_i (1 + e_i), so rounding
// acts like a relative error of each weight (backward error analysis; Higham, Accuracy and
// Stability of Numerical Algorithms, section 3.1). The errors of a backend differ from output to
// output and partly cancel; those of a weight are the same for all images and have the larger
// effect.
#ifndef PROTOPAGE_MODEL_TESTING_ROUNDING_ERROR_H_
#define PROTOPAGE_MODEL_TESTING_ROUNDING_ERROR_H_

#include <cstdint>
#include <vector>

#include "protopage/model/precision.h"

namespace protopage {

// The size of the e_i for sums of `depth` products. In float32 an e_i is made of up to `depth`
// roundings of 2^-24 and random sign, which grow like the root of their number. In the other
// precisions the rounding of the inputs is far larger than that of sums: half a unit of the 8 bits
// of bf16 or of the 11 of fp16, and a whole unit of TF32's 11, which a GPU may truncate.
double RoundingError(Precision precision, int64_t depth);

// Multiplies each value by its own 1 + e, e uniform in [-relative, relative), keyed by `seed` and
// `stream`.
void PerturbRelatively(double relative, uint64_t seed, uint64_t stream, std::vector<float>* values);

// Bounds of the difference of the losses of each step, from the losses of the CPU and of runs with
// perturbed weights: kRoundingHeadroom times the largest difference up to that step, plus the
// rounding error of the loss itself.
//
// The headroom: a few runs show a typical error; a rare one is three times as large. In float32 a
// product has two inputs, and both backends round: sqrt(2) sqrt(2) 3. In 16 bits only one backend
// rounds: the weight once, and the feature each time it is stored since the last product, by a
// convolution, batch norm and dropout: sqrt(1 + 3) 3. "Up to that step": a difference changes its
// sign now and then, and passes through 0. The loss of an image is a logarithm of exponentials of
// logits of up to `scale`: about 8 operations round numbers of that size or of the size of the
// loss.
constexpr double kRoundingHeadroom = 6.0;
std::vector<double> RoundingBounds(const std::vector<double>& losses,
                                   const std::vector<std::vector<double>>& perturbed, double scale);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_ROUNDING_ERROR_H_
