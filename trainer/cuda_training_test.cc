// Stages on the CUDA backend, emulated: steps of the trainer's own, with images and rows that are brought
// early, and fp16 with its loss scale.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/status_matchers.h"
#include "model/cuda/cuda_backend.h"
#include "trainer/session_testing.h"
#include "trainer/stage_trainer.h"
#include "trainer/test_images.h"

namespace protopage {
namespace {

constexpr int64_t kSource = 0, kDominant = 3;  // Stages of TinyListConfig.

struct Trained {
  std::vector<double> losses;
  std::vector<bool> skipped;
  std::vector<double> scales;
  NamedValues net;
  RowMatrixXf rows;
};

class CudaTrainingTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/cuda_training_test_", getpid());
    ASSERT_OK(WriteTinyLists(dir_));
  }

  // Steps of a stage from random weights; on the CPU without `cuda`.
  absl::StatusOr<Trained> Train(bool cuda, Precision precision, int64_t steps,
                                const std::vector<std::string>& set = {},
                                int64_t stage = kDominant) {
    const TrainConfig config = TinyListTrainConfig(dir_, set);
    std::unique_ptr<Session> session;
    if (cuda) {
      CudaBackendOptions options;
      options.precision = precision;
      ASSIGN_OR_RETURN(auto backend, NewCudaBackend(options));
      ASSIGN_OR_RETURN(session, Session::Create(config, std::move(backend)));
    } else {
      ASSIGN_OR_RETURN(session, Session::Create(config));
    }
    const std::string directory = absl::StrCat(dir_, "/run", runs_++);
    RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(directory));
    ASSIGN_OR_RETURN(const auto trainer,
                     stage == kSource
                         ? NewSourceTrainer(session.get(), stage, 0, false)
                         : NewDominantTrainer(session.get(), stage, 0, directory, false));
    Trained trained;
    for (int64_t step = 0; step < steps; ++step) {
      ASSIGN_OR_RETURN(const StepOutcome outcome, trainer->Step({step, step, steps}, 1));
      trained.losses.push_back(outcome.loss);
      trained.skipped.push_back(outcome.skipped);
      trained.scales.push_back(trainer->totals().loss_scale);
      EXPECT_TRUE(!outcome.skipped || outcome.overflowed) << step;
    }
    RETURN_IF_ERROR(trainer->Settle());
    trained.net = NetValues(*session);
    if (stage == kDominant) trained.rows = PrototypeRows(*session);
    return trained;
  }

  std::string dir_;
  int runs_ = 0;
};

TEST_F(CudaTrainingTest, DominantStepsAgreeWithTheProcessors) {
  ASSERT_OK_AND_ASSIGN(const Trained cpu, Train(false, Precision::kFloat32, 6));
  ASSERT_OK_AND_ASSIGN(const Trained cuda, Train(true, Precision::kFloat32, 6));
  for (size_t step = 0; step < cpu.losses.size(); ++step) {
    // Rounding alone, as between two processors: sums of some thousand products of float32, whose
    // differences grow from step to step (model/training_steps.h).
    EXPECT_NEAR(cuda.losses[step], cpu.losses[step], 1e-3 * cpu.losses[step]) << step;
  }
  EXPECT_NEAR(cuda.losses[0], cpu.losses[0], 1e-5 * cpu.losses[0]);
  EXPECT_LT((cuda.rows - cpu.rows).cwiseAbs().maxCoeff(), 1e-2);
  EXPECT_NE(cuda.losses.back(), cuda.losses.front());
}

TEST_F(CudaTrainingTest, TheSameBitsWhateverIsBroughtEarlyAndInWhateverOrderThreadsRun) {
  // Frozen queues: the look-ahead says only how early a step is known. With 0 nothing is brought early.
  ASSERT_OK_AND_ASSIGN(const Trained late,
                       Train(true, Precision::kFloat32, 6,
                             {"selection.look_ahead=0", "selection.frozen_queues=true"}));
  for (const char* order : {"forward", "reverse", "shuffled"}) {
    ASSERT_EQ(setenv("PROTOPAGE_CUDA_EMULATION_ORDER", order, 1), 0);
    ASSERT_OK_AND_ASSIGN(const Trained early,
                         Train(true, Precision::kFloat32, 6,
                               {"selection.look_ahead=4", "selection.frozen_queues=true"}));
    EXPECT_EQ(early.losses, late.losses) << order;
    EXPECT_TRUE(early.net == late.net) << order;
    EXPECT_TRUE(early.rows == late.rows) << order;
  }
  ASSERT_EQ(unsetenv("PROTOPAGE_CUDA_EMULATION_ORDER"), 0);
}

TEST_F(CudaTrainingTest, SourceStepsAgreeWithTheProcessors) {
  ASSERT_OK_AND_ASSIGN(const Trained cpu, Train(false, Precision::kFloat32, 8, {}, kSource));
  ASSERT_OK_AND_ASSIGN(const Trained cuda, Train(true, Precision::kFloat32, 8, {}, kSource));
  for (size_t step = 0; step < cpu.losses.size(); ++step) {
    EXPECT_NEAR(cuda.losses[step], cpu.losses[step], 1e-3 * cpu.losses[step]) << step;
  }
}

// The largest difference between two nets, as a share of the largest change that training made to `a`.
double Distance(const NamedValues& a, const NamedValues& b, const NamedValues& before) {
  double difference = 0, change = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[i].second.size(); ++j) {
      difference = std::max<double>(difference, std::abs(a[i].second[j] - b[i].second[j]));
      change = std::max<double>(change, std::abs(a[i].second[j] - before[i].second[j]));
    }
  }
  return difference / change;
}

TEST_F(CudaTrainingTest, SixteenBitsTrainAsFloat32Does) {
  // SGD, as Adam would not notice gradients of another size; logits so small that fp16 skips no step.
  const std::vector<std::string> sgd = {"stages[3].optimizer.name=sgd",
                                        "stages[3].optimizer.learning_rate=0.01", "loss.scale=1"};
  ASSERT_OK_AND_ASSIGN(const Trained before, Train(true, Precision::kFloat32, 0, sgd));
  ASSERT_OK_AND_ASSIGN(const Trained full, Train(true, Precision::kFloat32, 2, sgd));
  for (const Precision precision : {Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
    SCOPED_TRACE(static_cast<int>(precision));
    ASSERT_OK_AND_ASSIGN(const Trained trained, Train(true, precision, 2, sgd));
    EXPECT_EQ(trained.scales.front() > 1, precision == Precision::kFp16);
    EXPECT_EQ(trained.skipped, full.skipped);
    // bf16 keeps 8 bits: relative errors of 2^-9 a factor, which mostly cancel in sums.
    EXPECT_NEAR(trained.losses[0], full.losses[0], 0.02 * full.losses[0]);
    EXPECT_NE(trained.losses, full.losses);  // They are other sums.
    EXPECT_LT(Distance(full.net, trained.net, before.net), 0.05);
    EXPECT_LT((trained.rows - full.rows).cwiseAbs().maxCoeff(),
              0.05 * (before.rows - full.rows).cwiseAbs().maxCoeff());
  }
}

TEST_F(CudaTrainingTest, GradientsThatOverflowHalveTheLossScaleAndSkipTheStep) {
  // Features of the last layer times this reach the gradients of fp16's largest numbers at the first scale.
  ASSERT_OK_AND_ASSIGN(const Trained trained,
                       Train(true, Precision::kFp16, 24, {"loss.scale=4000", "loss.margin=0.5"}));
  int64_t skipped = 0;
  for (const bool each : trained.skipped) skipped += each;
  ASSERT_GT(skipped, 0);
  ASSERT_LT(skipped, 24);
  double scale = 65536;
  for (size_t step = 0; step < trained.skipped.size(); ++step) {
    if (trained.skipped[step]) scale /= 2;
    EXPECT_EQ(trained.scales[step], scale) << step;
  }
  // What was skipped changed nothing: all is finite.
  for (const auto& [name, values] : trained.net) {
    for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name;
  }
  EXPECT_TRUE(trained.rows.allFinite());
}

}  // namespace
}  // namespace protopage
