// The conformance suite: what every backend must do, against plain loops in double
// (model/testing/reference_ops.h). A backend's test is one file:
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, BackendConformanceTest,
//                            testing::Values(BackendFactory{"avx2", [] { return NewBackend(); }}),
//                            BackendFactoryName);
//
// Tensors are filled and read through CopyToDevice and CopyToHost only. Feature maps are of the
// backend's activation_dtype(), and the inputs of products are numbers of its. Tolerances follow
// from float epsilon and the lengths of sums: for a sum of n products the error bound of any order
// of summation, (n + few) epsilon sum |a b|; and maps are rounded once more, when they are stored.
#ifndef PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_
#define PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "protopage/model/backend.h"
#include "protopage/model/testing/backend_factory.h"

namespace protopage {

class BackendConformanceTest : public testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override;

  // Uniform in [low, high], and numbers of the activation_dtype().
  std::vector<float> Random(int64_t n, uint64_t stream, float low = -1.0f, float high = 1.0f);

  Tensor Upload(const Shape& shape, const std::vector<float>& values);
  Tensor UploadMap(const Shape& shape, const std::vector<float>& values);
  Tensor UploadInts(const Shape& shape, const std::vector<int32_t>& values);
  Tensor Empty(const Shape& shape);  // Filled with NaN: what is not written shows.
  Tensor EmptyMap(const Shape& shape);
  std::vector<float> Download(const Tensor& x);
  std::vector<int32_t> DownloadInts(const Tensor& x);
  bool AllFinite(const std::vector<Tensor>& tensors);

  // |actual - expected| <= factor * epsilon * magnitude, element by element, and what storing
  // `actual` rounds by. `factor` is the number of roundings on the way to an element, `magnitude`
  // what they are relative to.
  void ExpectNear(const Tensor& actual, const std::vector<double>& expected,
                  const std::vector<double>& magnitude, double factor, const std::string& what);
  void ExpectNear(const Tensor& actual, const std::vector<double>& expected, double factor,
                  const std::string& what);

  std::unique_ptr<Backend> backend_;
};

// The bytes of every output of every operation, on fixed inputs that are large enough to be cut
// into several blocks: equal for two runs, and for any number of threads.
struct OperationOutput {
  std::string name;
  std::vector<uint8_t> bytes;
};
absl::StatusOr<std::vector<OperationOutput>> RunEveryOperation(Backend& backend);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_BACKEND_CONFORMANCE_H_
