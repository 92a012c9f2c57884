#include "protopage/model/tensor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/check.h"

namespace protopage {

int64_t BytesOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kBfloat16:
    case DType::kFloat16:
      return 2;
    case DType::kUint8:
      return 1;
  }
  PROTOPAGE_CHECK(!"a DType outside its enumeration");
  return 0;
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (const int64_t dim : dims) Append(dim);
}

int64_t Shape::num_elements() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[i];
  return n;
}

void Shape::Append(int64_t dim) {
  PROTOPAGE_CHECK(rank_ < kMaxRank);
  dims_[rank_++] = dim;
}

std::string Shape::ToString() const {
  return absl::StrCat("[", absl::StrJoin(dims_.begin(), dims_.begin() + rank_, ", "), "]");
}

Tensor::Tensor(std::shared_ptr<Buffer> buffer, DType dtype, Shape shape, int64_t byte_offset)
    : buffer_(std::move(buffer)),
      dtype_(dtype),
      shape_(std::move(shape)),
      byte_offset_(byte_offset) {
  PROTOPAGE_CHECK(buffer_ != nullptr);
  PROTOPAGE_CHECK(byte_offset_ >= 0 && byte_offset_ + bytes() <= buffer_->bytes());
}

Tensor Tensor::Reshaped(Shape shape) const {
  PROTOPAGE_CHECK(shape.num_elements() == num_elements());
  return Tensor(buffer_, dtype_, std::move(shape), byte_offset_);
}

Tensor Tensor::ViewedAs(DType dtype, Shape shape, int64_t first) const {
  PROTOPAGE_CHECK(first >= 0 && first + shape.num_elements() * BytesOf(dtype) <= bytes());
  return Tensor(buffer_, dtype, std::move(shape), byte_offset_ + first);
}

Tensor Tensor::Slice(int64_t first, int64_t count) const {
  PROTOPAGE_CHECK(shape_.rank() >= 1);
  PROTOPAGE_CHECK(first >= 0 && count >= 0 && first + count <= shape_[0]);
  Shape shape = {count};
  int64_t row_bytes = BytesOf(dtype_);
  for (int i = 1; i < shape_.rank(); ++i) {
    shape.Append(shape_[i]);
    row_bytes *= shape_[i];
  }
  return Tensor(buffer_, dtype_, std::move(shape), byte_offset_ + first * row_bytes);
}

}  // namespace protopage
