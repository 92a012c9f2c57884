#include "protopage/model/cuda/emulation/tensor_core.h"

#include <cstdint>
#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace emulation {
namespace {

constexpr int kRows = 32, kRowWords = 4;
constexpr Order kOrders[] = {Order::kForward, Order::kReverse, Order::kShuffled};

// For two warps: lane l points to row l of shared memory, which holds the 16-bit numbers 0, 1, 2,
// ...
void RunWarps(Order order, const std::function<void(const uint32_t* row)>& thread) {
  KernelLaunch launch;
  launch.block = dim3(2 * warpSize);
  launch.shared_bytes = kRows * kRowWords * sizeof(uint32_t);
  launch.kernel = reinterpret_cast<const void*>(&KernelName);
  launch.order = order;
  launch.seed = 3;
  launch.thread = [&] {
    uint32_t* const row = DynamicShared<uint32_t>() + threadIdx.x % warpSize * kRowWords;
    if (threadIdx.x < warpSize) {
      for (uint32_t i = 0; i < kRowWords; ++i) {
        const uint32_t first = 2 * (threadIdx.x * kRowWords + i);
        row[i] = first | (first + 1) << 16;
      }
    }
    __syncthreads();
    thread(row);
  };
  PROTOPAGE_ASSERT_OK(RunKernel(launch));
}
uint32_t Number(unsigned row, unsigned column) { return row * 2 * kRowWords + column; }

TEST(TensorCoreTest, LanesGetTheWordsOfTheirRows) {
  for (const Order order : kOrders) {
    RunWarps(order, [](const uint32_t* row) {
      const unsigned lane = threadIdx.x % warpSize;
      for (int round = 0; round < 3; ++round) {
        uint32_t words[4];
        LoadMatrices(row, words);
        for (unsigned i = 0; i < 4; ++i) {
          const uint32_t first = Number(8 * i + lane / 4, lane % 4 * 2);
          EXPECT_EQ(words[i], first | (first + 1) << 16) << lane << " " << i;
        }
      }
    });
  }
}

TEST(TensorCoreTest, LanesGetTheNumbersOfTheirColumns) {
  for (const Order order : kOrders) {
    RunWarps(order, [](const uint32_t* row) {
      const unsigned lane = threadIdx.x % warpSize;
      uint32_t words[4];
      LoadMatricesTransposed(row, words);
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned from = 8 * i + lane % 4 * 2, column = lane / 4;
        EXPECT_EQ(words[i], Number(from, column) | Number(from + 1, column) << 16)
            << lane << " " << i;
      }
    });
  }
}

// Consecutive products; the lanes do not wait for each other after the last one.
TEST(TensorCoreTest, MultipliesWhatTheLanesGive) {
  for (const Order order : kOrders) {
    RunWarps(order, [](const uint32_t*) {
      const unsigned lane = threadIdx.x % warpSize, group = lane / 4, quarter = lane % 4;
      const auto bits = [](unsigned x) { return ToTf32Bits(static_cast<float>(x)); };
      float sums[4] = {};
      double expected[4] = {};
      for (unsigned round = 0; round < 3; ++round) {
        // a [16, 8] = row + round, b [8, 8] = word - column.
        const uint32_t a[4] = {bits(group + round), bits(group + 8 + round), bits(group + round),
                               bits(group + 8 + round)};
        const uint32_t b[2] = {bits(8 + quarter - group), bits(12 + quarter - group)};
        MultiplyAddTf32(a, b, sums);
        for (unsigned i = 0; i < 4; ++i) {
          const unsigned row = group + i / 2 * 8, column = 2 * quarter + i % 2;
          for (unsigned word = 0; word < 8; ++word) {
            expected[i] += static_cast<double>(row + round) * (8 + word - column);
          }
        }
      }
      for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(sums[i], expected[i]) << lane << " " << i;
    });
  }
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
