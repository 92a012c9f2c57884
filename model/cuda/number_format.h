// NumberFormat: how the inputs of a product are stored, and the rounding to it on the device.
//
//   template <typename Format>
//   __global__ void Kernel(const float* x, typename Format::Stored* y) { *y = Format::Round(*x); }
#ifndef PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_
#define PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_

#include <cstdint>

#include "model/cuda/platform.h"

namespace protopage {

enum class NumberFormat { kFloat32, kBf16, kFp16 };
inline int64_t BytesOf(NumberFormat format) { return format == NumberFormat::kFloat32 ? 4 : 2; }

struct Float32Format {
  using Stored = float;
  __device__ static float Round(float x) { return x; }
};
struct Bf16Format {
  using Stored = uint16_t;
  __device__ static uint16_t Round(float x) { return ToBf16Bits(x); }
};
struct Fp16Format {
  using Stored = uint16_t;
  __device__ static uint16_t Round(float x) { return ToHalfBits(x); }
};

// Returns body(Format()) of the type that `format` names.
template <typename Body>
auto WithFormat(NumberFormat format, const Body& body) {
  switch (format) {
    case NumberFormat::kBf16:
      return body(Bf16Format());
    case NumberFormat::kFp16:
      return body(Fp16Format());
    case NumberFormat::kFloat32:
      break;
  }
  return body(Float32Format());
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_
