// Tensor: an n-dimensional array in the memory of a device.
//
// Images and activations are NHWC, convolution kernels [kernel_h, kernel_w, in_c, out_c], matrices
// row-major. A tensor shares its buffer with its copies and views; the buffer is released with the
// last of them.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
//   PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(host.data(), x));
//
// data() is a device pointer: only a backend's own code may dereference it.
#ifndef PROTOPAGE_MODEL_TENSOR_H_
#define PROTOPAGE_MODEL_TENSOR_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "protopage/base/check.h"

namespace protopage {

enum class DType : uint8_t { kFloat32, kInt32, kUint8, kBfloat16, kFloat16 };

int64_t BytesOf(DType dtype);

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t num_elements() const;  // 1 for rank 0.
  void Append(int64_t dim);
  std::string ToString() const;  // "[64, 32, 32, 3]"

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.dims_ == b.dims_;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  int rank_ = 0;
  std::array<int64_t, kMaxRank> dims_ = {};  // Zero from rank_ on.
};

// Device memory. Backends derive from it and free it in the destructor.
class Buffer {
 public:
  Buffer(void* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_;
  int64_t bytes_;
};

class Tensor {
 public:
  Tensor() = default;  // Without a buffer: an absent optional argument.
  Tensor(std::shared_ptr<Buffer> buffer, DType dtype, Shape shape, int64_t byte_offset = 0);

  explicit operator bool() const { return buffer_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t num_elements() const { return shape_.num_elements(); }
  int64_t bytes() const { return num_elements() * BytesOf(dtype_); }

  // The same elements with another shape; CHECKs that the numbers of elements are equal.
  Tensor Reshaped(Shape shape) const;
  // Rows [first, first + count) of the outermost dimension.
  Tensor Slice(int64_t first, int64_t count) const;
  // The bytes from `first` on, viewed as elements of `dtype`; they must lie within this tensor.
  Tensor ViewedAs(DType dtype, Shape shape, int64_t first) const;

  template <typename T>
  T* data() const {
    return reinterpret_cast<T*>(static_cast<char*>(buffer_->data()) + byte_offset_);
  }
  // CHECK the dtype.
  float* f32() const { return Checked<float>(DType::kFloat32); }
  int32_t* i32() const { return Checked<int32_t>(DType::kInt32); }
  uint8_t* u8() const { return Checked<uint8_t>(DType::kUint8); }

 private:
  template <typename T>
  T* Checked(DType dtype) const {
    PROTOPAGE_CHECK(dtype_ == dtype);
    return data<T>();
  }

  std::shared_ptr<Buffer> buffer_;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
  int64_t byte_offset_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TENSOR_H_
