#include "protopage/model/cuda/emulation/runtime.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/mutex.h"
#include "protopage/base/philox.h"
#include "protopage/model/cuda/emulation/access_check.h"
#include "protopage/model/cuda/emulation/address_sanitizer.h"

namespace protopage {
namespace emulation {
namespace {

// One work item of a stream.
struct Work {
  std::vector<DeviceRange> ranges;
  std::function<absl::Status()> run;
  const void* kernel = nullptr;  // Its address if it is a kernel, for messages.
  WorkTime time = {};            // Set by Queue(), except in a graph.
};

// A capture in progress.
struct Capture {
  Stream* origin = nullptr;
  bool invalid = false;
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<Work> work;
};

using TimePoint = std::chrono::steady_clock::time_point;

}  // namespace

struct Stream {
  uint64_t number = 0;
  std::deque<Work> queue;
  int64_t queued = 0;  // How many items were ever put into `queue`.
  int64_t run = 0;     // How many of them were taken out.
  StreamClock after;   // The items queued next come after these.
  std::shared_ptr<Capture> capture;
  // In a capture: how many items of each stream, itself included, this stream comes after.
  StreamClock clock;
};

struct Event {
  bool timed = false;
  // Of the last cudaEventRecord: the number of items that `stream` had queued.
  std::shared_ptr<Stream> stream;
  int64_t position = 0;
  StreamClock done;  // The items done by then.
  std::shared_ptr<std::optional<TimePoint>> time;
  // Of a cudaEventRecord in a capture.
  std::shared_ptr<Capture> capture;
  StreamClock clock;
};

struct Graph {
  std::shared_ptr<const std::vector<Work>> work;
};

struct GraphExec {
  std::shared_ptr<const std::vector<Work>> work;
};

namespace {

constexpr int kVersion = 13000;
// Alignment of cudaMalloc.
constexpr size_t kAlignment = 256;
// The free device memory that instantiating a graph needs.
constexpr int64_t kGraphBytes = 64 << 10;
constexpr int64_t kDefaultDeviceBytes = int64_t{8} << 30;

struct Allocation {
  size_t bytes = 0;
  bool pinned = false;  // Host memory.
};

thread_local cudaError_t last_error = cudaSuccess;
// The captures that this thread began; during them some calls are forbidden.
thread_local std::vector<std::shared_ptr<Capture>> thread_captures;

// The state of the emulated runtime. There is one, which only Do() and Ask() give access to, under
// its mutex. The mutex is held while queued work runs: there is one device, with one kernel at a
// time.
class Runtime {
 public:
  // Runs `call` for a function of CUDA: not if there is no device or it has failed. Keeps the error
  // for cudaGetLastError().
  template <typename Call>
  static cudaError_t Do(const Call& call);

  // Runs `call` in any case, for functions about the emulation itself.
  template <typename Call>
  static auto Ask(const Call& call);

  // --- Memory ---

  cudaError_t Allocate(void** pointer, size_t bytes, bool pinned) {
    if (pointer == nullptr) return cudaErrorInvalidValue;
    if (const cudaError_t error = ForbidInCapture(); error != cudaSuccess) return error;
    ++(pinned ? counters_.host_mallocs : counters_.mallocs);
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const int64_t left = BytesLeft();
    if (!pinned && (left < 0 || bytes > static_cast<size_t>(left))) {
      return cudaErrorMemoryAllocation;
    }
    if (posix_memalign(pointer, kAlignment, bytes) != 0) {
      *pointer = nullptr;
      return cudaErrorMemoryAllocation;
    }
    std::memset(*pointer, 0xff, bytes);
    allocations_[reinterpret_cast<uintptr_t>(*pointer)] = {bytes, pinned};
    AccessCheck::The().Allocate(*pointer, bytes,
                                pinned ? ShadowMemory::kPinned : ShadowMemory::kDevice);
    if (!pinned) {
      PoisonMemory(*pointer, bytes);
      counters_.device_bytes += static_cast<int64_t>(bytes);
      counters_.peak_device_bytes = std::max(counters_.peak_device_bytes, counters_.device_bytes);
    }
    return cudaSuccess;
  }

  int64_t BytesLeft() const { return device_bytes_ - counters_.device_bytes; }

  cudaError_t Free(void* pointer, bool pinned) {
    if (const cudaError_t error = ForbidInCapture(); error != cudaSuccess) return error;
    ++(pinned ? counters_.host_frees : counters_.frees);
    if (pointer == nullptr) return cudaSuccess;
    auto found = allocations_.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == allocations_.end() || found->second.pinned != pinned) {
      return cudaErrorInvalidValue;
    }
    if (const cudaError_t error = Synchronize(); error != cudaSuccess) return error;
    Release(found);
    return cudaSuccess;
  }

  // The allocation that [pointer, pointer + bytes) lies in, or null.
  const Allocation* Find(const void* pointer, size_t bytes) const {
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations_.upper_bound(address);
    if (after == allocations_.begin()) return nullptr;
    const auto& [start, allocation] = *std::prev(after);
    // The end itself is a pointer to an array of no elements.
    if (address - start > allocation.bytes || bytes > allocation.bytes - (address - start)) {
      return nullptr;
    }
    return &allocation;
  }

  // Whether a part of [pointer, pointer + bytes) lies in an allocation.
  bool Touches(const void* pointer, size_t bytes) const {
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations_.lower_bound(address + bytes);
    if (after == allocations_.begin()) return false;
    const auto& [start, allocation] = *std::prev(after);
    return start + allocation.bytes > address;
  }

  // --- Streams ---

  // Null if there is no such stream.
  std::shared_ptr<Stream> Get(cudaStream_t stream) {
    if (stream == nullptr) return null_stream_;
    auto found = streams_.find(stream);
    return found == streams_.end() ? nullptr : found->second;
  }

  bool Has(cudaEvent_t event) const { return events_.count(event) > 0; }

  cudaError_t Queue(cudaStream_t handle, Work work) {
    const std::shared_ptr<Stream> stream = Get(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      stream->capture->work.push_back(std::move(work));
      ++stream->clock[stream->number];
    } else {
      Merge(host_, &stream->after);
      work.time = {stream->number, ++stream->queued, stream->after};
      stream->queue.push_back(std::move(work));
      if (RunsAhead(*stream)) return RunTo(stream, stream->queued);
    }
    return cudaSuccess;
  }

  // With the shuffled order: half of the streams, a different half after each synchronization.
  bool RunsAhead(const Stream& stream) const {
    const absl::StatusOr<Order> order = OrderFromEnvironment();
    if (!order.ok() || *order != Order::kShuffled) return false;
    return Philox4x32(stream.number, 0, counters_.synchronizations).word[0] % 2 == 0;
  }

  // Runs the first `position` items of `stream`, counted from its start.
  cudaError_t RunTo(const std::shared_ptr<Stream>& stream, int64_t position) {
    // Work that runs here accesses device memory on the device's behalf.
    if (depth_++ == 0) PoisonDevice(false);
    while (stream->run < position && failure_ == cudaSuccess) {
      const Work work = std::move(stream->queue.front());
      stream->queue.pop_front();
      ++stream->run;
      Run(work, work.time);
    }
    if (--depth_ == 0) PoisonDevice(true);
    return failure_;
  }

  // All items that are queued, and those that they come after.
  static StreamClock Done(const Stream& stream) {
    StreamClock done = stream.after;
    done[stream.number] = stream.queued;
    return done;
  }

  // Makes the host wait for all items of `stream`.
  cudaError_t Await(const std::shared_ptr<Stream>& stream) {
    RunTo(stream, stream->queued);
    Merge(Done(*stream), &host_);
    return failure_;
  }

  cudaError_t Synchronize() {
    ++counters_.synchronizations;
    Await(null_stream_);
    for (const auto& [handle, stream] : streams_) Await(stream);
    for (const auto& stream : destroyed_) Await(stream);
    destroyed_.clear();
    return failure_;
  }

  void Run(const Work& work, const WorkTime& time) {
    for (const DeviceRange& range : work.ranges) {
      if (range.pointer != nullptr && Find(range.pointer, range.bytes) == nullptr) {
        return Fail(cudaErrorIllegalAddress,
                    absl::StrFormat("%s%s: %d bytes at %p do not lie in device or pinned memory",
                                    work.kernel == nullptr
                                        ? ""
                                        : absl::StrCat("kernel ", KernelName(work.kernel), ", "),
                                    range.what, range.bytes, range.pointer));
      }
    }
    now_ = time;
    AccessCheck::The().Begin(time);
    const absl::Status status = work.run();
    if (!status.ok()) Fail(cudaErrorLaunchFailure, std::string(status.message()));
  }

  void Fail(cudaError_t error, const std::string& message) {
    if (failure_ != cudaSuccess) return;
    failure_ = error;
    failure_message_ = message;
    std::fprintf(stderr, "CUDA emulation: %s\n", message.c_str());
  }

  void Reset() {
    while (!allocations_.empty()) Release(allocations_.begin());
    null_stream_ = std::make_shared<Stream>();
    for (const auto& [handle, stream] : streams_) {
      stream->queue.clear();
      stream->run = stream->queued;
      stream->capture = nullptr;
    }
    destroyed_.clear();
    failure_ = cudaSuccess;
    failure_message_.clear();
    last_error = cudaSuccess;
  }

  // --- Captures ---

  cudaError_t ForbidInCapture() {
    for (const auto& capture : thread_captures) capture->invalid = true;
    return thread_captures.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported;
  }

  static cudaError_t Invalidate(const std::shared_ptr<Stream>& stream) {
    stream->capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }

  // Handles that exist.
  std::map<cudaStream_t, std::shared_ptr<Stream>> streams_;
  uint64_t streams_made_ = 0;
  std::map<cudaEvent_t, std::unique_ptr<Event>> events_;
  std::map<cudaGraph_t, std::unique_ptr<Graph>> graphs_;
  std::map<cudaGraphExec_t, std::unique_ptr<GraphExec>> execs_;
  // Destroyed streams with items that have not run.
  std::vector<std::shared_ptr<Stream>> destroyed_;
  std::shared_ptr<Stream> null_stream_ = std::make_shared<Stream>();
  StreamClock host_;  // The items that any thread of the host has waited for.
  WorkTime now_;      // Of the item that began last.

  int64_t device_bytes_ = kDefaultDeviceBytes;
  int device_count_ = 1;
  int major_ = 9;
  EmulationCounters counters_;
  cudaError_t failure_ = cudaSuccess;
  std::string failure_message_;
  uint64_t next_seed_ = 0;  // For the shuffled order.

 private:
  struct Shared;

  void Release(std::map<uintptr_t, Allocation>::iterator found) {
    void* const pointer = reinterpret_cast<void*>(found->first);
    if (!found->second.pinned) {
      UnpoisonMemory(pointer, found->second.bytes);
      counters_.device_bytes -= static_cast<int64_t>(found->second.bytes);
    }
    AccessCheck::The().Free(pointer);
    std::free(pointer);
    allocations_.erase(found);
  }

  void PoisonDevice(bool poison) {
    if (!kAddressSanitizer) return;
    for (const auto& [address, allocation] : allocations_) {
      if (allocation.pinned) continue;
      const void* const pointer = reinterpret_cast<const void*>(address);
      (poison ? PoisonMemory : UnpoisonMemory)(pointer, allocation.bytes);
    }
  }

  std::map<uintptr_t, Allocation> allocations_;  // By address.
  int depth_ = 0;                                // Of nested calls of RunTo().
};

struct Runtime::Shared {
  static Shared& The() {
    static Shared* const shared = new Shared();
    return *shared;
  }

  Mutex mutex;
  Runtime runtime ABSL_GUARDED_BY(mutex);
};

template <typename Call>
cudaError_t Runtime::Do(const Call& call) {
  Shared& shared = Shared::The();
  const MutexLock lock(shared.mutex);
  Runtime& runtime = shared.runtime;
  cudaError_t error = cudaSuccess;
  if (runtime.device_count_ == 0) {
    error = cudaErrorNoDevice;
  } else if (runtime.failure_ != cudaSuccess) {
    error = runtime.failure_;
  } else {
    error = call(runtime);
  }
  if (error != cudaSuccess) last_error = error;
  return error;
}

template <typename Call>
auto Runtime::Ask(const Call& call) {
  Shared& shared = Shared::The();
  const MutexLock lock(shared.mutex);
  return call(shared.runtime);
}

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};

// The names and texts of CUDA.
#define PROTOPAGE_ERROR(error, text) \
  { error, #error, text }
constexpr ErrorText kErrors[] = {
    PROTOPAGE_ERROR(cudaSuccess, "no error"),
    PROTOPAGE_ERROR(cudaErrorInvalidValue, "invalid argument"),
    PROTOPAGE_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    PROTOPAGE_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    PROTOPAGE_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    PROTOPAGE_ERROR(cudaErrorInsufficientDriver,
                    "CUDA driver version is insufficient for CUDA runtime version"),
    PROTOPAGE_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    PROTOPAGE_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    PROTOPAGE_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    PROTOPAGE_ERROR(cudaErrorNotReady, "device not ready"),
    PROTOPAGE_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    PROTOPAGE_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    PROTOPAGE_ERROR(cudaErrorNotSupported, "operation not supported"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureUnsupported,
                    "operation not permitted when stream is capturing"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureInvalidated,
                    "operation failed due to a previous error during capture"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureMerge,
                    "operation would result in a merge of separate capture sequences"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureUnmatched,
                    "capture was not ended in the same stream as it began"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    PROTOPAGE_ERROR(cudaErrorStreamCaptureIsolation,
                    "dependency created on uncaptured work in another stream"),
    PROTOPAGE_ERROR(cudaErrorCapturedEvent,
                    "operation not permitted on an event last recorded in a capturing stream"),
};
#undef PROTOPAGE_ERROR

constexpr ErrorText kUnknownError = {cudaSuccess, "unrecognized error code",
                                     "unrecognized error code"};

const ErrorText& TextOf(cudaError_t error) {
  for (const ErrorText& entry : kErrors) {
    if (entry.error == error) return entry;
  }
  return kUnknownError;
}

}  // namespace

EmulationCounters GetEmulationCounters() {
  return Runtime::Ask([](Runtime& runtime) { return runtime.counters_; });
}

void ResetEmulationCounters() {
  Runtime::Ask([](Runtime& runtime) {
    EmulationCounters fresh;
    fresh.device_bytes = fresh.peak_device_bytes = runtime.counters_.device_bytes;
    runtime.counters_ = fresh;
  });
}

void SetEmulatedDeviceMemory(int64_t bytes) {
  Runtime::Ask([bytes](Runtime& runtime) { runtime.device_bytes_ = bytes; });
}

void SetEmulatedDeviceCount(int count) {
  Runtime::Ask([count](Runtime& runtime) { runtime.device_count_ = std::min(count, 1); });
}

void SetEmulatedComputeCapability(int major) {
  Runtime::Ask([major](Runtime& runtime) { runtime.major_ = major; });
}

std::string EmulationError() {
  return Runtime::Ask([](Runtime& runtime) { return runtime.failure_message_; });
}

namespace {

absl::Status NoteRange(const char* what, const void* pointer, size_t bytes, bool write) {
  const std::optional<std::string> error = AccessCheck::The().Note(pointer, bytes, write);
  return error.has_value() ? absl::InternalError(absl::StrCat(what, " ", *error))
                           : absl::OkStatus();
}

}  // namespace

absl::Status NoteRead(const char* what, const void* pointer, size_t bytes) {
  return NoteRange(what, pointer, bytes, /*write=*/false);
}
absl::Status NoteWrite(const char* what, const void* pointer, size_t bytes) {
  return NoteRange(what, pointer, bytes, /*write=*/true);
}

cudaError_t Enqueue(cudaStream_t stream, std::vector<DeviceRange> ranges,
                    std::function<absl::Status()> work) {
  return Runtime::Do([&](Runtime& runtime) {
    return runtime.Queue(stream, {std::move(ranges), std::move(work)});
  });
}

cudaError_t EnqueueKernel(cudaStream_t stream, KernelLaunch launch,
                          std::vector<DeviceRange> ranges) {
  return Runtime::Do([&](Runtime& runtime) {
    const dim3& grid = launch.grid;
    const dim3& block = launch.block;
    const uint64_t threads = uint64_t{block.x} * block.y * block.z;
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads == 0 ||
        threads > kMaxThreadsPerBlock || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
        grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
      return cudaErrorInvalidConfiguration;
    }
    if (launch.shared_bytes > kMaxSharedBytes) return cudaErrorInvalidValue;
    const absl::StatusOr<Order> order = OrderFromEnvironment();
    if (!order.ok()) {
      std::fprintf(stderr, "CUDA emulation: %s\n", std::string(order.status().message()).c_str());
      return cudaErrorInvalidValue;
    }
    launch.order = *order;
    launch.seed = runtime.next_seed_++;
    const std::shared_ptr<Stream> on = runtime.Get(stream);
    if (on != nullptr && on->capture == nullptr) ++runtime.counters_.launches;
    const void* const kernel = launch.kernel;
    return runtime.Queue(
        stream,
        {std::move(ranges), [launch = std::move(launch)] { return RunKernel(launch); }, kernel});
  });
}

}  // namespace emulation
}  // namespace protopage

using protopage::emulation::Event;
using protopage::emulation::Graph;
using protopage::emulation::GraphExec;
using protopage::emulation::Merge;
using protopage::emulation::Runtime;
using protopage::emulation::Stream;
using protopage::emulation::Work;
using protopage::emulation::WorkTime;

const char* cudaGetErrorName(cudaError_t error) { return protopage::emulation::TextOf(error).name; }

const char* cudaGetErrorString(cudaError_t error) {
  return protopage::emulation::TextOf(error).text;
}

cudaError_t cudaPeekAtLastError() {
  const cudaError_t failure = Runtime::Ask([](Runtime& runtime) { return runtime.failure_; });
  return failure != cudaSuccess ? failure : protopage::emulation::last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  protopage::emulation::last_error = cudaSuccess;
  return error;
}

// --- Devices ---

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return Runtime::Do([&](Runtime& runtime) {
    *count = runtime.device_count_;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return Runtime::Do([&](Runtime&) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDevice(int* device) {
  return Runtime::Do([&](Runtime&) {
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return Runtime::Do([&](Runtime& runtime) {
    if (device != 0) return cudaErrorInvalidDevice;
    *properties = {};
    std::strcpy(properties->name, "CUDA emulated on the CPU");
    properties->major = runtime.major_;
    properties->minor = 0;
    properties->multiProcessorCount = 4;
    properties->totalGlobalMem = static_cast<size_t>(runtime.device_bytes_);
    properties->sharedMemPerBlock = protopage::emulation::kMaxSharedBytes;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = protopage::emulation::kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = protopage::emulation::kVersion;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return Runtime::Do([](Runtime& runtime) {
    if (const cudaError_t error = runtime.ForbidInCapture(); error != cudaSuccess) return error;
    return runtime.Synchronize();
  });
}

cudaError_t cudaDeviceReset() {
  Runtime::Ask([](Runtime& runtime) { runtime.Reset(); });
  protopage::emulation::thread_captures.clear();
  return cudaSuccess;
}

// --- Memory ---

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return Runtime::Do([&](Runtime& runtime) {
    *total_bytes = static_cast<size_t>(runtime.device_bytes_);
    *free_bytes = static_cast<size_t>(std::max<int64_t>(0, runtime.BytesLeft()));
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return Runtime::Do([&](Runtime& runtime) { return runtime.Allocate(pointer, bytes, false); });
}

cudaError_t cudaFree(void* pointer) {
  return Runtime::Do([&](Runtime& runtime) { return runtime.Free(pointer, false); });
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags) {
  return Runtime::Do([&](Runtime& runtime) {
    if (flags != cudaHostAllocDefault) return cudaErrorInvalidValue;
    return runtime.Allocate(pointer, bytes, true);
  });
}

cudaError_t cudaFreeHost(void* pointer) {
  return Runtime::Do([&](Runtime& runtime) { return runtime.Free(pointer, true); });
}

// --- Streams and events ---

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return Runtime::Do([&](Runtime& runtime) {
    // Streams that synchronize with the null stream are not emulated.
    if (flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    auto made = std::make_shared<Stream>();
    made->number = ++runtime.streams_made_;
    *stream = made.get();
    runtime.streams_[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (handle == nullptr || stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return Runtime::Invalidate(stream);
    if (!stream->queue.empty()) runtime.destroyed_.push_back(stream);
    runtime.streams_.erase(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return Runtime::Invalidate(stream);
    ++runtime.counters_.synchronizations;
    return runtime.Await(stream);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr || !runtime.Has(event)) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    if (event->capture != nullptr) {
      if (event->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      if (stream->capture == nullptr) {
        stream->capture = event->capture;
        stream->capture->streams.push_back(stream);
        stream->clock = {{stream->number, 1}};
      }
      if (stream->capture != event->capture) {
        stream->capture->invalid = true;
        return cudaErrorStreamCaptureMerge;
      }
      Merge(event->clock, &stream->clock);
      return cudaSuccess;
    }
    if (stream->capture != nullptr) {
      stream->capture->invalid = true;
      return cudaErrorStreamCaptureIsolation;
    }
    if (event->stream == nullptr || event->stream == stream) return cudaSuccess;
    Merge(event->done, &stream->after);
    return runtime.Queue(handle,
                         {{}, [&runtime, other = event->stream, position = event->position] {
                            runtime.RunTo(other, position);
                            return absl::OkStatus();
                          }});
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return Runtime::Do([&](Runtime& runtime) {
    if (flags != cudaEventDefault && flags != cudaEventDisableTiming) return cudaErrorInvalidValue;
    auto made = std::make_unique<Event>();
    made->timed = flags == cudaEventDefault;
    *event = made.get();
    runtime.events_[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr || !runtime.Has(event)) return cudaErrorInvalidResourceHandle;
    event->stream = stream;
    event->time = nullptr;
    event->capture = stream->capture;
    if (stream->capture != nullptr) {
      if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      event->clock = stream->clock;
      return cudaSuccess;
    }
    if (event->timed) {
      event->time = std::make_shared<std::optional<protopage::emulation::TimePoint>>();
      const cudaError_t error = runtime.Queue(handle, {{}, [time = event->time] {
                                                         *time = std::chrono::steady_clock::now();
                                                         return absl::OkStatus();
                                                       }});
      if (error != cudaSuccess) return error;
    }
    event->position = stream->queued;
    event->done = Runtime::Done(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Runtime::Do([&](Runtime& runtime) {
    if (!runtime.Has(event)) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) {
      event->capture->invalid = true;
      return cudaErrorCapturedEvent;
    }
    ++runtime.counters_.synchronizations;
    if (event->stream == nullptr) return cudaSuccess;
    Merge(event->done, &runtime.host_);
    return runtime.RunTo(event->stream, event->position);
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return Runtime::Do([&](Runtime& runtime) {
    if (!runtime.Has(start) || !runtime.Has(end) || start->time == nullptr ||
        end->time == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!start->time->has_value() || !end->time->has_value()) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(**end->time - **start->time).count();
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return Runtime::Do([&](Runtime& runtime) {
    return runtime.events_.erase(event) > 0 ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

// --- Copies ---

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    if (!from_device && !to_device && kind != cudaMemcpyHostToHost) {
      return cudaErrorInvalidMemcpyDirection;
    }
    if (bytes == 0) return cudaSuccess;
    if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
    bool pageable = false;
    std::vector<protopage::emulation::DeviceRange> ranges;
    for (const auto& [pointer, device, what] :
         {std::make_tuple(from, from_device, "source"),
          std::make_tuple(static_cast<const void*>(to), to_device, "destination")}) {
      const auto* allocation = runtime.Find(pointer, bytes);
      if (allocation == nullptr) {
        if (device || runtime.Touches(pointer, bytes)) return cudaErrorInvalidValue;
        pageable = true;
        continue;
      }
      if (allocation->pinned == device) return cudaErrorInvalidValue;
      ranges.push_back({pointer, bytes, absl::StrCat("cudaMemcpyAsync, ", what)});
    }
    if (stream->capture == nullptr) {
      ++runtime.counters_.copies;
      runtime.counters_.pageable_copies += pageable;
    } else if (pageable) {
      return Runtime::Invalidate(stream);
    }
    if (pageable && kind == cudaMemcpyHostToDevice) {
      auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from),
                                                        static_cast<const char*>(from) + bytes);
      return runtime.Queue(handle, {std::move(ranges), [staged, to] {
                                      std::memcpy(to, staged->data(), staged->size());
                                      return protopage::emulation::NoteWrite("copy", to,
                                                                             staged->size());
                                    }});
    }
    const cudaError_t error = runtime.Queue(
        handle, {std::move(ranges), [to, from, bytes] {
                   std::memmove(to, from, bytes);
                   absl::Status status = protopage::emulation::NoteRead("copy", from, bytes);
                   status.Update(protopage::emulation::NoteWrite("copy", to, bytes));
                   return status;
                 }});
    if (error != cudaSuccess || !pageable) return error;
    ++runtime.counters_.synchronizations;
    return runtime.Await(stream);
  });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return Runtime::Do([&](Runtime& runtime) {
    if (bytes == 0) return cudaSuccess;
    if (runtime.Find(pointer, bytes) == nullptr) return cudaErrorInvalidValue;
    return runtime.Queue(stream, {{{pointer, bytes, "cudaMemsetAsync"}}, [pointer, value, bytes] {
                                    std::memset(pointer, value, bytes);
                                    return protopage::emulation::NoteWrite("memset", pointer,
                                                                           bytes);
                                  }});
  });
}

// --- Graphs ---

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (handle == nullptr) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture != nullptr) return cudaErrorInvalidValue;
    stream->capture = std::make_shared<protopage::emulation::Capture>();
    stream->capture->origin = handle;
    stream->capture->streams.push_back(stream);
    stream->clock = {};
    if (mode != cudaStreamCaptureModeRelaxed) {
      protopage::emulation::thread_captures.push_back(stream->capture);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return Runtime::Do([&](Runtime& runtime) {
    const std::shared_ptr<Stream> stream = runtime.Get(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const auto capture = stream->capture;
    if (capture == nullptr) return cudaErrorInvalidValue;
    if (capture->origin != handle) {
      capture->invalid = true;
      return cudaErrorStreamCaptureUnmatched;
    }
    *graph = nullptr;
    bool joined = true;
    for (const auto& other : capture->streams) {
      joined = joined && stream->clock[other->number] == other->clock[other->number];
      other->capture = nullptr;
    }
    auto& captures = protopage::emulation::thread_captures;
    captures.erase(std::remove(captures.begin(), captures.end(), capture), captures.end());
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    // Events of a capture that has ended cannot be used.
    capture->invalid = true;
    if (!joined) return cudaErrorStreamCaptureUnjoined;
    auto made = std::make_unique<Graph>();
    made->work = std::make_shared<const std::vector<Work>>(std::move(capture->work));
    *graph = made.get();
    runtime.graphs_[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags) {
  return Runtime::Do([&](Runtime& runtime) {
    if (runtime.graphs_.count(graph) == 0 || flags != 0) return cudaErrorInvalidValue;
    if (runtime.BytesLeft() < protopage::emulation::kGraphBytes) return cudaErrorMemoryAllocation;
    auto made = std::make_unique<GraphExec>();
    made->work = graph->work;
    *exec = made.get();
    runtime.execs_[made.get()] = std::move(made);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return Runtime::Do([&](Runtime& runtime) {
    if (runtime.execs_.count(exec) == 0) return cudaErrorInvalidValue;
    const std::shared_ptr<Stream> on = runtime.Get(stream);
    if (on != nullptr && on->capture == nullptr) ++runtime.counters_.graph_launches;
    return runtime.Queue(stream, {{}, [&runtime, all = exec->work] {
                                    const WorkTime time = runtime.now_;
                                    for (const Work& work : *all) {
                                      if (runtime.failure_ == cudaSuccess) runtime.Run(work, time);
                                    }
                                    return absl::OkStatus();
                                  }});
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return Runtime::Do([&](Runtime& runtime) {
    return runtime.execs_.erase(exec) > 0 ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return Runtime::Do([&](Runtime& runtime) {
    return runtime.graphs_.erase(graph) > 0 ? cudaSuccess : cudaErrorInvalidValue;
  });
}
