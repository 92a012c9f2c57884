#include "protopage/trainer/step/net_step.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/trainer/testing/session_testing.h"

namespace protopage {
namespace {

class NetStepTest : public testing::Test {
 protected:
  static TrainConfig Config() {
    TrainConfig config;
    config.threads = 1;
    config.seed = 5;
    config.data.type = "cifar";
    config.data.image_size = 20;
    config.model.embedding_dim = 8;
    config.stages.resize(1);
    StageConfig& stage = config.stages[0];
    stage.steps = 1;
    stage.batch_size = 4;
    stage.dropout = 0.3;
    stage.margin = 0.1;
    stage.optimizer.name = "sgd";
    stage.optimizer.learning_rate = 0.5;
    stage.optimizer.momentum = 0.9;
    PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
    return config;
  }

  // Rows of 3 classes.
  static absl::StatusOr<Tensor> Rows(Backend* backend) {
    std::vector<float> rows(3 * 8);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i % 7) - 2.5f;
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor tensor, backend->Allocate(DType::kFloat32, {3, 8}));
    PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(rows.data(), tensor));
    return tensor;
  }

  const FakeSource source_{{0, 1, 2, 0, 1, 2}, 3, 20, 20};
  const std::vector<int64_t> records_ = {5, 0, 3, 4};
  const std::vector<int32_t> slots_ = {2, 0, 0, 1};
};

TEST_F(NetStepTest, AStepIsForwardLossBackwardAndUpdate) {
  const TrainConfig config = Config();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  const NamedValues before = NetValues(*session);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  step->loader().Submit(7, records_);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result,
                                 step->ForwardBackward(rows, slots_, 7));
  EXPECT_TRUE(result.finite);
  PROTOPAGE_ASSERT_OK(step->Update(0.5));

  // The same by hand.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto hand, Session::Create(config));
  Backend* backend = hand->backend();
  LoaderOptions loader_options;
  loader_options.height = loader_options.width = 20;
  loader_options.augment = AugmentFor(config.data);
  loader_options.seed = 5;
  Loader loader(&source_, loader_options);
  loader.Submit(7, records_);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImageBatch batch, loader.Next());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor images,
                                 backend->Allocate(DType::kUint8, {4, 20, 20, 3}));
  PROTOPAGE_ASSERT_OK(backend->CopyToDevice(batch.pixels.data(), images));
  Tensor features;
  const RunOptions run = {.training = true, .step = 7, .dropout = 0.3f};
  PROTOPAGE_ASSERT_OK(hand->net()->Forward(images, run, &features));
  LossConfig loss_config = config.loss;
  loss_config.margin = 0.1;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loss, MarginLoss::Create(loss_config, backend));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor hand_rows, Rows(backend));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const LossResult expected,
      loss->Compute({.features = features, .rows = hand_rows, .slots = slots_, .step = 7}));
  PROTOPAGE_ASSERT_OK(hand->net()->Backward(expected.d_features));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto optimizer,
      Optimizer::Create(config.stages[0].optimizer, hand->net()->parameters(), backend));
  PROTOPAGE_ASSERT_OK(optimizer->Update(0.25));  // 0.5 times the factor.

  EXPECT_EQ(result.loss.loss, expected.loss);
  EXPECT_EQ(result.loss.accuracy, expected.accuracy);
  EXPECT_EQ(result.loss.predicted_slots, expected.predicted_slots);
  const NamedValues after = NetValues(*session);
  EXPECT_EQ(after, NetValues(*hand));
  // Everything moved, the running statistics too.
  for (size_t i = 0; i < after.size(); ++i) EXPECT_NE(after[i], before[i]) << after[i].first;
}

TEST_F(NetStepTest, AStepThatIsNotFiniteLeavesTheNetAsItWas) {
  TrainConfig config = Config();
  config.model.input_scale = 1e38;  // Activations overflow.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  const NamedValues before = NetValues(*session);
  step->loader().Submit(0, records_);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result,
                                 step->ForwardBackward(rows, slots_, 0));
  EXPECT_FALSE(result.finite);
  EXPECT_EQ(NetValues(*session), before);
}

TEST_F(NetStepTest, TheForwardPassOfTheNextStepMayBeginEarlyAndBeTakenBack) {
  // What was begun after the first of three steps: nothing, the next step, the next step and then
  // taken back.
  enum Begun { kNothing, kNext, kTakenBack };
  std::vector<NamedValues> ends;
  for (const Begun begun : {kNothing, kNext, kTakenBack}) {
    const TrainConfig config = Config();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                   NetStep::Create(session.get(), config.stages[0], &source_, {}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
    for (int64_t i = 0; i < 3; ++i) step->loader().Submit(i, {i, 5, 3, 4});
    for (int64_t i = 0; i < 3; ++i) {
      PROTOPAGE_ASSERT_OK(step->ForwardBackward(rows, slots_, i).status());
      PROTOPAGE_ASSERT_OK(step->Update(1));
      if (i > 0 || begun == kNothing) continue;
      const NamedValues before = NetValues(*session);
      while (!step->loader().ready()) std::this_thread::yield();
      PROTOPAGE_ASSERT_OK(step->BeginNext());
      EXPECT_NE(NetValues(*session), before);  // Batch norm's running statistics.
      if (begun == kNext) continue;
      PROTOPAGE_ASSERT_OK(step->TakeBackNext());
      EXPECT_EQ(NetValues(*session), before);
    }
    PROTOPAGE_ASSERT_OK(step->BeginNext());  // There is none.
    ends.push_back(NetValues(*session));
  }
  EXPECT_EQ(ends[kNext], ends[kNothing]);
  EXPECT_EQ(ends[kTakenBack], ends[kNothing]);
}

TEST_F(NetStepTest, WithoutTrainNetOnlyTheRowsHaveGradients) {
  TrainConfig config = Config();
  config.stages[0].train_net = false;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK(session->MakeHead(3));
  Parameter* head = session->head()->parameter();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto step, NetStep::Create(session.get(), config.stages[0], &source_, {head}));
  const NamedValues before = NetValues(*session);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows_before,
                                 session->head()->Rows(session->backend()));
  step->loader().Submit(0, records_);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result,
                                 step->ForwardBackward(head->value, slots_, 0));
  EXPECT_TRUE(result.finite);
  PROTOPAGE_ASSERT_OK(session->backend()->Copy(result.loss.d_rows, head->gradient));
  PROTOPAGE_ASSERT_OK(step->Update(1));
  EXPECT_EQ(NetValues(*session), before);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows_after,
                                 session->head()->Rows(session->backend()));
  EXPECT_NE(rows_after, rows_before);
}

}  // namespace
}  // namespace protopage
