#include "protopage/model/cuda/emulation/device.h"

#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/cuda/emulation/address_sanitizer.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr unsigned kFull = 0xffffffffu;
constexpr Order kOrders[] = {Order::kForward, Order::kReverse, Order::kShuffled};

absl::Status RunThreads(dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> thread,
                        Order order = Order::kForward) {
  KernelLaunch launch;
  launch.grid = grid;
  launch.block = block;
  launch.shared_bytes = shared_bytes;
  launch.kernel = reinterpret_cast<const void*>(&KernelName);
  launch.thread = std::move(thread);
  launch.order = order;
  launch.seed = 7;
  return RunKernel(launch);
}

// Sums 256 values per block in a tree, with one barrier per step.
void TreeSum(const float* x, float* sums, bool with_barrier) {
  float* const shared = DynamicShared<float>();
  const unsigned i = threadIdx.x;
  shared[i] = x[blockIdx.x * blockDim.x + i];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (with_barrier) __syncthreads();
    if (i < half) shared[i] += shared[i + half];
  }
  if (i == 0) sums[blockIdx.x] = shared[0];
}

std::vector<float> TreeSums(Order order, bool with_barrier) {
  std::vector<float> x(4 * 256);
  std::iota(x.begin(), x.end(), 0.0f);
  std::vector<float> sums(4, -1.0f);
  PROTOPAGE_EXPECT_OK(RunThreads(
      dim3(4), dim3(256), 256 * sizeof(float),
      [&] { TreeSum(x.data(), sums.data(), with_barrier); }, order));
  return sums;
}

TEST(DeviceTest, BarriersMakeAReductionRightInEveryOrder) {
  // For each b, the sum of the numbers in [256 b, 256 (b + 1)).
  const std::vector<float> expected = {32640.0f, 98176.0f, 163712.0f, 229248.0f};
  for (const Order order : kOrders) EXPECT_EQ(TreeSums(order, true), expected);
}

TEST(DeviceTest, AMissingBarrierShowsInSomeOrder) {
  const std::vector<float> expected = {32640.0f, 98176.0f, 163712.0f, 229248.0f};
  int wrong = 0;
  for (const Order order : kOrders) wrong += TreeSums(order, false) != expected;
  EXPECT_GT(wrong, 0);
}

// Lanes that exchange wait for each other, but no warp waits for another.
TEST(DeviceTest, AMissingBarrierShowsBetweenWarpsWhoseLanesExchange) {
  std::vector<int> seen(64);
  PROTOPAGE_ASSERT_OK(RunThreads(dim3(1), dim3(64), 64 * sizeof(int), [&] {
    int* const shared = DynamicShared<int>();
    const unsigned i = threadIdx.x;
    shared[i] = 1;
    __syncthreads();
    seen[i] = __shfl_sync(kFull, shared[(i + 32) % 64], 5);
    shared[i] = 2;  // The other warp has not read it yet.
  }));
  EXPECT_EQ(seen[0], 1);
  EXPECT_EQ(seen[32], 2);
}

// Here a thread reads the value of another one that it should wait for: wrong in one order only.
TEST(DeviceTest, AMissingBarrierThatOneOrderHidesShowsInTheOther) {
  const auto shifted = [](Order order) {
    std::vector<float> out(64);
    PROTOPAGE_EXPECT_OK(RunThreads(
        dim3(1), dim3(64), 64 * sizeof(float),
        [&] {
          float* const shared = DynamicShared<float>();
          shared[threadIdx.x] = static_cast<float>(threadIdx.x);
          out[threadIdx.x] = shared[threadIdx.x == 0 ? 0 : threadIdx.x - 1];
        },
        order));
    return out[63];
  };
  EXPECT_EQ(shifted(Order::kForward), 62.0f);
  EXPECT_TRUE(std::isnan(shifted(Order::kReverse)));
}

TEST(DeviceTest, EveryThreadOfEveryBlockRunsOnce) {
  for (const Order order : kOrders) {
    const dim3 grid(3, 4, 2), block(5, 2, 7);
    std::vector<int> count(24 * 70);
    PROTOPAGE_ASSERT_OK(RunThreads(
        grid, block, 0,
        [&] {
          EXPECT_EQ(gridDim.y, 4);
          const unsigned b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
          const unsigned t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
          ++count[b * 70 + t];
        },
        order));
    EXPECT_EQ(count, std::vector<int>(24 * 70, 1));
  }
}

TEST(DeviceTest, OrdersAreWhatTheySay) {
  const auto trace = [](Order order) {
    std::vector<unsigned> threads;
    PROTOPAGE_EXPECT_OK(RunThreads(
        dim3(2), dim3(16), 0, [&] { threads.push_back(blockIdx.x * 16 + threadIdx.x); }, order));
    return threads;
  };
  std::vector<unsigned> counted(32);
  std::iota(counted.begin(), counted.end(), 0u);
  EXPECT_EQ(trace(Order::kForward), counted);
  EXPECT_NE(trace(Order::kShuffled), counted);
  std::reverse(counted.begin(), counted.end());
  EXPECT_EQ(trace(Order::kReverse), counted);
  EXPECT_NE(trace(Order::kShuffled), counted);
  EXPECT_EQ(trace(Order::kShuffled), trace(Order::kShuffled));
}

TEST(DeviceTest, SharedMemoryIsNanBeforeEveryBlock) {
  int numbers = 0;
  PROTOPAGE_ASSERT_OK(RunThreads(dim3(3), dim3(1), 4 * sizeof(float), [&] {
    float* const shared = DynamicShared<float>();
    for (int i = 0; i < 4; ++i) {
      numbers += !std::isnan(shared[i]);
      shared[i] = 1.0f;
    }
  }));
  EXPECT_EQ(numbers, 0);
}

// Each lane gets the value that the other lane provides to this exchange, not to an earlier one.
TEST(DeviceTest, LanesExchangeValues) {
  for (const Order order : kOrders) {
    std::vector<int> sum(64), next(64), third(64);
    std::vector<double> other(64);
    PROTOPAGE_ASSERT_OK(RunThreads(
        dim3(1), dim3(64), 0,
        [&] {
          const int i = static_cast<int>(threadIdx.x);
          int v = i;
          for (int k = 16; k > 0; k /= 2) v += __shfl_xor_sync(kFull, v, k);
          sum[i] = v;
          next[i] = __shfl_down_sync(kFull, i, 2u);
          third[i] = __shfl_sync(kFull, i, 35);
          other[i] = __shfl_xor_sync(kFull, i + 0.5, 1);
        },
        order));
    for (int i = 0; i < 64; ++i) {
      EXPECT_EQ(sum[i], i < 32 ? 496 : 1520);
      EXPECT_EQ(next[i], i % 32 < 30 ? i + 2 : i);
      EXPECT_EQ(third[i], i / 32 * 32 + 3);
      EXPECT_EQ(other[i], (i ^ 1) + 0.5);
    }
  }
}

TEST(DeviceTest, PartsOfAWarpExchangeUnderTheirOwnMasks) {
  std::vector<unsigned> sum(32);
  PROTOPAGE_ASSERT_OK(RunThreads(dim3(1), dim3(32), 0, [&] {
    const unsigned i = threadIdx.x;
    if (i < 16) {
      unsigned v = i;
      for (int k = 8; k > 0; k /= 2) v += __shfl_xor_sync(0xffffu, v, k);
      sum[i] = v;
    } else {
      sum[i] = __shfl_sync(0xffff0000u, i, 31);
    }
  }));
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(sum[i], i < 16 ? 120 : 31);
}

TEST(DeviceTest, WarpsWaitForTheirLanesOnly) {
  std::vector<float> copy(32);
  PROTOPAGE_ASSERT_OK(RunThreads(dim3(1), dim3(32), 32 * sizeof(float), [&] {
    float* const shared = DynamicShared<float>();
    shared[31 - threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncwarp();
    copy[threadIdx.x] = shared[threadIdx.x];
  }));
  for (int i = 0; i < 32; ++i) EXPECT_EQ(copy[i], 31.0f - i);
}

TEST(DeviceTest, LanesThatExitedAreNotWaitedFor) {
  int ran = 0;
  PROTOPAGE_ASSERT_OK(RunThreads(dim3(1), dim3(20), 0, [&] {
    if (threadIdx.x >= 10) return;
    __syncwarp();
    // Among the first eight lanes, none of which has exited.
    if (threadIdx.x < 8) ran += __shfl_xor_sync(0xffu, 1, 4);
  }));
  EXPECT_EQ(ran, 8);
}

TEST(DeviceTest, AnExchangeWithALaneThatIsNotThereIsReported) {
  // A lane beyond the 20 of the block, one that has exited, one that is not in the mask.
  EXPECT_THAT(RunThreads(dim3(1), dim3(20), 0, [] { __shfl_xor_sync(kFull, 1, 16); }).message(),
              AllOf(HasSubstr("reads lane 20, which does not exist"), HasSubstr("thread (4, 0, 0)"),
                    HasSubstr("device_test.cc")));
  EXPECT_THAT(RunThreads(dim3(1), dim3(32), 0,
                         [] {
                           if (threadIdx.x != 9) __shfl_sync(kFull, 1, 9);
                         })
                  .message(),
              HasSubstr("reads lane 9, which has exited, in __shfl_sync"));
  EXPECT_THAT(RunThreads(dim3(1), dim3(32), 0,
                         [] {
                           if (threadIdx.x < 16) __shfl_down_sync(0xffffu, 1.0f, 1u);
                         })
                  .message(),
              HasSubstr("reads lane 16, which is not in the mask"));
  EXPECT_THAT(RunThreads(dim3(1), dim3(32), 0, [] { __shfl_sync(1u, 1, 0); }).message(),
              HasSubstr("is not in its own mask 0x1 of __shfl_sync"));
}

TEST(DeviceTest, LanesThatWaitForEachOtherWithDifferentMasksAreReported) {
  EXPECT_THAT(
      RunThreads(dim3(1), dim3(32), 0, [] { __syncwarp(threadIdx.x == 31 ? 0xfffffffeu : kFull); })
          .message(),
      HasSubstr("waits with mask 0xfffffffe for thread (1, 0, 0), whose mask is "
                "0xffffffff, in __syncwarp"));
}

TEST(DeviceTest, ABarrierThatSomeThreadsDoNotReachIsReported) {
  for (const Order order : kOrders) {
    const absl::Status exited = RunThreads(
        dim3(2), dim3(64), 0,
        [] {
          if (threadIdx.x >= 40) return;
          __syncthreads();
        },
        order);
    EXPECT_EQ(exited.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(exited.message(),
                AllOf(HasSubstr("waits forever in __syncthreads"), HasSubstr("has exited"),
                      HasSubstr("block ("), HasSubstr("device_test.cc")));
    const absl::Status elsewhere = RunThreads(
        dim3(1), dim3(64), 0,
        [] {
          if (threadIdx.x < 32) {
            __syncthreads();
          } else {
            __syncthreads();
          }
        },
        order);
    EXPECT_THAT(elsewhere.message(), HasSubstr("waits in __syncthreads"));
  }
}

// The threads of a failed block have stopped midway.
TEST(DeviceTest, RunsTheNextKernelAfterAnError) {
  ASSERT_FALSE(RunThreads(dim3(1), dim3(64), 0, [] {
                 if (threadIdx.x > 0) __syncthreads();
               }).ok());
  EXPECT_EQ(TreeSums(Order::kForward, true)[0], 32640.0f);
}

TEST(DeviceTest, ReadsTheOrderFromTheEnvironment) {
  const char* const kName = "PROTOPAGE_CUDA_EMULATION_ORDER";
  const char* const before = std::getenv(kName);
  const std::string kept = before == nullptr ? "forward" : before;
  setenv(kName, "reverse", 1);
  EXPECT_EQ(OrderFromEnvironment().value(), Order::kReverse);
  setenv(kName, "shuffled", 1);
  EXPECT_EQ(OrderFromEnvironment().value(), Order::kShuffled);
  setenv(kName, "random", 1);
  EXPECT_THAT(OrderFromEnvironment(), StatusIs(absl::StatusCode::kInvalidArgument, "\"random\""));
  setenv(kName, kept.c_str(), 1);
}

TEST(DeviceTest, Bf16RoundsToTheNearestAndKeepsInfinityAndNan) {
  // Halfway between 1 and its successor 1 + 2^-7: ties to even.
  EXPECT_EQ(FromBf16Bits(ToBf16Bits(1.0f + 1.0f / 256)), 1.0f);
  EXPECT_EQ(FromBf16Bits(ToBf16Bits(1.0f + 3.0f / 256)), 1.0f + 2.0f / 128);
  EXPECT_EQ(FromBf16Bits(ToBf16Bits(1.0f + 1.001f / 256)), 1.0f + 1.0f / 128);
  EXPECT_EQ(FromBf16Bits(ToBf16Bits(-INFINITY)), -INFINITY);
  EXPECT_EQ(FromBf16Bits(ToBf16Bits(3.4e38f)), INFINITY);
  float nan;
  const uint32_t nan_bits = 0x7f800001;  // Its upper half is that of infinity.
  std::memcpy(&nan, &nan_bits, sizeof(nan));
  EXPECT_TRUE(std::isnan(FromBf16Bits(ToBf16Bits(nan))));
  EXPECT_TRUE(std::isnan(FromHalfBits(ToHalfBits(nan))));
  EXPECT_EQ(FromHalfBits(ToHalfBits(65504.0f)), 65504.0f);
}

__global__ void Sum(const float* x, float* sum) {
  float* const shared = DynamicShared<float>();
  shared[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  if (threadIdx.x > 0) return;
  *sum = 0.0f;
  for (unsigned i = 0; i < blockDim.x; ++i) *sum += shared[i];
}

TEST(DeviceTest, TheExampleOfTheHeader) {
  const std::vector<float> x(64, 2.0f);
  float sum = 0.0f;
  PROTOPAGE_ASSERT_OK(
      RunThreads(dim3(1), dim3(64), 64 * sizeof(float), [&] { Sum(x.data(), &sum); }));
  EXPECT_EQ(sum, 128.0f);
}

TEST(AddressSanitizerTest, TheExampleOfTheHeader) {
  std::vector<char> memory(64);
  char* const p = memory.data();
  const size_t bytes = memory.size();
  PoisonMemory(p, bytes);
  UnpoisonMemory(p, bytes);
  p[0] = 1;
}

using DeviceDeathTest = ::testing::Test;

TEST(DeviceDeathTest, AddressSanitizerFindsAWriteBeyondSharedMemory) {
  if (!kAddressSanitizer) GTEST_SKIP() << "--config=asan finds it";
  EXPECT_DEATH(RunThreads(dim3(1), dim3(33), 32 * sizeof(float),
                          [] { DynamicShared<float>()[threadIdx.x] = 1.0f; })
                   .IgnoreError(),
               "heap-buffer-overflow");
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
