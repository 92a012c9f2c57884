#include "protopage/model/cuda/emulation/runtime.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/model/cuda/emulation/address_sanitizer.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

__global__ void Add(float* x, float by, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += by;
}

__global__ void Set(float* x, const float* from, int n) {
  for (int i = 0; i < n; ++i) x[i] = from[i];
}

struct Copy {
  int n;
  const float* from;
  float* to;
};
__global__ void RunCopy(Copy copy) {
  for (int i = 0; i < copy.n; ++i) copy.to[i] = copy.from[i];
}

__global__ void Scale(float* x, float by) { x[blockIdx.x * blockDim.x + threadIdx.x] *= by; }

__global__ void WaitInPart(float* x) {
  if (threadIdx.x > 0) __syncthreads();
  x[0] = 1.0f;
}

constexpr int kN = 4;
constexpr size_t kBytes = kN * sizeof(float);

// A fresh device, two streams, device memory `x_` and pinned memory `host_`.
class RuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cudaDeviceReset();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&x_, kBytes), cudaSuccess);
    ASSERT_EQ(cudaHostAlloc(&host_, kBytes, cudaHostAllocDefault), cudaSuccess);
    for (int i = 0; i < kN; ++i) host_[i] = 10.0f;
    ResetEmulationCounters();
  }

  void TearDown() override {
    cudaDeviceReset();
    cudaEventDestroy(event_);
    cudaStreamDestroy(stream_);
    cudaStreamDestroy(other_);
  }

  cudaError_t AddTo(float* x, float by, cudaStream_t stream) {
    return Launch(stream, dim3(1), dim3(kN), 0, Add, x, by, kN);
  }

  // Waits for all work.
  std::vector<float> Read(const float* x) {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<float> values(kN);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), x, kBytes, cudaMemcpyDeviceToHost, stream_),
              cudaSuccess);
    return values;
  }

  cudaStream_t stream_, other_;
  cudaEvent_t event_;
  float* x_;
  float* host_;
};

TEST_F(RuntimeTest, MemoryIsNanUntilItIsWritten) {
  for (const float value : Read(x_)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(RuntimeTest, StreamsDoNothingUntilSomethingWaits) {
  cudaMemcpyAsync(x_, host_, kBytes, cudaMemcpyHostToDevice, stream_);
  AddTo(x_, 1.0f, stream_);
  cudaMemcpyAsync(host_, x_, kBytes, cudaMemcpyDeviceToHost, stream_);
  EXPECT_EQ(host_[0], 10.0f);  // Nothing has waited.
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(host_[0], 10.0f);  // The wait was for another stream.
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(host_[0], 11.0f);
}

TEST_F(RuntimeTest, PinnedMemoryIsReadLate) {
  cudaMemcpyAsync(x_, host_, kBytes, cudaMemcpyHostToDevice, stream_);
  host_[1] = 99.0f;  // Overwrites it too early.
  EXPECT_THAT(Read(x_), ElementsAre(10.0f, 99.0f, 10.0f, 10.0f));
}

TEST_F(RuntimeTest, PageableMemoryIsReadAtTheCall) {
  std::vector<float> pageable(kN, 5.0f);
  cudaMemcpyAsync(x_, pageable.data(), kBytes, cudaMemcpyHostToDevice, stream_);
  pageable[1] = 99.0f;
  EXPECT_THAT(Read(x_), Each(5.0f));
}

TEST_F(RuntimeTest, ACopyToPageableMemoryWaits) {
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  AddTo(x_, 3.0f, stream_);
  std::vector<float> pageable(kN);
  EXPECT_EQ(GetEmulationCounters().synchronizations, 0);
  cudaMemcpyAsync(pageable.data(), x_, kBytes, cudaMemcpyDeviceToHost, stream_);
  EXPECT_THAT(pageable, Each(3.0f));
  EXPECT_EQ(GetEmulationCounters().synchronizations, 1);
  EXPECT_EQ(GetEmulationCounters().pageable_copies, 1);
}

TEST_F(RuntimeTest, AStreamWaitsForTheEventOfAnother) {
  float* y;
  ASSERT_EQ(cudaMalloc(&y, kBytes), cudaSuccess);
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  AddTo(x_, 1.0f, stream_);
  cudaEventRecord(event_, stream_);
  AddTo(x_, 100.0f, stream_);  // After the event.
  cudaStreamWaitEvent(other_, event_, 0);
  Launch(other_, dim3(1), dim3(1), 0, Set, y, x_, kN);
  cudaMemcpyAsync(host_, y, kBytes, cudaMemcpyDeviceToHost, other_);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(host_[0], 1.0f);
  EXPECT_THAT(Read(x_), Each(101.0f));
}

TEST_F(RuntimeTest, WithoutTheEventTheOtherStreamIsTooEarly) {
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  cudaMemcpyAsync(host_, x_, kBytes, cudaMemcpyDeviceToHost, other_);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_TRUE(std::isnan(host_[0]));
}

TEST_F(RuntimeTest, InTheShuffledOrderAStreamMayRunAhead) {
  ASSERT_EQ(setenv("PROTOPAGE_CUDA_EMULATION_ORDER", "shuffled", 1), 0);
  // One stream reads memory that another one overwrites, without an event between them: either of
  // them may be first.
  int old_seen = 0, new_seen = 0;
  for (int i = 0; i < 40; ++i) {
    std::fill_n(host_, kN, 7.0f);
    cudaMemsetAsync(x_, 0, kBytes, stream_);
    cudaStreamSynchronize(stream_);
    AddTo(x_, 1.0f, stream_);
    cudaMemcpyAsync(x_, host_, kBytes, cudaMemcpyHostToDevice, other_);
    const float seen = Read(x_)[0];
    EXPECT_TRUE(seen == 7.0f || seen == 8.0f) << seen;
    ++(seen == 7.0f ? old_seen : new_seen);
  }
  EXPECT_GT(old_seen, 0);
  EXPECT_GT(new_seen, 0);
  ASSERT_EQ(unsetenv("PROTOPAGE_CUDA_EMULATION_ORDER"), 0);
}

TEST_F(RuntimeTest, AnEventIsWaitedForAloneAndStandsForItsLastRecord) {
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  cudaEventRecord(event_, stream_);
  AddTo(x_, 1.0f, stream_);
  cudaEventRecord(event_, stream_);
  AddTo(x_, 1.0f, stream_);
  cudaMemcpyAsync(host_, x_, kBytes, cudaMemcpyDeviceToHost, other_);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(host_[0], 1.0f);
}

TEST_F(RuntimeTest, TimedEventsTellTheTimeBetweenThem) {
  cudaEvent_t start, end;
  ASSERT_EQ(cudaEventCreateWithFlags(&start, cudaEventDefault), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&end, cudaEventDefault), cudaSuccess);
  float milliseconds = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  cudaEventRecord(start, stream_);
  AddTo(x_, 1.0f, stream_);
  cudaEventRecord(end, stream_);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  cudaEventSynchronize(end);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GT(milliseconds, 0.0f);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

TEST_F(RuntimeTest, WorkOfADestroyedStreamIsStillDone) {
  cudaStream_t gone;
  ASSERT_EQ(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking), cudaSuccess);
  cudaMemsetAsync(x_, 0, kBytes, gone);
  EXPECT_EQ(cudaStreamDestroy(gone), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(gone), cudaErrorInvalidResourceHandle);
  EXPECT_THAT(Read(x_), Each(0.0f));
}

TEST_F(RuntimeTest, FreeingWaits) {
  float* y;
  ASSERT_EQ(cudaMalloc(&y, kBytes), cudaSuccess);
  cudaMemsetAsync(y, 0, kBytes, stream_);
  cudaMemcpyAsync(host_, y, kBytes, cudaMemcpyDeviceToHost, stream_);
  EXPECT_EQ(cudaFree(y), cudaSuccess);
  EXPECT_EQ(host_[0], 0.0f);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFree(host_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(x_), cudaErrorInvalidValue);
}

// --- Graphs ---

TEST_F(RuntimeTest, AGraphReplaysWhatWasCaptured) {
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  AddTo(x_, 1.0f, stream_);
  // The other stream joins the capture and returns to this one.
  cudaEventRecord(event_, stream_);
  cudaStreamWaitEvent(other_, event_, 0);
  AddTo(x_, 2.0f, other_);
  cudaEventRecord(event_, other_);
  cudaStreamWaitEvent(stream_, event_, 0);
  cudaMemcpyAsync(host_, x_, kBytes, cudaMemcpyDeviceToHost, stream_);
  cudaGraph_t graph;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  cudaGraphExec_t exec;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(host_[0], 10.0f);  // Captured, not run.

  ResetEmulationCounters();
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_EQ(host_[0], 3.0f * i);
  }
  EXPECT_EQ(GetEmulationCounters().graph_launches, 3);
  EXPECT_EQ(GetEmulationCounters().launches, 0);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(RuntimeTest, ACaptureMustBeJoined) {
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  cudaEventRecord(event_, stream_);
  cudaStreamWaitEvent(other_, event_, 0);
  AddTo(x_, 2.0f, other_);
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureUnjoined);
  // No stream is in the capture any longer.
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
}

TEST_F(RuntimeTest, ACaptureForbidsToWaitAndToAllocate) {
  std::vector<float> pageable(kN);
  float* y;
  const std::vector<std::function<cudaError_t()>> forbidden = {
      [&] { return cudaStreamSynchronize(stream_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaMalloc(&y, kBytes); },
      [&] { return cudaFree(x_); },
      [&] { return cudaMemcpyAsync(pageable.data(), x_, kBytes, cudaMemcpyDeviceToHost, stream_); },
  };
  for (const auto& call : forbidden) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(AddTo(x_, 1.0f, stream_), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  }
  // An event from before the capture inside it, and an event of the capture outside.
  cudaEventRecord(event_, other_);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event_, 0), cudaErrorStreamCaptureIsolation);
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  cudaEventRecord(event_, stream_);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

// --- Errors ---

TEST_F(RuntimeTest, MemoryRunsOut) {
  SetEmulatedDeviceMemory(1000);
  size_t free_bytes, total_bytes;
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(total_bytes, 1000);
  EXPECT_EQ(free_bytes, 1000 - kBytes);
  float* y;
  EXPECT_EQ(cudaMalloc(&y, 1000 - kBytes + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&y, 1000 - kBytes), cudaSuccess);
  EXPECT_EQ(cudaFree(y), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&y, 1000 - kBytes), cudaSuccess);
  EXPECT_EQ(GetEmulationCounters().peak_device_bytes, 1000);
  SetEmulatedDeviceMemory(int64_t{8} << 30);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

TEST_F(RuntimeTest, WithoutADeviceEveryCallFails) {
  SetEmulatedDeviceCount(0);
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  float* y;
  EXPECT_EQ(cudaMalloc(&y, kBytes), cudaErrorNoDevice);
  SetEmulatedDeviceCount(1);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
}

TEST_F(RuntimeTest, ALaunchBeyondTheLimitsIsRefused) {
  const auto launch = [&](dim3 grid, dim3 block, size_t shared_bytes) {
    return Launch(stream_, grid, block, shared_bytes, Add, x_, 1.0f, 0);
  };
  EXPECT_EQ(launch(dim3(1), dim3(1024), 48 << 10), cudaSuccess);
  EXPECT_EQ(launch(dim3(1), dim3(1025), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(32, 33), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(1, 1, 65), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(0), dim3(1), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1, 65536), dim3(1), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1), dim3(1), (48 << 10) + 1), cudaErrorInvalidValue);
  // The error does not persist.
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(RuntimeTest, CopiesCheckTheirPointers) {
  std::vector<float> pageable(kN);
  EXPECT_EQ(cudaMemcpyAsync(x_, host_, kBytes + 1, cudaMemcpyHostToDevice, stream_),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(x_, host_, kBytes, cudaMemcpyDeviceToHost, stream_),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(pageable.data(), x_, kBytes, cudaMemcpyDeviceToDevice, stream_),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(x_ + 1, 0, kBytes, stream_), cudaErrorInvalidValue);
}

TEST_F(RuntimeTest, AFailureInAKernelIsToldByTheWaitAndLasts) {
  EXPECT_EQ(Launch(stream_, dim3(1), dim3(kN), 0, WaitInPart, x_), cudaSuccess);
  AddTo(x_, 1.0f, stream_);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaMalloc(&x_, kBytes), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_THAT(EmulationError(), AllOf(HasSubstr("WaitInPart"), HasSubstr("block (0, 0, 0)"),
                                      HasSubstr("runtime_test.cc")));
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&x_, kBytes), cudaSuccess);
  EXPECT_EQ(EmulationError(), "");
}

TEST_F(RuntimeTest, AKernelMayOnlyBeGivenMemoryOfTheDevice) {
  std::vector<float> pageable(kN);
  EXPECT_EQ(AddTo(pageable.data(), 1.0f, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(EmulationError(), AllOf(HasSubstr("Add"), HasSubstr("argument 0")));
}

TEST_F(RuntimeTest, MemoryThatWasFreedIsNotOfTheDevice) {
  cudaFree(x_);
  EXPECT_EQ(AddTo(x_, 1.0f, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
}

TEST_F(RuntimeTest, PointersInAStructMustBeOfTheDevice) {
  std::vector<float> pageable(kN);
  EXPECT_EQ(Launch(stream_, dim3(1), dim3(1), 0, RunCopy, Copy{kN, host_, x_}), cudaSuccess);
  EXPECT_THAT(Read(x_), Each(10.0f));
  EXPECT_EQ(Launch(stream_, dim3(1), dim3(1), 0, RunCopy, Copy{0, pageable.data(), x_}),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(EmulationError(), AllOf(HasSubstr("RunCopy"), HasSubstr("argument 0")));
}

TEST_F(RuntimeTest, PointersInAStructMustNotBeFreed) {
  float* y;
  ASSERT_EQ(cudaMalloc(&y, kBytes), cudaSuccess);
  cudaFree(y);
  EXPECT_EQ(Launch(stream_, dim3(1), dim3(1), 0, RunCopy, Copy{0, x_, y}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
}

// The end of an array, or the address of an empty one, is a valid pointer.
TEST_F(RuntimeTest, AKernelMayBeGivenNullAndTheEndOfAnArray) {
  EXPECT_EQ(Launch(stream_, dim3(1), dim3(1), 0, Set, x_ + kN, nullptr, 0), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess) << EmulationError();
}

TEST_F(RuntimeTest, CountsWhatIsDone) {
  float* y;
  cudaMalloc(&y, kBytes);
  cudaMemcpyAsync(y, host_, kBytes, cudaMemcpyHostToDevice, stream_);
  AddTo(y, 1.0f, stream_);
  AddTo(y, 1.0f, stream_);
  cudaStreamSynchronize(stream_);
  cudaFree(y);
  const EmulationCounters counters = GetEmulationCounters();
  EXPECT_EQ(counters.mallocs, 1);
  EXPECT_EQ(counters.frees, 1);
  EXPECT_EQ(counters.host_mallocs, 0);
  EXPECT_EQ(counters.copies, 1);
  EXPECT_EQ(counters.pageable_copies, 0);
  EXPECT_EQ(counters.launches, 2);
  EXPECT_EQ(counters.synchronizations, 2);
  EXPECT_EQ(counters.device_bytes, static_cast<int64_t>(kBytes));
  EXPECT_EQ(counters.peak_device_bytes, static_cast<int64_t>(2 * kBytes));
}

TEST_F(RuntimeTest, TheExampleOfTheHeader) {
  const int n = 512;
  const std::vector<float> values(n, 3.0f);
  const float* const host = values.data();
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  float* x;
  cudaMalloc(&x, n * sizeof(float));
  cudaMemcpyAsync(x, host, n * sizeof(float), cudaMemcpyHostToDevice, stream);
  Launch(stream, dim3(n / 256), dim3(256), 0, Scale, x, 2.0f);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(EmulationError(), "");
  std::vector<float> scaled(n);
  EXPECT_EQ(cudaMemcpyAsync(scaled.data(), x, n * sizeof(float), cudaMemcpyDeviceToHost, stream),
            cudaSuccess);
  EXPECT_THAT(scaled, Each(6.0f));
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

// --- Found by AddressSanitizer only ---

using RuntimeDeathTest = RuntimeTest;

TEST_F(RuntimeDeathTest, AddressSanitizerFindsAWriteBeyondDeviceMemory) {
  if (!kAddressSanitizer) GTEST_SKIP() << "--config=asan finds it";
  EXPECT_DEATH(
      {
        Launch(stream_, dim3(1), dim3(kN + 1), 0, Add, x_, 1.0f, kN + 1);
        cudaStreamSynchronize(stream_);
      },
      "heap-buffer-overflow");
}

TEST_F(RuntimeDeathTest, AddressSanitizerFindsTheHostInDeviceMemory) {
  if (!kAddressSanitizer) GTEST_SKIP() << "--config=asan finds it";
  cudaMemsetAsync(x_, 0, kBytes, stream_);
  cudaStreamSynchronize(stream_);
  EXPECT_DEATH(x_[0] = 1.0f, "use-after-poison");
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
