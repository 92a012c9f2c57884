// Nets, losses and optimizers of protopage on the host's tensors.

#include "model/tensor.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/tensor.h"

namespace reuse {
namespace {

// protopage's copy of `x`, under another shape.
protopage::Tensor OnDevice(protopage::Backend* backend, const Tensor& x, protopage::Shape shape) {
  const std::vector<float> floats = x.ToFloats();
  auto copy = backend->Allocate(protopage::DType::kFloat32, shape);
  EXPECT_TRUE(copy.ok() && backend->CopyToDevice(floats.data(), *copy).ok());
  return *copy;
}

TEST(TensorTest, ANetLearnsTheHostsImages) {
  protopage::ThreadPool pool(1);
  auto backend = protopage::NewCpuBackend(&pool);
  ASSERT_TRUE(backend.ok()) << backend.status();
  protopage::NetOptions options;
  options.embedding_dim = 4;
  options.dropout = 0;
  auto net = protopage::Net::Create(options, {18, 18, 1}, /*seed=*/1, backend->get());
  ASSERT_TRUE(net.ok()) << net.status();
  auto loss = protopage::MarginLoss::Create(protopage::LossConfig(), backend->get());
  ASSERT_TRUE(loss.ok()) << loss.status();
  auto optimizer = protopage::Optimizer::Create(protopage::OptimizerConfig(), (*net)->parameters(),
                                                backend->get());
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();

  // Two images, a bright left half and a bright top half.
  Tensor images{2, 18 * 18, {}};
  for (int64_t i = 0; i < 2 * 18 * 18; ++i) {
    const int64_t x = i % 18, y = i / 18 % 18;
    images.values.push_back((i < 18 * 18 ? x : y) < 9 ? 255 : 0);
  }
  const Tensor rows{2, 4, {1, 0, 0, 0, 0, 1, 0, 0}};
  const protopage::Tensor device_images =
      OnDevice(backend->get(), images, {images.rows, 18, 18, 1});
  const std::vector<int32_t> slots = {0, 1};
  std::vector<double> losses;
  for (int64_t step = 0; step < 5; ++step) {
    protopage::Tensor features;
    ASSERT_TRUE((*net)->Forward(device_images, {.training = true}, &features).ok());
    protopage::LossInput input;
    input.features = features;
    input.rows = OnDevice(backend->get(), rows, {rows.rows, rows.columns});
    input.slots = slots;
    auto result = (*loss)->Compute(input);
    ASSERT_TRUE(result.ok()) << result.status();
    losses.push_back(result->loss);
    ASSERT_TRUE((*net)->Backward(result->d_features).ok());
    ASSERT_TRUE((*optimizer)->Update(1e-3).ok());
  }
  EXPECT_LT(losses.back(), losses.front());
}

}  // namespace
}  // namespace reuse
