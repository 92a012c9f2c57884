// The device side of CUDA, emulated: what kernels see, and how one is run.
//
//   __global__ void Sum(const float* x, float* sum) {
//     float* shared = DynamicShared<float>();
//     shared[threadIdx.x] = x[threadIdx.x];
//     __syncthreads();
//     ...
//   }
//
// Kernels are plain functions, compiled by the ordinary compiler without any
// header of CUDA; they include this through model/cuda/platform.h. One operating
// system thread runs the blocks of a grid one after the other, and the threads of
// a block as fibers that stop at each barrier and each exchange of a warp until
// those that they wait for are there too. A thread that waits for nothing costs
// a function call.
//
// What is an error on a device, or undefined, is found and reported with
// kernel, block, thread, file and line:
//  - a barrier that some threads of the block do not reach, or where they wait at
//    different statements: here also where a thread exited before, which newer
//    devices allow;
//  - an exchange with a lane that exited, does not exist or is not in the mask,
//    and lanes that wait for each other with different masks;
//  - a launch beyond the limits of a device.
// In the build --config=races also two accesses of threads to one place, of which one writes, with
// no barrier between them (access_check.h). Shared memory is a heap block of exactly the bytes
// asked for, so that AddressSanitizer finds accesses beyond it, and is filled with 0xFF (as floats:
// NaN) before every block, as is device memory when it is allocated.
//
// The order in which threads and blocks run comes from the environment variable
// PROTOPAGE_CUDA_EMULATION_ORDER: forward (the default), reverse or shuffled. A warp
// runs as far as it can before the next one. Results of a right kernel do not depend
// on the order, and a missing barrier shows in one of them.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_DEVICE_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_DEVICE_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/bfloat16.h"
#include "protopage/base/float16.h"

// --- The words of the language ---

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// --- Vectors ---

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  constexpr dim3(unsigned x_value = 1, unsigned y_value = 1, unsigned z_value = 1)
      : x(x_value), y(y_value), z(z_value) {}
  unsigned x, y, z;
};

struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct alignas(4) uchar4 {
  unsigned char x, y, z, w;
};
inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) {
  return {x, y, z, w};
}

// --- Where a thread is. Set by the emulation, read by kernels. ---

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace protopage {
namespace emulation {

// A place in a kernel's source.
struct Site {
  const char* operation;
  const char* file;
  int line;
};

void SyncThreads(Site site);
// Waits for the lanes of `mask`, and orders their accesses to memory.
void SyncWarp(unsigned mask, Site site);
// Waits for the lanes of the whole warp.
void MeetWarp(Site site);
// The bits of lane `source` of the own warp.
uint64_t Shuffle(unsigned mask, uint64_t bits, unsigned source, Site site);
unsigned Lane();
void* SharedMemory();

template <typename T>
T ShuffleValue(unsigned mask, T value, unsigned source, Site site) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, float> ||
                    std::is_same_v<T, double>,
                "lanes exchange int, unsigned, float and double");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Shuffle(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation
}  // namespace protopage

// --- Barriers and exchanges. `file` and `line` are not for the caller. ---

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  protopage::emulation::SyncThreads({"__syncthreads", file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  protopage::emulation::SyncWarp(mask, {"__syncwarp", file, line});
}

// Makes *address |= bits, as one access that races with no other of its kind; what was there
// before.
int atomicOr(int* address, int bits);

// The value of lane `lane` modulo 32.
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return protopage::emulation::ShuffleValue(mask, value, static_cast<unsigned>(lane) % warpSize,
                                            {"__shfl_sync", file, line});
}

// The value `delta` lanes further on; the own one where there are not as many.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const unsigned lane = protopage::emulation::Lane();
  const unsigned source = delta < warpSize - lane ? lane + delta : lane;
  return protopage::emulation::ShuffleValue(mask, value, source, {"__shfl_down_sync", file, line});
}

// The value of the lane whose number differs in the bits of `lane_mask`.
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  const unsigned lane = protopage::emulation::Lane();
  const unsigned other = lane ^ static_cast<unsigned>(lane_mask);
  return protopage::emulation::ShuffleValue(mask, value, other < warpSize ? other : lane,
                                            {"__shfl_xor_sync", file, line});
}

namespace protopage {

// The dynamic shared memory of the block, aligned to 16 bytes.
template <typename T>
T* DynamicShared() {
  return static_cast<T*>(emulation::SharedMemory());
}

// float32 to the bits of a 16-bit float and back; to the nearest, ties to even.
inline uint16_t ToHalfBits(float x) { return FloatToHalf(x); }
inline float FromHalfBits(uint16_t bits) { return HalfToFloat(bits); }
inline uint16_t ToBf16Bits(float x) { return FloatToBfloat16(x); }
inline float FromBf16Bits(uint16_t bits) { return Bfloat16ToFloat(bits); }
// TF32: float32 with 10 bits of fraction, to the nearest, ties away from zero.
inline uint32_t ToTf32Bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  // An infinity or NaN would be carried into the sign.
  if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x1000) & ~uint32_t{0x1fff};
  return bits;
}
inline float FromTf32Bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

namespace emulation {

enum class Order { kForward, kReverse, kShuffled };

// That of PROTOPAGE_CUDA_EMULATION_ORDER. Errors: InvalidArgument.
absl::StatusOr<Order> OrderFromEnvironment();

struct KernelLaunch {
  dim3 grid, block;
  size_t shared_bytes = 0;
  const void* kernel = nullptr;  // Its address, for its name in messages.
  std::function<void()> thread;  // Runs one thread of the kernel.
  Order order = Order::kForward;
  uint64_t seed = 0;  // Of the shuffled order.
};

// What a device of today can do, beyond which a launch is refused.
constexpr unsigned kMaxThreadsPerBlock = 1024;
constexpr size_t kMaxSharedBytes = 48 << 10;

// "protopage::(anonymous namespace)::Sum()", or the address if that is not known.
std::string KernelName(const void* kernel);

// Runs the whole grid in the calling thread; one grid at a time in the process.
// Errors: Internal, where a device would fail or where it might, in one line
// with all that is known. Some threads have not run to their end then.
absl::Status RunKernel(const KernelLaunch& launch);

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_DEVICE_H_
