#include "protopage/model/device.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/cuda_device.h"

namespace protopage {
namespace {

TEST(DeviceTest, CpuIsTheCpu) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend,
                                 NewBackend("cpu", {}, &pool));
  EXPECT_EQ(backend->device(), DeviceType::kCpu);
}

TEST(DeviceTest, AutoAlwaysGivesADevice) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend,
                                 NewBackend("auto", {}, &pool));
  const bool gpu = NewCudaDevice({}).ok();
  EXPECT_EQ(backend->device(), gpu ? DeviceType::kCuda : DeviceType::kCpu);
}

TEST(DeviceTest, CudaIsTheGpuOrAnErrorThatSaysWhatToDo) {
  ThreadPool pool(1);
  const auto backend = NewBackend("cuda", {}, &pool);
  if (backend.ok()) {
    EXPECT_EQ((*backend)->device(), DeviceType::kCuda);
    return;
  }
  EXPECT_THAT(backend, StatusIs(absl::StatusCode::kFailedPrecondition, "device cuda: "));
  if (!HasCudaBackend()) {
    EXPECT_THAT(backend, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  "built without CUDA; build with --config=cuda"));
  }
}

TEST(DeviceTest, RejectsAnotherDevice) {
  ThreadPool pool(1);
  EXPECT_THAT(NewBackend("tpu", {}, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "device: found \"tpu\", expected auto, cpu or cuda"));
}

TEST(DeviceTest, TheCpuComputesInFloat32Only) {
  ThreadPool pool(1);
  for (const Precision precision : {Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
    EXPECT_THAT(
        NewBackend("cpu", {.precision = precision}, &pool),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 absl::StrCat("precision: found ", PrecisionName(precision), " with device cpu")));
  }
}

TEST(DeviceTest, AutoWithoutAGpuRefusesAPrecisionOfGpus) {
  if (NewCudaDevice({}).ok()) GTEST_SKIP() << "there is a GPU";
  ThreadPool pool(1);
  EXPECT_THAT(NewBackend("auto", {.precision = Precision::kBf16}, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "precision: found bf16"));
}

absl::Status Example() {
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewBackend("auto", {}, &pool));
  LogInfo(backend->Description());
  return absl::OkStatus();
}

TEST(DeviceTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(Example()); }

// The examples of backend.h and tensor.h.
absl::Status BackendExample() {
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCpuBackend(&pool));
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
  PROTOPAGE_RETURN_IF_ERROR(backend->Fill(x, 0.5f));
  PROTOPAGE_RETURN_IF_ERROR(backend->ReluForward(x, x));  // In place.
  return absl::OkStatus();
}
absl::Status TensorExample(Backend* backend, const std::vector<float>& host) {
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
  PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(host.data(), x));
  return absl::OkStatus();
}

TEST(BackendTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(BackendExample()); }

TEST(TensorTest, TheExampleOfTheHeader) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto backend, NewCpuBackend(&pool));
  PROTOPAGE_EXPECT_OK(TensorExample(backend.get(), std::vector<float>(64 * 32 * 32 * 3)));
}

}  // namespace
}  // namespace protopage
