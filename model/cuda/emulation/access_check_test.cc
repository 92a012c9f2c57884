// Tests with kernels and streams, in a build with --config=races; in others there is nothing to
// find.
#include "protopage/model/cuda/emulation/access_check.h"

#include <cstdint>
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/model/cuda/emulation/device.h"
#include "protopage/model/cuda/emulation/runtime.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kThreads = 64;
constexpr int kBytes = 4 * kThreads * static_cast<int>(sizeof(int));

__global__ void Fill(int* x) { x[blockIdx.x * blockDim.x + threadIdx.x] = 1; }

// Moves x[i] to the next thread through shared memory.
__global__ void Rotate(int* x, bool before, bool after) {
  int* const shared = DynamicShared<int>();
  const unsigned i = threadIdx.x;
  shared[i] = x[i];
  if (before) __syncthreads();
  const int next = shared[(i + 1) % kThreads];
  if (after) __syncthreads();
  shared[i] = next;
  x[i] = shared[i];
}

// The same within a warp, ordered by a barrier or only by an exchange.
__global__ void RotateInWarp(int* x, bool barrier) {
  int* const shared = DynamicShared<int>();
  const unsigned i = threadIdx.x;
  shared[i] = 1;
  if (barrier) {
    __syncwarp();
  } else {
    __shfl_xor_sync(0xffffffffu, 1, 16);
  }
  x[i] = shared[i ^ 1];
}

__global__ void ReadShared(int* x) { x[threadIdx.x] = DynamicShared<int>()[threadIdx.x]; }

// Every block writes the same place.
__global__ void Flag(int* x, bool atomic) {
  if (atomic) {
    if (threadIdx.x == 0) atomicOr(x, 1);
  } else {
    if (threadIdx.x == 0) *x = 1;
  }
}

// Two threads write the halves of each word.
__global__ void Increment16(uint16_t* x) { x[threadIdx.x] = x[threadIdx.x] + uint16_t{1}; }

class AccessCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!AccessesAreReported()) GTEST_SKIP() << "needs --config=races";
    ASSERT_EQ(cudaMalloc(&x_, kBytes), cudaSuccess);
    for (cudaStream_t* stream : {&a_, &b_}) {
      ASSERT_EQ(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), cudaSuccess);
    }
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
  }
  void TearDown() override { cudaDeviceReset(); }

  // The error of the work queued so far.
  std::string Error() {
    cudaDeviceSynchronize();
    const std::string error = EmulationError();
    cudaDeviceReset();
    cudaMalloc(&x_, kBytes);
    return error;
  }
  void LaunchFill(cudaStream_t stream) { Launch(stream, dim3(4), dim3(kThreads), 0, Fill, x_); }

  int* x_ = nullptr;
  cudaStream_t a_ = nullptr, b_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

TEST_F(AccessCheckTest, ABarrierThatIsMissingIsFound) {
  const auto rotate = [&](bool before, bool after) {
    LaunchFill(a_);
    Launch(a_, dim3(1), dim3(kThreads), kThreads * sizeof(int), Rotate, x_, before, after);
    return Error();
  };
  EXPECT_EQ(rotate(true, true), "");
  EXPECT_THAT(rotate(false, true),
              AllOf(HasSubstr("Rotate"), HasSubstr("shared memory, which was never written")));
  EXPECT_THAT(rotate(true, false), HasSubstr("read, with no barrier between"));
}

TEST_F(AccessCheckTest, AnExchangeOfLanesOrdersNoMemory) {
  const auto rotate = [&](bool barrier) {
    Launch(a_, dim3(1), dim3(kThreads), kThreads * sizeof(int), RotateInWarp, x_, barrier);
    return Error();
  };
  EXPECT_EQ(rotate(true), "");
  EXPECT_THAT(rotate(false), HasSubstr("wrote, with no barrier between"));
}

TEST_F(AccessCheckTest, SharedMemoryOfTheBlockBeforeIsNotRead) {
  Launch(a_, dim3(1), dim3(kThreads), kThreads * sizeof(int), ReadShared, x_);
  EXPECT_THAT(Error(), HasSubstr("of shared memory, which was never written"));
}

TEST_F(AccessCheckTest, BlocksThatWriteOnePlaceAreFoundUnlessAtomic) {
  const auto flag = [&](bool atomic) {
    Launch(a_, dim3(3), dim3(kThreads), 0, Flag, x_, atomic);
    return Error();
  };
  EXPECT_EQ(flag(true), "");
  EXPECT_THAT(flag(false), HasSubstr("device memory, which block 0 wrote too"));
}

TEST_F(AccessCheckTest, HalvesOfAWordAreOfTwoThreads) {
  LaunchFill(a_);
  Launch(a_, dim3(1), dim3(kThreads), 0, Increment16, reinterpret_cast<uint16_t*>(x_));
  EXPECT_EQ(Error(), "");
}

TEST_F(AccessCheckTest, StreamsThatDoNotWaitForEachOtherAreFound) {
  LaunchFill(a_);
  LaunchFill(b_);
  EXPECT_THAT(Error(), HasSubstr("neither waits for the other"));

  LaunchFill(a_);
  cudaEventRecord(event_, a_);
  cudaStreamWaitEvent(b_, event_);
  LaunchFill(b_);
  EXPECT_EQ(Error(), "");

  // The event was recorded too early.
  cudaEventRecord(event_, a_);
  LaunchFill(a_);
  cudaStreamWaitEvent(b_, event_);
  LaunchFill(b_);
  EXPECT_THAT(Error(), HasSubstr("neither waits for the other"));

  // The host has waited.
  LaunchFill(a_);
  cudaStreamSynchronize(a_);
  LaunchFill(b_);
  EXPECT_EQ(Error(), "");
}

TEST_F(AccessCheckTest, AGraphIsWorkOfTheStreamThatItIsLaunchedOn) {
  cudaStreamBeginCapture(a_, cudaStreamCaptureModeThreadLocal);
  LaunchFill(a_);
  LaunchFill(a_);
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(a_, &graph);
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiate(&exec, graph);
  cudaGraphLaunch(exec, a_);
  cudaGraphLaunch(exec, a_);
  cudaStreamSynchronize(a_);
  EXPECT_EQ(EmulationError(), "");
  cudaGraphLaunch(exec, a_);
  LaunchFill(b_);
  EXPECT_THAT(Error(), HasSubstr("neither waits for the other"));
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
}

TEST_F(AccessCheckTest, ACopyOfWhatNothingHasWrittenIsFound) {
  int values[kThreads];
  cudaMemcpyAsync(values, x_, sizeof(values), cudaMemcpyDeviceToHost, a_);
  EXPECT_THAT(Error(), HasSubstr("copy reads 256 bytes at byte 0 of 1024 bytes of device memory, "
                                 "which was never written"));
  cudaMemsetAsync(x_, 0, sizeof(values), a_);
  cudaMemcpyAsync(values, x_, sizeof(values), cudaMemcpyDeviceToHost, a_);
  EXPECT_EQ(Error(), "");
}

std::string CheckOneWrite(const void* pointer, size_t bytes, uint64_t stream, int64_t position,
                          const StreamClock& clock) {
  AccessCheck& check = AccessCheck::The();
  check.Allocate(pointer, bytes, ShadowMemory::kDevice);
  check.Begin({stream, position, clock});
  if (auto error = check.Note(pointer, bytes, /*write=*/true)) return *error;
  check.Free(pointer);
  return "";
}

TEST_F(AccessCheckTest, TheExampleOfTheHeader) {
  const int values[kThreads] = {};
  EXPECT_EQ(CheckOneWrite(values, sizeof(values), /*stream=*/1000, /*position=*/1, {}), "");
}

// Compiled only: the emulation has set its own listener.
[[maybe_unused]] void TheExampleOfAccessHooks() {
  if (AccessesAreReported()) {
    SetAccessListener([](const void* p, size_t bytes, bool write) {
      std::printf("%s %zu bytes at %p\n", write ? "writes" : "reads", bytes, p);
    });
  }
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
