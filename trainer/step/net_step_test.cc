#include "protopage/trainer/step/net_step.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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

  // The gradients of one step, with the next step's images prefetched if they are loaded.
  absl::StatusOr<NetStep::Result> Gradients(NetStep& step, const Tensor& rows, int64_t run_step) {
    PROTOPAGE_RETURN_IF_ERROR(step.QueueGradients(rows, slots_, run_step));
    PROTOPAGE_RETURN_IF_ERROR(step.PrefetchNext());
    return step.AwaitGradients();
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

TEST_F(NetStepTest, TheExampleOfTheHeader) {
  const TrainConfig config = Config();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  const std::vector<int32_t>& slots = slots_;
  constexpr double factor = 1;
  const auto example = [&](int64_t run_step) -> absl::Status {
    step->loader().Submit(run_step, records_);
    PROTOPAGE_RETURN_IF_ERROR(step->QueueGradients(rows, slots, run_step));
    PROTOPAGE_RETURN_IF_ERROR(step->PrefetchNext());  // While the device works.
    PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, step->AwaitGradients());
    if (result.finite) {
      PROTOPAGE_RETURN_IF_ERROR(step->Update(factor));
      PROTOPAGE_RETURN_IF_ERROR(step->QueueNextForward());
    }
    EXPECT_TRUE(result.finite);
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example(0));
  PROTOPAGE_ASSERT_OK(example(1));
}

TEST_F(NetStepTest, AStepIsForwardLossBackwardAndUpdate) {
  const TrainConfig config = Config();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  const NamedValues before = NetValues(*session);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  step->loader().Submit(7, records_);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result, Gradients(*step, rows, 7));
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result, Gradients(*step, rows, 0));
  EXPECT_FALSE(result.finite);
  EXPECT_EQ(NetValues(*session), before);
}

TEST_F(NetStepTest, TheForwardPassOfTheNextStepMayBeQueuedEarlyAndCancelled) {
  // After the first of three steps: nothing, the next forward pass, or that pass and its
  // cancellation.
  enum Queued { kNothing, kNext, kCancelled };
  std::vector<NamedValues> ends;
  for (const Queued queued : {kNothing, kNext, kCancelled}) {
    const TrainConfig config = Config();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                   NetStep::Create(session.get(), config.stages[0], &source_, {}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
    for (int64_t i = 0; i < 3; ++i) step->loader().Submit(i, {i, 5, 3, 4});
    for (int64_t i = 0; i < 3; ++i) {
      PROTOPAGE_ASSERT_OK(Gradients(*step, rows, i).status());
      PROTOPAGE_ASSERT_OK(step->Update(1));
      if (i > 0 || queued == kNothing) continue;
      const NamedValues before = NetValues(*session);
      while (!step->loader().ready()) std::this_thread::yield();
      PROTOPAGE_ASSERT_OK(step->QueueNextForward());
      EXPECT_NE(NetValues(*session), before);  // Batch norm's running statistics.
      if (queued == kNext) continue;
      PROTOPAGE_ASSERT_OK(step->CancelNextForward());
      EXPECT_EQ(NetValues(*session), before);
      PROTOPAGE_ASSERT_OK(step->CancelNextForward());  // Nothing to do.
      EXPECT_EQ(NetValues(*session), before);
    }
    PROTOPAGE_ASSERT_OK(step->QueueNextForward());  // There is no next step.
    PROTOPAGE_ASSERT_OK(step->CancelNextForward());
    ends.push_back(NetValues(*session));
  }
  EXPECT_EQ(ends[kNext], ends[kNothing]);
  EXPECT_EQ(ends[kCancelled], ends[kNothing]);
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result, Gradients(*step, head->value, 0));
  EXPECT_TRUE(result.finite);
  PROTOPAGE_ASSERT_OK(session->backend()->Copy(result.loss.d_rows, head->gradient));
  PROTOPAGE_ASSERT_OK(step->Update(1));
  EXPECT_EQ(NetValues(*session), before);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows_after,
                                 session->head()->Rows(session->backend()));
  EXPECT_NE(rows_after, rows_before);
}

TEST_F(NetStepTest, StagesOfDifferentDropoutShareTheNet) {
  TrainConfig config = Config();
  config.stages.push_back(config.stages[0]);
  config.stages[1].dropout = 0.6;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  const Net* const net = session->net();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  const auto loss_of = [&](int stage) -> absl::StatusOr<double> {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto step,
                               NetStep::Create(session.get(), config.stages[stage], &source_, {}));
    step->loader().Submit(0, records_);
    PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, Gradients(*step, rows, 0));
    return result.loss.loss;
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double first, loss_of(0));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double second, loss_of(1));
  EXPECT_NE(first, second);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double again, loss_of(0));
  EXPECT_EQ(again, first);
  EXPECT_EQ(session->net(), net);
}

TEST_F(NetStepTest, SectionsOfCheckpointsKeepTheirNames) {
  const TrainConfig config = Config();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  std::vector<std::string> names;
  for (const CheckpointSection& section : step->Sections()) names.push_back(section.name);
  EXPECT_EQ(names, (std::vector<std::string>{"optimizer", "loss", "loss_scale"}));
}

TEST_F(NetStepTest, ThereIsNoUpdateAfterAStepThatIsNotFinite) {
  TrainConfig config = Config();
  config.model.input_scale = 1e38;  // Activations overflow.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto step,
                                 NetStep::Create(session.get(), config.stages[0], &source_, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor rows, Rows(session->backend()));
  step->loader().Submit(0, records_);
  PROTOPAGE_ASSERT_OK(Gradients(*step, rows, 0).status());
  EXPECT_DEATH(step->Update(1).IgnoreError(), "State::kDone");
}

}  // namespace
}  // namespace protopage
