// DeviceTest: a test with a stream and with memory of the device, which is free at its end.
//
//   TEST_F(MyTest, Doubles) {  // class MyTest : public DeviceTest
//     float* const x = ToDevice(std::vector<float>{1.0f, 2.0f});
//     ASSERT_EQ(LaunchDouble(stream_, x, 2), cudaSuccess);
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

  // A copy of the values, `offset` of them from an aligned address.
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
  // When all that stream_ was given is done.
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

// The next number in [-1, 1) of a sequence, with a full mantissa.
inline float NextValue(uint32_t* seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return static_cast<float>(*seed >> 8) / 8388608.0f - 1.0f;
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_DEVICE_TESTING_H_
