// The margin losses without the trainer and the store.

#include "protopage/model/losses/margin_loss.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "model/detector.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/tensor.h"

namespace reuse {
namespace {

TEST(MarginLossTest, AFeatureOnItsOwnPrototype) {
  const Detector detector;
  protopage::ThreadPool pool(1);
  auto backend = protopage::NewCpuBackend(&pool);
  ASSERT_TRUE(backend.ok()) << backend.status();
  protopage::LossConfig config;
  config.name = "am_softmax";
  config.scale = 1.0;
  config.margin = 0.25;
  auto loss = protopage::MarginLoss::Create(config, backend->get());
  ASSERT_TRUE(loss.ok()) << loss.status();

  const std::vector<float> rows = {1, 0, 0, 1};
  const std::vector<float> features = {2, 0};
  const std::vector<int32_t> slots = {0};
  auto w = (*backend)->Allocate(protopage::DType::kFloat32, {detector.num_classes, 2});
  auto f = (*backend)->Allocate(protopage::DType::kFloat32, {1, 2});
  ASSERT_TRUE(w.ok() && f.ok());
  ASSERT_TRUE((*backend)->CopyToDevice(rows.data(), *w).ok());
  ASSERT_TRUE((*backend)->CopyToDevice(features.data(), *f).ok());
  protopage::LossInput input;
  input.features = *f;
  input.rows = *w;
  input.slots = slots;
  auto result = (*loss)->Compute(input);
  ASSERT_TRUE(result.ok()) << result.status();
  // The cosines are 1 and 0, so z = (1 - .25, 0).
  EXPECT_NEAR(result->loss, std::log1p(std::exp(-0.75)), 1e-5);
  EXPECT_EQ(result->accuracy, 1.0);
}

}  // namespace
}  // namespace reuse
