// Stages on the emulated CUDA backend: steps of the stage trainers with prefetched images and rows,
// and fp16 with its loss scale.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/types.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/precision.h"
#include "protopage/model/testing/rounding_error.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

constexpr int64_t kSource = 0, kDominant = 3;  // Stages of TinyListConfig.

// Products in the longest sum of a forward step of seed_cnn.
constexpr int64_t kDepth = 9 * 64;
constexpr int kSeeds = 6;

struct Trained {
  std::vector<double> losses;
  std::vector<bool> skipped;
  std::vector<double> scales;
  NamedValues net;
  NamedValues updates;  // With with_updates_: the sum of what the steps changed in the net.
  RowMatrixXf rows;
};

void AddDifference(const NamedValues& after, const NamedValues& before, NamedValues* sum) {
  if (sum->empty()) {
    *sum = before;
    for (auto& [name, values] : *sum) std::fill(values.begin(), values.end(), 0.0f);
  }
  for (size_t i = 0; i < sum->size(); ++i) {
    for (size_t j = 0; j < (*sum)[i].second.size(); ++j) {
      (*sum)[i].second[j] += after[i].second[j] - before[i].second[j];
    }
  }
}

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0.0f;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

float LargestDifference(const RowMatrixXf& a, const RowMatrixXf& b) {
  return (a - b).cwiseAbs().maxCoeff();
}

// Expects `actual` to differ from `cpu` by no more than the effect of rounding, which runs on the
// CPU with perturbed weights estimate (model/testing/rounding_error.h).
void ExpectWithinRounding(const Trained& actual, const Trained& cpu,
                          const std::vector<Trained>& perturbed, double scale) {
  std::vector<std::vector<double>> losses;
  for (const Trained& run : perturbed) losses.push_back(run.losses);
  const std::vector<double> bounds = RoundingBounds(cpu.losses, losses, scale);
  ASSERT_EQ(actual.losses.size(), bounds.size());
  for (size_t step = 0; step < bounds.size(); ++step) {
    EXPECT_NEAR(actual.losses[step], cpu.losses[step], bounds[step]) << step;
  }
  if (cpu.rows.size() == 0) return;
  // Rows are of length 1: an element is rounded by 2^-25 at most, once a step.
  double rows = std::ldexp(static_cast<double>(cpu.losses.size()), -25);
  for (const Trained& run : perturbed) {
    rows = std::max<double>(rows, LargestDifference(run.rows, cpu.rows));
  }
  EXPECT_LT(LargestDifference(actual.rows, cpu.rows), kRoundingHeadroom * rows);
}

class CudaTrainingTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/cuda_training_test_", getpid());
    PROTOPAGE_ASSERT_OK(WriteTinyLists(dir_));
  }

  // Steps of a stage from random weights; on the CPU without `cuda`. The net's weights are
  // perturbed by `weight_error` before each.
  absl::StatusOr<Trained> Train(bool cuda, Precision precision, int64_t steps,
                                const std::vector<std::string>& set = {}, int64_t stage = kDominant,
                                double weight_error = 0.0, uint64_t seed = 0) {
    const TrainConfig config = TinyListTrainConfig(dir_, set);
    PROTOPAGE_ASSIGN_OR_RETURN(const auto session, NewSession(config, cuda, precision));
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string directory, NewDirectory());
    PROTOPAGE_ASSIGN_OR_RETURN(const auto trainer,
                               stage == kSource
                                   ? NewSourceTrainer(session.get(), stage, 0, false)
                                   : NewDominantTrainer(session.get(), stage, 0, directory, false));
    Trained trained;
    for (int64_t step = 0; step < steps; ++step) {
      if (weight_error > 0.0) {
        PROTOPAGE_RETURN_IF_ERROR(
            Perturb(*session, weight_error, seed, static_cast<uint64_t>(step) << 32));
      }
      NamedValues before;
      if (with_updates_) before = NetValues(*session);
      PROTOPAGE_ASSIGN_OR_RETURN(const StepOutcome outcome, trainer->Step({step, step, steps}, 1));
      trained.losses.push_back(outcome.loss);
      trained.skipped.push_back(outcome.skipped);
      trained.scales.push_back(trainer->totals().loss_scale);
      EXPECT_TRUE(!outcome.skipped || outcome.overflowed) << step;
      if (with_updates_) AddDifference(NetValues(*session), before, &trained.updates);
    }
    PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
    trained.net = NetValues(*session);
    if (stage == kDominant) trained.rows = PrototypeRows(*session);
    return trained;
  }

  // Dominant steps. From step `at` on the other device runs them, which resumes from a checkpoint
  // as trainer/run/trainer.cc does.
  absl::StatusOr<Trained> TrainOnBoth(bool cuda_first, int64_t at, int64_t steps) {
    const TrainConfig config = TinyListTrainConfig(dir_);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string directory, NewDirectory());
    const std::string folder = JoinPath(directory, "checkpoint");
    PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(folder));
    const std::string model = JoinPath(folder, "model.h5");
    nlohmann::json state;
    std::vector<ClassId> unindexed;
    Trained trained;
    for (const bool resumed : {false, true}) {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto session,
                                 NewSession(config, cuda_first != resumed, Precision::kFloat32));
      if (resumed) {
        PROTOPAGE_ASSIGN_OR_RETURN(
            auto set, PrototypeSet::Restore(directory, folder, session->prototype_options(),
                                            &session->pool()));
        set->set_unindexed(unindexed);
        session->set_prototypes(std::move(set));
      }
      PROTOPAGE_ASSIGN_OR_RETURN(
          const auto trainer, NewDominantTrainer(session.get(), kDominant, 0, directory, resumed));
      std::vector<CheckpointSection> sections = session->Sections();
      for (CheckpointSection& section : trainer->Sections()) sections.push_back(std::move(section));
      if (resumed) {
        PROTOPAGE_RETURN_IF_ERROR(
            LoadCheckpoint(DefaultFileSystem(), model, sections, session->backend()));
        PROTOPAGE_RETURN_IF_ERROR(trainer->RestoreState(state));
      }
      for (int64_t step = resumed ? at : 0; step < (resumed ? steps : at); ++step) {
        PROTOPAGE_ASSIGN_OR_RETURN(const StepOutcome outcome,
                                   trainer->Step({step, step, steps}, 1));
        trained.losses.push_back(outcome.loss);
      }
      PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
      if (!resumed) {
        state = trainer->SaveState();
        unindexed = session->prototypes()->unindexed();
        PROTOPAGE_RETURN_IF_ERROR(
            SaveCheckpoint(DefaultFileSystem(), model, sections, session->backend()));
        PROTOPAGE_RETURN_IF_ERROR(session->prototypes()->SaveCheckpoint(folder));
      }
      trained.rows = PrototypeRows(*session);
    }
    return trained;
  }

  static absl::StatusOr<std::unique_ptr<Session>> NewSession(const TrainConfig& config, bool cuda,
                                                             Precision precision) {
    if (!cuda) {
      TrainConfig on_cpu = config;
      on_cpu.device = "cpu";  // Not "auto", which is the GPU where there is one.
      return Session::Create(on_cpu);
    }
    CudaBackendOptions options;
    options.precision = precision;
    PROTOPAGE_ASSIGN_OR_RETURN(auto backend, NewCudaBackend(options));
    return Session::Create(config, std::move(backend));
  }

  absl::StatusOr<std::string> NewDirectory() {
    const std::string directory = absl::StrCat(dir_, "/run", runs_++);
    PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(directory));
    return directory;
  }

  // One run on the CPU for each seed.
  absl::StatusOr<std::vector<Trained>> TrainPerturbed(Precision precision, int64_t steps,
                                                      const std::vector<std::string>& set = {},
                                                      int64_t stage = kDominant) {
    std::vector<Trained> runs;
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      PROTOPAGE_ASSIGN_OR_RETURN(runs.emplace_back(),
                                 Train(false, Precision::kFloat32, steps, set, stage,
                                       RoundingError(precision, kDepth), seed));
    }
    return runs;
  }

  static absl::Status Perturb(Session& session, double weight_error, uint64_t seed,
                              uint64_t stream) {
    for (const Parameter* parameter : session.net()->parameters()) {
      std::vector<float> values(parameter->value.num_elements());
      PROTOPAGE_RETURN_IF_ERROR(session.backend()->CopyToHost(parameter->value, values.data()));
      PerturbRelatively(weight_error, seed, stream++, &values);
      PROTOPAGE_RETURN_IF_ERROR(session.backend()->CopyToDevice(values.data(), parameter->value));
    }
    return absl::OkStatus();
  }

  std::string dir_;
  int runs_ = 0;
  // Reading the net waits for the device, which tests of the order of its work must not.
  bool with_updates_ = false;
};

TEST_F(CudaTrainingTest, DominantStepsAgreeWithTheProcessorsAlsoWhenResumedOnTheOther) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cpu, Train(false, Precision::kFloat32, 6));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cuda, Train(true, Precision::kFloat32, 6));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto perturbed, TrainPerturbed(Precision::kFloat32, 6));
  ExpectWithinRounding(cuda, cpu, perturbed, LossConfig().scale);
  EXPECT_NE(cuda.losses.back(), cuda.losses.front());
  for (const bool cuda_first : {false, true}) {
    SCOPED_TRACE(cuda_first ? "a checkpoint of the GPU, resumed on the CPU"
                            : "a checkpoint of the CPU, resumed on the GPU");
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained both, TrainOnBoth(cuda_first, 3, 6));
    const Trained& first = cuda_first ? cuda : cpu;
    const Trained& other = cuda_first ? cpu : cuda;
    for (int step = 0; step < 3; ++step) EXPECT_EQ(both.losses[step], first.losses[step]);
    EXPECT_NE(both.losses, first.losses);
    EXPECT_NE(both.losses, other.losses);
    ExpectWithinRounding(both, cpu, perturbed, LossConfig().scale);
  }
}

TEST_F(CudaTrainingTest, TheSameBitsWhateverIsPrefetchedAndInWhateverOrderThreadsRun) {
  // With frozen queues the look-ahead only says how early a step is known. With 0 nothing is
  // prefetched.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained late,
                                 Train(true, Precision::kFloat32, 6,
                                       {"selection.look_ahead=0", "selection.frozen_queues=true"}));
  for (const char* order : {"forward", "reverse", "shuffled"}) {
    ASSERT_EQ(setenv("PROTOPAGE_CUDA_EMULATION_ORDER", order, 1), 0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        const Trained early, Train(true, Precision::kFloat32, 6,
                                   {"selection.look_ahead=4", "selection.frozen_queues=true"}));
    EXPECT_EQ(early.losses, late.losses) << order;
    EXPECT_TRUE(early.net == late.net) << order;
    EXPECT_TRUE(early.rows == late.rows) << order;
  }
  ASSERT_EQ(unsetenv("PROTOPAGE_CUDA_EMULATION_ORDER"), 0);
}

TEST_F(CudaTrainingTest, HalfOfTheProcessorsLoadImagesByDefault) {
  const std::pair<const char*, int> cases[] = {
      {"loader_threads=0", 3}, {"loader_threads=2", 2}, {"threads=1", 1}, {"threads=64", 8}};
  for (const auto& [setting, threads] : cases) {
    const TrainConfig config = TinyListTrainConfig(dir_, {"threads=6", setting});
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session,
                                   NewSession(config, /*cuda=*/true, Precision::kFloat32));
    EXPECT_EQ(session->LoaderThreads(), threads) << setting;
  }
}

TEST_F(CudaTrainingTest, SourceStepsAgreeWithTheProcessors) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cpu,
                                 Train(false, Precision::kFloat32, 8, {}, kSource));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cuda,
                                 Train(true, Precision::kFloat32, 8, {}, kSource));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto perturbed,
                                 TrainPerturbed(Precision::kFloat32, 8, {}, kSource));
  ExpectWithinRounding(cuda, cpu, perturbed, LossConfig().scale);
}

TEST_F(CudaTrainingTest, EveryPrecisionTrainsAsFloat32Does) {
  with_updates_ = true;
  // SGD, as Adam would not notice gradients of another size; logits so small that fp16 skips no
  // step.
  const std::vector<std::string> sgd = {"stages[3].optimizer.name=sgd",
                                        "stages[3].optimizer.learning_rate=0.01", "loss.scale=1"};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cpu, Train(false, Precision::kFloat32, 2, sgd));
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
    SCOPED_TRACE(PrecisionName(precision));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Trained cuda, Train(true, precision, 2, sgd));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto perturbed, TrainPerturbed(precision, 2, sgd));
    EXPECT_EQ(cuda.scales.front() > 1, precision == Precision::kFp16);
    EXPECT_EQ(cuda.skipped, cpu.skipped);
    ExpectWithinRounding(cuda, cpu, perturbed, 1.0);
    for (size_t i = 0; i < cpu.updates.size(); ++i) {
      const auto& [name, updates] = cpu.updates[i];
      // Batch norm takes the bias before it away: its gradient is 0 but for rounding.
      if (name == "conv_1/bias") continue;
      // A weight is rounded by half a unit in its last place at each step.
      double largest = 0.0;
      for (const float value : cpu.net[i].second) {
        largest = std::max<double>(largest, std::ldexp(std::abs(value), -23));
      }
      for (const Trained& run : perturbed) {
        largest = std::max<double>(largest, LargestDifference(run.updates[i].second, updates));
      }
      EXPECT_LT(LargestDifference(cuda.updates[i].second, updates), kRoundingHeadroom * largest)
          << name;
    }
  }
}

TEST_F(CudaTrainingTest, GradientsThatOverflowHalveTheLossScaleAndSkipTheStep) {
  // Features of the last layer times this reach the gradients of fp16's largest numbers at the
  // first scale.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const Trained trained,
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
