#include "protopage/model/testing/float_dtype.h"

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "protopage/base/bfloat16.h"
#include "protopage/base/check.h"
#include "protopage/base/float16.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

float FromBits(DType dtype, uint16_t bits) {
  return dtype == DType::kFloat16 ? HalfToFloat(bits) : Bfloat16ToFloat(bits);
}
uint16_t ToBits(DType dtype, float x) {
  return dtype == DType::kFloat16 ? FloatToHalf(x) : FloatToBfloat16(x);
}

}  // namespace

float RoundedTo(DType dtype, float x) {
  return dtype == DType::kFloat32 ? x : FromBits(dtype, ToBits(dtype, x));
}

double RoundingTo(DType dtype, double x) {
  switch (dtype) {
    case DType::kBfloat16:  // Half a unit of 8 bits, with the one that is not stored.
      return std::ldexp(std::abs(x), -8);
    case DType::kFloat16:  // Of 11, and of steps of 2^-24 near 0.
      return std::ldexp(std::abs(x), -11) + std::ldexp(1.0, -25);
    default:
      return 0.0;
  }
}

absl::Status SetFloats(Backend& backend, const std::vector<float>& values, const Tensor& x) {
  PROTOPAGE_CHECK(x.num_elements() == static_cast<int64_t>(values.size()));
  if (x.dtype() == DType::kFloat32) return backend.CopyToDevice(values.data(), x);
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = ToBits(x.dtype(), values[i]);
  return backend.CopyToDevice(bits.data(), x);
}

absl::StatusOr<std::vector<float>> GetFloats(Backend& backend, const Tensor& x) {
  std::vector<float> values(x.num_elements());
  if (x.dtype() == DType::kFloat32) {
    PROTOPAGE_RETURN_IF_ERROR(backend.CopyToHost(x, values.data()));
    return values;
  }
  std::vector<uint16_t> bits(values.size());
  PROTOPAGE_RETURN_IF_ERROR(backend.CopyToHost(x, bits.data()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = FromBits(x.dtype(), bits[i]);
  return values;
}

}  // namespace protopage
