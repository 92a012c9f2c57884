// What a training step asks of the device once it has run a few times, counted by the emulation of
// CUDA.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/cuda/emulation/runtime.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

constexpr int64_t kSource = 0, kDominant = 3;  // Stages of TinyListConfig.

// Runs steps until eight in a row were launched as graphs, a step's backward pass and the next
// one's forward pass, and allocated nothing.
void ExpectSteadySteps(int64_t stage, Precision precision, int64_t waits, int64_t launches,
                       std::vector<std::string> set = {}) {
  constexpr int64_t kMaxSteps = 200, kSteady = 8;
  const std::string dir =
      absl::StrCat(testing::TempDir(), "/cuda_steady_step_test_", getpid(), "_", stage);
  PROTOPAGE_ASSERT_OK(WriteTinyLists(dir));
  set.push_back("loss.scale=1");  // So small that fp16 skips no step.
  CudaBackendOptions options;
  options.precision = precision;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto backend, NewCudaBackend(options));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<Session> session,
      Session::Create(TinyListTrainConfig(dir, set), std::move(backend)));
  auto made = stage == kSource ? NewSourceTrainer(session.get(), stage, 0, false)
                               : NewDominantTrainer(session.get(), stage, 0, dir, false);
  PROTOPAGE_ASSERT_OK(made);
  const std::unique_ptr<StageTrainer> trainer = *std::move(made);
  int64_t steady = 0;
  for (int64_t step = 0; step < kMaxSteps && steady < kSteady; ++step) {
    emulation::ResetEmulationCounters();
    PROTOPAGE_ASSERT_OK(trainer->Step({step, step, kMaxSteps}, 1).status());
    const emulation::EmulationCounters counters = emulation::GetEmulationCounters();
    // All that it waits for, also before it is recorded: what the host must know.
    EXPECT_EQ(counters.synchronizations, step > 0 ? waits : counters.synchronizations) << step;
    const bool is_steady = counters.graph_launches == 2 && counters.mallocs == 0 &&
                           counters.host_mallocs == 0 && counters.frees == 0 &&
                           counters.host_frees == 0 && counters.pageable_copies == 0;
    steady = is_steady ? steady + 1 : 0;
    if (is_steady) {
      EXPECT_LE(counters.launches, launches) << step;
    }
  }
  EXPECT_EQ(steady, kSteady);
  PROTOPAGE_ASSERT_OK(trainer->Settle());
}

TEST(CudaSteadyStepTest, ADominantStepIsTwoGraphsAndWaitsForLossAndRows) {
  // Beside the graphs: rows and their state that stay on the device, and the two updates.
  ExpectSteadySteps(kDominant, Precision::kFloat32, /*waits=*/2, /*launches=*/4);
}

TEST(CudaSteadyStepTest, AStepInFp16DoesNotWaitMore) {
  ExpectSteadySteps(kDominant, Precision::kFp16, /*waits=*/2, /*launches=*/4);
}

TEST(CudaSteadyStepTest, ClippingDoesNotWait) {
  ExpectSteadySteps(kDominant, Precision::kFloat32, /*waits=*/2, /*launches=*/4 + 3,
                    {"stages[3].optimizer.clip_norm=0.01"});
}

TEST(CudaSteadyStepTest, ASourceStepIsTwoGraphsAndWaitsForTheLoss) {
  ExpectSteadySteps(kSource, Precision::kFloat32, /*waits=*/1, /*launches=*/1);
}

}  // namespace
}  // namespace protopage
