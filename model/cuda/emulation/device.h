// The device side of CUDA, emulated: the functions and variables that kernels use, and RunKernel,
// which runs one.
//
//   __global__ void Sum(const float* x, float* sum) {
//     float* const shared = DynamicShared<float>();
//     shared[threadIdx.x] = x[threadIdx.x];
//     __syncthreads();
//     ...
//   }
//
// Kernels are plain functions, compiled by the ordinary compiler without any header of CUDA; they
// include this file through model/cuda/platform.h. One operating system thread runs the blocks of a
// grid in turn. The threads of a block are fibers, each of which stops at a barrier or an exchange
// of its warp until the threads that it waits for arrive. A thread that never waits costs a
// function call.
//
// Errors on a device and undefined behaviour are reported with kernel, block, thread, file and
// line:
//   - a barrier that some threads of the block do not reach, or where they wait at different
//     statements; also if a thread has exited, although newer devices allow that
//   - an exchange with a lane that has exited, does not exist or is not in the mask, and lanes that
//     wait for each other with different masks
//   - a launch beyond the limits of a device
//
// With --config=races so are races between threads (access_check.h). Shared memory is a heap block
// of exactly the requested size, so that AddressSanitizer finds accesses out of bounds. It is
// filled with 0xFF (as floats: NaN) before every block; so is device memory when it is allocated.
//
// The environment variable PROTOPAGE_CUDA_EMULATION_ORDER sets the order of threads and blocks:
// forward (the default), reverse or shuffled. A warp runs as far as it can before the next one
// starts. The results of a correct kernel do not depend on the order; a missing barrier shows in
// one of them.
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

// --- Keywords ---

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

// --- The position of a thread: set by the emulation, read by kernels ---

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace protopage {
namespace emulation {

// A place in the source of a kernel.
struct Site {
  const char* operation;
  const char* file;
  int line;
};

void SyncThreads(Site site);
// Waits for the lanes of `mask`, and orders their accesses to memory.
void SyncWarp(unsigned mask, Site site);
// Waits for all lanes of the warp; orders no memory accesses.
void MeetWarp(Site site);
// The bits of lane `source` of the same warp.
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

// --- Barriers and exchanges. Callers do not pass `file` and `line`. ---

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  protopage::emulation::SyncThreads({"__syncthreads", file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  protopage::emulation::SyncWarp(mask, {"__syncwarp", file, line});
}

// Performs *address |= bits as one access that races with no other atomicOr; returns the old value.
int atomicOr(int* address, int bits);

// The value of lane `lane` % 32.
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return protopage::emulation::ShuffleValue(mask, value, static_cast<unsigned>(lane) % warpSize,
                                            {"__shfl_sync", file, line});
}

// The value of the lane `delta` further on; the caller's own if there is no such lane.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const unsigned lane = protopage::emulation::Lane();
  const unsigned source = delta < warpSize - lane ? lane + delta : lane;
  return protopage::emulation::ShuffleValue(mask, value, source, {"__shfl_down_sync", file, line});
}

// The value of lane Lane() ^ lane_mask.
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

// Conversion between float32 and the bits of a 16-bit float; to nearest, ties to even.
inline uint16_t ToHalfBits(float x) { return FloatToHalf(x); }
inline float FromHalfBits(uint16_t bits) { return HalfToFloat(bits); }
inline uint16_t ToBf16Bits(float x) { return FloatToBfloat16(x); }
inline float FromBf16Bits(uint16_t bits) { return Bfloat16ToFloat(bits); }
// TF32: float32 with 10 bits of fraction; to nearest, ties away from zero.
inline uint32_t ToTf32Bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  // With an infinity or a NaN the sum would carry into the sign.
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

// The value of PROTOPAGE_CUDA_EMULATION_ORDER. Errors: InvalidArgument.
absl::StatusOr<Order> OrderFromEnvironment();

struct KernelLaunch {
  dim3 grid, block;
  size_t shared_bytes = 0;
  const void* kernel = nullptr;  // Its address; gives its name in messages.
  std::function<void()> thread;  // Runs one thread of the kernel.
  Order order = Order::kForward;
  uint64_t seed = 0;  // For the shuffled order.
};

// Limits of a device; a launch beyond them is refused.
constexpr unsigned kMaxThreadsPerBlock = 1024;
constexpr size_t kMaxSharedBytes = 48 << 10;

// "protopage::(anonymous namespace)::Sum()", or the address if that is not known.
std::string KernelName(const void* kernel);

// Runs the whole grid in the calling thread. Only one grid may run in the process at a time.
// Errors: Internal, if a device would or might fail; the message is one line with all details. Some
// threads have not run to their end then.
absl::Status RunKernel(const KernelLaunch& launch);

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_DEVICE_H_
