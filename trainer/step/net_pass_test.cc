#include "protopage/trainer/step/net_pass.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

constexpr int64_t kBatch = 4, kClasses = 3, kDim = 8;

class NetPassTest : public testing::Test {
 protected:
  void SetUp() override {
    NetOptions options;
    options.embedding_dim = kDim;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(net_, Net::Create(options, {20, 20, 3}, 1, backend_.get()));
    images_ = backend_.Random({kBatch, 20, 20, 3}, 1);
    rows_ = backend_.Random({kClasses, kDim}, 2);
  }

  absl::StatusOr<std::unique_ptr<NetPass>> NewPass(const NetPassOptions& options) {
    return NetPass::Create(net_.get(), LossConfig(), options, backend_.get());
  }

  absl::StatusOr<NetPass::Result> Run(NetPass& pass, int64_t step, float gradient_scale = 1.0f) {
    PROTOPAGE_RETURN_IF_ERROR(pass.QueueForward(images_, step));
    PROTOPAGE_RETURN_IF_ERROR(pass.QueueBackward(rows_, slots_, gradient_scale));
    return pass.Await();
  }

  // All parameters, with the running statistics.
  std::vector<std::vector<float>> Values() {
    std::vector<std::vector<float>> values;
    for (const Parameter* parameter : net_->parameters()) {
      values.push_back(backend_.ToHost(parameter->value));
    }
    return values;
  }
  std::vector<std::vector<float>> Gradients() {
    std::vector<std::vector<float>> values;
    for (const Tensor& gradient : net_->gradients()) values.push_back(backend_.ToHost(gradient));
    return values;
  }

  TestBackend backend_{1};
  std::unique_ptr<Net> net_;
  Tensor images_, rows_;
  const std::vector<int32_t> slots_ = {2, 0, 0, 1};
};

TEST_F(NetPassTest, TheExampleOfTheHeader) {
  Net* const net = net_.get();
  Backend* const backend = backend_.get();
  const NetPassOptions options = {.batch_size = kBatch};
  const Tensor images = images_, rows = rows_;
  const std::vector<int32_t> slots = slots_;
  constexpr int64_t step = 3;
  const auto before = Values();
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto pass, NetPass::Create(net, LossConfig(), options, backend));
    PROTOPAGE_RETURN_IF_ERROR(pass->QueueForward(images, step));
    PROTOPAGE_RETURN_IF_ERROR(pass->QueueBackward(rows, slots, /*gradient_scale=*/1.0f));
    EXPECT_EQ(pass->state(), NetPass::State::kBackward);
    PROTOPAGE_ASSIGN_OR_RETURN(const NetPass::Result result, pass->Await());
    if (!result.finite) PROTOPAGE_RETURN_IF_ERROR(pass->Undo());
    EXPECT_TRUE(result.finite);
    EXPECT_GT(result.loss.loss, 0.0);
    EXPECT_EQ(result.loss.predicted_slots.size(), slots.size());
    EXPECT_EQ(pass->state(), NetPass::State::kDone);
    EXPECT_EQ(pass->run_step(), step);
    PROTOPAGE_EXPECT_OK(pass->recording_refusal());
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  // Parameters are as before; running statistics, which have no gradient, have moved.
  const auto after = Values();
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i] == before[i], static_cast<bool>(net_->parameters()[i]->gradient)) << i;
  }
}

TEST_F(NetPassTest, UndoRestoresTheRunningStatistics) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto pass, NewPass({.batch_size = kBatch}));
  PROTOPAGE_ASSERT_OK(Run(*pass, 0).status());
  const auto before = Values();
  PROTOPAGE_ASSERT_OK(pass->QueueForward(images_, 1));
  EXPECT_NE(Values(), before);
  PROTOPAGE_ASSERT_OK(pass->Undo());
  EXPECT_EQ(Values(), before);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result first, Run(*pass, 1));
  PROTOPAGE_ASSERT_OK(pass->Undo());
  EXPECT_EQ(Values(), before);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result second, Run(*pass, 1));
  EXPECT_EQ(first.loss.loss, second.loss.loss);
}

TEST_F(NetPassTest, GradientsDoNotDependOnTheirScale) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto pass, NewPass({.batch_size = kBatch}));
  std::vector<std::vector<std::vector<float>>> gradients;
  std::vector<std::vector<float>> of_rows;
  for (const float scale : {1.0f, 64.0f, 64.0f, 1.0f}) {  // A power of two rounds nothing.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result result, Run(*pass, 5, scale));
    gradients.push_back(Gradients());
    of_rows.push_back(backend_.ToHost(result.loss.d_rows));
  }
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(gradients[i], gradients[0]) << i;
    EXPECT_EQ(of_rows[i], of_rows[0]) << i;
  }
}

TEST_F(NetPassTest, AGradientThatIsNotFiniteIsFound) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto pass, NewPass({.batch_size = kBatch}));
  // Infinite once multiplied by the scale.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result result,
                                 Run(*pass, 0, std::numeric_limits<float>::max()));
  EXPECT_FALSE(result.finite);
  EXPECT_TRUE(result.loss.loss > 0.0 && result.loss.loss < 100.0) << result.loss.loss;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result next, Run(*pass, 1));
  EXPECT_TRUE(next.finite);
}

TEST_F(NetPassTest, DropoutIsThatOfThePass) {
  const auto loss_of = [this](float dropout) -> absl::StatusOr<double> {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto pass,
                               NewPass({.batch_size = kBatch, .dropout = dropout}));
    PROTOPAGE_ASSIGN_OR_RETURN(const NetPass::Result result, Run(*pass, 2));
    return result.loss.loss;
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double none, loss_of(0.0f));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double some, loss_of(0.5f));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double none_again, loss_of(0.0f));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double some_again, loss_of(0.5f));
  EXPECT_NE(some, none);
  EXPECT_EQ(none_again, none);
  EXPECT_EQ(some_again, some);
}

TEST_F(NetPassTest, WithoutTrainNetTheNetIsLeftAlone) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto pass, NewPass({.batch_size = kBatch, .train_net = false, .dropout = 0.5f}));
  const auto before = Values();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetPass::Result result, Run(*pass, 0));
  EXPECT_EQ(Values(), before);
  for (const std::vector<float>& gradient : Gradients()) {
    EXPECT_EQ(gradient, std::vector<float>(gradient.size()));
  }
  EXPECT_NE(backend_.ToHost(result.loss.d_rows), std::vector<float>(kClasses * kDim));
}

TEST_F(NetPassTest, ASlotOutOfRangeIsAnError) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto pass, NewPass({.batch_size = kBatch}));
  PROTOPAGE_ASSERT_OK(pass->QueueForward(images_, 0));
  EXPECT_THAT(pass->QueueBackward(rows_, {0, 1, 3, 2}, 1.0f),
              StatusIs(absl::StatusCode::kInvalidArgument, "3"));
}

TEST_F(NetPassTest, TheCallsHaveAnOrder) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto pass, NewPass({.batch_size = kBatch}));
  EXPECT_EQ(pass->state(), NetPass::State::kIdle);
  EXPECT_EQ(pass->run_step(), -1);
  EXPECT_DEATH(pass->QueueBackward(rows_, slots_, 1.0f).IgnoreError(), "State::kForward");
  EXPECT_DEATH(pass->Await().IgnoreError(), "State::kBackward");
  EXPECT_DEATH(pass->Undo().IgnoreError(), "State::kDone");
  PROTOPAGE_ASSERT_OK(pass->QueueForward(images_, 0));
  EXPECT_DEATH(pass->QueueForward(images_, 0).IgnoreError(), "State::kIdle");
}

}  // namespace
}  // namespace protopage
