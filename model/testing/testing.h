// TestBackend: a backend, the CPU's or another, with host copies of tensors, for the tests above
// it.
//
//   TestBackend backend(/*threads=*/2);
//   Tensor x = backend.FromHost({2, 3}, {1, 2, 3, 4, 5, 6});
//   EXPECT_THAT(backend.ToHost(x), ElementsAre(1, 2, 3, 4, 5, 6));
//
// A failure ends the test program.
#ifndef PROTOPAGE_MODEL_TESTING_TESTING_H_
#define PROTOPAGE_MODEL_TESTING_TESTING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

class TestBackend {
 public:
  explicit TestBackend(int threads = 2);
  explicit TestBackend(std::unique_ptr<Backend> backend);

  Backend* get() { return backend_.get(); }
  Backend* operator->() { return backend_.get(); }

  Tensor FromHost(const Shape& shape, const std::vector<float>& values);
  std::vector<float> ToHost(const Tensor& tensor);
  void Set(const Tensor& tensor, const std::vector<float>& values);
  // Uniform in [-range, range), keyed by `stream`.
  Tensor Random(const Shape& shape, uint64_t stream, float range = 1.0f);

 private:
  std::unique_ptr<ThreadPool> pool_;  // Of the CPU's.
  std::unique_ptr<Backend> backend_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_TESTING_H_
