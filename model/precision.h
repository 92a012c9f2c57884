// Precision: the format of the inputs of products (MatMul, convolutions), and of a network's
// feature maps and their gradients (Backend::activation_dtype): 16 bits in bf16 and fp16,
// otherwise 32. Sums, statistics, weights and their gradients, embeddings, the loss and the
// prototypes are float32. 16 bits and tf32 (10 bits of fraction) use the tensor cores of GPUs. On a
// GPU, a float32 convolution may be three products of TF32 each (model/cuda/tensor_core.h), which
// are as precise. fp16 has a small range: gradients below 6e-8 become zero and values above 65504
// infinite, so losses are scaled (trainer/step/loss_scale.h).
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const Precision precision, ParsePrecision("bf16"));
#ifndef PROTOPAGE_MODEL_PRECISION_H_
#define PROTOPAGE_MODEL_PRECISION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

enum class Precision { kFloat32, kTf32, kBf16, kFp16 };

// "float32", "tf32", "bf16", "fp16".
absl::string_view PrecisionName(Precision precision);
// Errors: InvalidArgument, with the allowed names.
absl::StatusOr<Precision> ParsePrecision(absl::string_view name);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_PRECISION_H_
