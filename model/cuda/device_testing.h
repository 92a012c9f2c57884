// DeviceTest: a test fixture with a stream and device memory that is freed at the end.
//
//   class ScaleTest : public DeviceTest {};
//   TEST_F(ScaleTest, Doubles) {
//     float* const x = ToDevice(std::vector<float>{1.0f, 2.0f});
//     ASSERT_EQ(LaunchScale(stream_, 2.0f, 2, x), cudaSuccess);
//     EXPECT_THAT(ToHost(x, 2), ElementsAre(2.0f, 4.0f));
//   }
#ifndef PROTOPAGE_MODEL_CUDA_DEVICE_TESTING_H_
#define PROTOPAGE_MODEL_CUDA_DEVICE_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    for (void* const memory : memory_) EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
  }

  // Copies the values to the device, to an address `offset` elements after an aligned one.
  template <typename T>
  T* ToDevice(const std::vector<T>& values, size_t offset = 0) {
    T* device = nullptr;
    EXPECT_EQ(cudaMalloc(&device, (values.size() + offset) * sizeof(T)), cudaSuccess);
    memory_.push_back(device);
    EXPECT_EQ(cudaMemcpyAsync(device + offset, values.data(), values.size() * sizeof(T),
                              cudaMemcpyHostToDevice, stream_),
              cudaSuccess);
    return device + offset;
  }
  // Copies `n` values from the device, after all work queued on stream_.
  std::vector<float> ToHost(const float* device, size_t n) {
    std::vector<float> values(n);
    EXPECT_EQ(
        cudaMemcpyAsync(values.data(), device, n * sizeof(float), cudaMemcpyDeviceToHost, stream_),
        cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return values;
  }

  cudaStream_t stream_ = nullptr;

 private:
  std::vector<void*> memory_;
};

// Returns the next number of a sequence in [-1, 1), with a full mantissa.
inline float NextValue(uint32_t* seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return static_cast<float>(*seed >> 8) / 8388608.0f - 1.0f;
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_DEVICE_TESTING_H_
