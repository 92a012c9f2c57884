// The host side of the CUDA runtime, emulated: memory, streams, events, graphs and launches, under
// CUDA's own names, as far as the project uses them. What is not said here is as CUDA documents it.
//
//   cudaStream_t stream;
//   cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
//   float* x;
//   cudaMalloc(&x, n * sizeof(float));
//   cudaMemcpyAsync(x, host, n * sizeof(float), cudaMemcpyHostToDevice, stream);
//   Launch(stream, dim3(n / 256), dim3(256), 0, Scale, x, 2.0f);  // Has not run yet.
//   cudaStreamSynchronize(stream);                                // Now it has.
//
// Where CUDA leaves a choice, the emulation makes the least convenient one:
//   - Streams are lazy. Asynchronous work is queued and runs only when something waits for it: a
//     synchronization, cudaFree, or another stream that waits for an event and is itself waited
//     for. So a missing wait shows as old data. With PROTOPAGE_CUDA_EMULATION_ORDER=shuffled some
//     streams run ahead of others instead, so that data overwritten too early shows as well.
//   - A copy from pageable memory reads its source at the call, one from or to pinned memory when
//     it runs. A copy to pageable memory waits.
//   - Device memory is allocated as heap blocks of exactly the requested size, filled with 0xFF (as
//     floats: NaN), and cudaFree frees them. Under AddressSanitizer the host must not access it,
//     except by copies.
//   - Pointers are checked: those in the arguments of kernels, also within structs, and those of
//     copies must lie in allocated device or pinned memory. Pointers in tables in device memory are
//     left to AddressSanitizer.
//   - With --config=races two more things are errors (access_check.h): accesses to one place by the
//     work of two streams, neither of which waits for the other, and reads of memory that was never
//     written.
//
// A failure of queued work is returned by the call that waits, and by every later one until
// cudaDeviceReset(). EmulationError() and a line on stderr give the details.
//
// Thread-safe. Queued work runs in the thread that waits.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_RUNTIME_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "protopage/model/cuda/emulation/device.h"
#include "protopage/model/cuda/emulation/pointers_in.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureMerge = 902,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907,
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

// --- Devices: one, unless SetEmulatedDeviceCount() changes that ---

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  int multiProcessorCount;
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaDeviceSynchronize();
// Frees all memory, and discards all queued work and the error of a failed device. Streams, events
// and graphs may only be destroyed afterwards.
cudaError_t cudaDeviceReset();

// --- Memory ---

constexpr unsigned cudaHostAllocDefault = 0;

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
};

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** pointer, size_t bytes);
template <typename T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
cudaError_t cudaFree(void* pointer);
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags);
template <typename T>
cudaError_t cudaHostAlloc(T** pointer, size_t bytes, unsigned flags) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
cudaError_t cudaFreeHost(void* pointer);

// --- Streams and events. The null stream is like the others. ---

namespace protopage {
namespace emulation {
struct Stream;
struct Event;
struct Graph;
struct GraphExec;
}  // namespace emulation
}  // namespace protopage

using cudaStream_t = protopage::emulation::Stream*;
using cudaEvent_t = protopage::emulation::Event*;
using cudaGraph_t = protopage::emulation::Graph*;
using cudaGraphExec_t = protopage::emulation::GraphExec*;

constexpr unsigned cudaStreamDefault = 0;
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0;
constexpr unsigned cudaEventDisableTiming = 2;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
// Measured by the clock of the host.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream = nullptr);

// --- Graphs, by capture ---

// A graph runs its work in the order in which it was captured. Instantiating one needs some free
// device memory.

enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

namespace protopage {
namespace emulation {

// --- For tests ---

// Counts since the start of the program or the last ResetEmulationCounters().
struct EmulationCounters {
  int64_t mallocs = 0;          // cudaMalloc
  int64_t frees = 0;            // cudaFree
  int64_t host_mallocs = 0;     // cudaHostAlloc
  int64_t host_frees = 0;       // cudaFreeHost
  int64_t launches = 0;         // Kernels queued, other than by a graph.
  int64_t copies = 0;           // Copies queued, other than by a graph.
  int64_t pageable_copies = 0;  // Those of them from or to pageable memory.
  int64_t graph_launches = 0;
  // Calls in which the host waits: cudaStreamSynchronize, cudaEventSynchronize,
  // cudaDeviceSynchronize, cudaFree, cudaFreeHost, and copies to pageable memory.
  int64_t synchronizations = 0;
  int64_t device_bytes = 0;       // Allocated now.
  int64_t peak_device_bytes = 0;  // The largest device_bytes.
};
EmulationCounters GetEmulationCounters();
void ResetEmulationCounters();  // Keeps device_bytes.

// Limits the memory that cudaMalloc can allocate in total. Default 8 GiB.
void SetEmulatedDeviceMemory(int64_t bytes);

// 0: as on a machine without a GPU, every call fails with cudaErrorNoDevice.
void SetEmulatedDeviceCount(int count);

// The major version that cudaGetDeviceProperties returns. Default 9.
void SetEmulatedComputeCapability(int major);

// The failure of the device in one line; "" if there is none.
std::string EmulationError();

// --- For the emulation of cuBLAS, and for Launch() ---

// A pointer passed to a kernel, or the range of memory that other work accesses.
struct DeviceRange {
  const void* pointer;
  size_t bytes;
  std::string what;  // For messages: "argument 2".
};

// Queues `work`. When it runs, `ranges` must lie in device or pinned memory (null pointers aside);
// an error of `work` makes the device fail.
cudaError_t Enqueue(cudaStream_t stream, std::vector<DeviceRange> ranges,
                    std::function<absl::Status()> work);

// Report an access by work that is not a kernel; `what` names it in messages. Errors: Internal, if
// AccessCheck finds one.
absl::Status NoteRead(const char* what, const void* pointer, size_t bytes);
absl::Status NoteWrite(const char* what, const void* pointer, size_t bytes);

// Queues a kernel. Errors: those of cudaLaunchKernel.
cudaError_t EnqueueKernel(cudaStream_t stream, KernelLaunch launch,
                          std::vector<DeviceRange> ranges);

template <typename T>
void AppendPointers(const T& argument, int position, std::vector<DeviceRange>* ranges) {
  ForEachPointerIn(argument, [&](const void* pointer) {
    ranges->push_back({pointer, 0, "argument " + std::to_string(position)});
  });
}

}  // namespace emulation

// See model/cuda/platform.h.
template <typename... P, typename... A>
cudaError_t Launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*kernel)(P...), A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  const std::tuple<P...> parameters(static_cast<P>(std::forward<A>(args))...);
  std::vector<emulation::DeviceRange> pointers;
  int position = 0;
  std::apply([&](const P&... p) { (emulation::AppendPointers(p, position++, &pointers), ...); },
             parameters);
  emulation::KernelLaunch launch;
  launch.grid = grid;
  launch.block = block;
  launch.shared_bytes = shared_bytes;
  launch.kernel = reinterpret_cast<const void*>(kernel);
  launch.thread = [kernel, parameters] { std::apply(kernel, parameters); };
  return emulation::EnqueueKernel(stream, std::move(launch), std::move(pointers));
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_RUNTIME_H_
