#include "protopage/model/testing/testing.h"

#include <utility>

#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/model/cpu/cpu_backend.h"

namespace protopage {

TestBackend::TestBackend(int threads) : pool_(std::make_unique<ThreadPool>(threads)) {
  auto backend = NewCpuBackend(pool_.get());
  PROTOPAGE_CHECK(backend.ok());
  backend_ = std::move(backend).value();
}

TestBackend::TestBackend(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

Tensor TestBackend::FromHost(const Shape& shape, const std::vector<float>& values) {
  auto tensor = backend_->Allocate(DType::kFloat32, shape);
  PROTOPAGE_CHECK(tensor.ok());
  Set(*tensor, values);
  return *std::move(tensor);
}

std::vector<float> TestBackend::ToHost(const Tensor& tensor) {
  PROTOPAGE_CHECK(tensor.dtype() == DType::kFloat32);
  std::vector<float> values(tensor.num_elements());
  PROTOPAGE_CHECK(backend_->CopyToHost(tensor, values.data()).ok());
  return values;
}

void TestBackend::Set(const Tensor& tensor, const std::vector<float>& values) {
  PROTOPAGE_CHECK(tensor.num_elements() == static_cast<int64_t>(values.size()));
  PROTOPAGE_CHECK(backend_->CopyToDevice(values.data(), tensor).ok());
}

Tensor TestBackend::Random(const Shape& shape, uint64_t stream, float range) {
  RandomStream random(/*seed=*/17, RandomPurpose::kTest, stream);
  std::vector<float> values(shape.num_elements());
  for (float& value : values) value = random.Uniform(-range, range);
  return FromHost(shape, values);
}

}  // namespace protopage
