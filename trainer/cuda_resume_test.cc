// --resume of a run with `device: auto` on a machine that has gained or lost a GPU since. The CUDA
// backend is the emulated one, which can have a GPU or none.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/cuda/emulation/runtime.h"
#include "protopage/model/cuda_device.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {

// The linker takes these instead of the ones in model/no_cuda_device.cc.
bool HasCudaBackend() { return true; }
absl::StatusOr<std::unique_ptr<Backend>> NewCudaDevice(const CudaBackendOptions& options) {
  return NewCudaBackend(options);
}

namespace {

constexpr int64_t kSteps = 6, kSavedStep = 3;

class CudaResumeTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/cuda_resume_test_", getpid(), "_", GetParam());
    PROTOPAGE_ASSERT_OK(WriteTinyLists(dir_));
  }
  void TearDown() override { emulation::SetEmulatedDeviceCount(1); }

  TrainConfig Config(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> set = {absl::StrCat("stages[3].steps=", kSteps), "device=auto",
                                    "log_every_steps=1", "checkpoint_every_steps=1",
                                    "keep_checkpoints=100"};
    set.insert(set.end(), more.begin(), more.end());
    return TinyListTrainConfig(dir_, set);
  }

  // Trains on a machine with or without a GPU, as `gpu` says.
  absl::Status TrainIn(const std::string& name, bool gpu, const TrainConfig& config, bool resume) {
    emulation::SetEmulatedDeviceCount(gpu ? 1 : 0);
    emulation::ResetEmulationCounters();
    TrainOptions options;
    options.directory = JoinPath(dir_, name);
    options.resume = resume;
    const absl::Status status = Train(config, options).status();
    EXPECT_EQ(emulation::GetEmulationCounters().launches > 0, gpu && status.ok());
    return status;
  }

  // Losses of the steps of the dominant stage.
  std::vector<double> Losses(const std::string& name) const {
    std::vector<double> losses;
    auto lines = ReadMetrics(DefaultFileSystem(), JoinPath(dir_, name + "/metrics.jsonl"));
    PROTOPAGE_EXPECT_OK(lines);
    for (const auto& line : *lines) {
      if (line["kind"] == "step" && line["stage"] == "dominant") losses.push_back(line["loss"]);
    }
    return losses;
  }

  // As if the run had been killed after the checkpoint in the middle of the dominant stage.
  void ForgetLaterCheckpoints(const std::string& name) {
    FileSystem* fs = DefaultFileSystem();
    const std::string folder = JoinPath(dir_, name + "/checkpoints");
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::vector<std::string> names, fs->List(folder));
    // There is one per step, the last of them at the end of the stage, and one after the
    // evaluation.
    std::sort(names.begin(), names.end());
    const size_t forget = kSteps - kSavedStep + 1;
    ASSERT_GT(names.size(), forget);
    for (size_t i = names.size() - forget; i < names.size(); ++i) {
      PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(folder, names[i] + "/DONE")));
    }
  }

  std::string dir_;
};

TEST_P(CudaResumeTest, ARunOfDeviceAutoContinuesOnTheMachinesDevice) {
  const bool gpu_first = GetParam();
  PROTOPAGE_ASSERT_OK(TrainIn("first", gpu_first, Config(), false));
  const std::vector<double> first = Losses("first");
  ASSERT_EQ(first.size(), kSteps);
  ForgetLaterCheckpoints("first");
  PROTOPAGE_ASSERT_OK(TrainIn("first", !gpu_first, Config(), true));
  const std::vector<double> both = Losses("first");
  ASSERT_EQ(both.size(), kSteps);
  for (int64_t step = 0; step < kSavedStep; ++step) EXPECT_EQ(both[step], first[step]) << step;
  // The devices sum in other orders. cuda_training_test bounds the difference.
  EXPECT_NE(both, first);
  for (int64_t step = kSavedStep; step < kSteps; ++step) {
    EXPECT_TRUE(std::isfinite(both[step])) << step;
  }
}

TEST_P(CudaResumeTest, ARunOfAnotherDeviceIsRefused) {
  const bool gpu_first = GetParam();
  PROTOPAGE_ASSERT_OK(
      TrainIn("named", gpu_first, Config({gpu_first ? "device=cuda" : "device=cpu"}), false));
  EXPECT_THAT(TrainIn("named", true, Config({gpu_first ? "device=cpu" : "device=cuda"}), true),
              StatusIs(absl::StatusCode::kInvalidArgument, "differs"));
  EXPECT_THAT(TrainIn("named", true, Config(), true),
              StatusIs(absl::StatusCode::kInvalidArgument, "device"));
}

INSTANTIATE_TEST_SUITE_P(First, CudaResumeTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Gpu" : "Cpu"; });

}  // namespace
}  // namespace protopage
