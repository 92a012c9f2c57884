#include "protopage/model/cuda/emulation/device.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/debugging/symbolize.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "protopage/base/check.h"
#include "protopage/base/keyed_permutation.h"
#include "protopage/model/cuda/emulation/access_check.h"
#include "protopage/model/cuda/emulation/access_hooks.h"
#include "protopage/model/cuda/emulation/fiber.h"

uint3 threadIdx = {};
uint3 blockIdx = {};
dim3 blockDim;
dim3 gridDim;

namespace protopage {
namespace emulation {
namespace {

static_assert(kShadowWarp == warpSize);

enum class State : uint8_t {
  kNew,
  kRunning,
  kReady,  // May continue, but has not yet.
  kAtBarrier,
  kInWarp,  // Waits for other lanes of the warp.
  kDone,
};

struct Thread {
  State state = State::kNew;
  Fiber* fiber = nullptr;  // That it waits on.
  Site site = {};          // Where it waits or waited last.
  // Of an exchange: the lanes that take part, whether it orders memory accesses, the lane to read
  // from, and the value, first the one given and then the one received.
  unsigned mask = 0;
  bool orders = false;
  unsigned source = 0;
  uint64_t bits = 0;
};

std::string Place(const Site& site) {
  return absl::StrFormat("%s at %s:%d", site.operation, site.file, site.line);
}

bool SamePlace(const Site& a, const Site& b) {
  // Equal literals usually have one address.
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0) &&
         (a.operation == b.operation || std::strcmp(a.operation, b.operation) == 0);
}

// Runs one launch at a time, block after block. Its fibers are kept for the next launch.
class Device {
 public:
  absl::Status Run(const KernelLaunch& launch);

  void SyncThreads(const Site& site) {
    Thread& self = threads_[current_];
    self.site = site;
    ++at_barrier_;
    Wait(State::kAtBarrier);
  }

  void SyncWarp(unsigned mask, const Site& site, bool orders) {
    Exchange(mask, 0, current_ % warpSize, site, orders);
  }

  uint64_t Exchange(unsigned mask, uint64_t bits, unsigned source, const Site& site, bool orders) {
    Thread& self = threads_[current_];
    self.site = site;
    self.mask = mask;
    self.orders = orders;
    self.bits = bits;
    self.source = source;
    if ((mask >> (current_ % warpSize) & 1) == 0) {
      Fail(absl::StrFormat("is not in its own mask %#x of %s", mask, Place(site)));
    }
    self.state = State::kInWarp;
    if (CompleteExchange(current_)) {
      self.state = State::kRunning;
      now_.warp_syncs = warp_syncs_[current_ / warpSize];
    } else {
      ++waiting_in_warps_;
      Wait(State::kInWarp);
    }
    return self.bits;
  }

  // Notes an access by the running thread, if there is one.
  void NoteAccess(const void* pointer, size_t bytes, bool write);

  unsigned current() const { return current_; }
  void* shared() const { return shared_.get(); }

 private:
  void PlanOrder(const KernelLaunch& launch);
  bool RunWarp(unsigned begin);
  void RunBlock();
  // The body of a fiber: runs threads that have not started, as long as they come next.
  void RunNewThreads(Fiber* fiber);
  void Wait(State state);
  bool CompleteExchange(unsigned thread);
  void Exit();
  void ReleaseBarrier();
  void Fail(const std::string& what);
  void FailStuck();
  std::string Name(unsigned thread) const;
  Fiber* TakeFiber();

  // Makes `thread` the running one.
  void SetThread(unsigned thread) {
    current_ = thread;
    threads_[thread].state = State::kRunning;
    now_.thread = thread;
    now_.warp_syncs = warp_syncs_[thread / warpSize];
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
                 thread / (blockDim.x * blockDim.y)};
  }

  const KernelLaunch* launch_ = nullptr;
  std::vector<Thread> threads_;     // Of the running block.
  std::vector<unsigned> order_;     // The order in which they run, warp by warp.
  std::vector<unsigned> warp_end_;  // In `order_`.
  unsigned cursor_ = 0, end_ = 0;   // The place in `order_`, and the end of its warp.
  unsigned current_ = 0;            // The running thread.
  Fiber* current_fiber_ = nullptr;
  unsigned at_barrier_ = 0;
  unsigned waiting_in_warps_ = 0;
  unsigned done_ = 0;
  // The number of barriers that each warp of the block has passed.
  std::array<uint32_t, kMaxThreadsPerBlock / warpSize> warp_syncs_ = {};
  Access now_;  // Of the running thread.
  bool noting_ = false;
  struct FreeDeleter {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, FreeDeleter> shared_;
  std::string error_;  // Not empty: ends the block.

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

Device& TheDevice() {
  static Device* const device = [] {
    SetAccessListener([](const void* pointer, size_t bytes, bool write) {
      TheDevice().NoteAccess(pointer, bytes, write);
    });
    return new Device();
  }();
  return *device;
}

Fiber* Device::TakeFiber() {
  if (idle_.empty()) {
    const size_t index = fibers_.size();
    fibers_.push_back(
        std::make_unique<Fiber>([this, index] { RunNewThreads(fibers_[index].get()); }));
    idle_.push_back(fibers_.back().get());
  }
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

void Device::RunNewThreads(Fiber* fiber) {
  while (cursor_ < end_) {
    const unsigned thread = order_[cursor_];
    if (threads_[thread].state != State::kNew) break;
    ++cursor_;
    SetThread(thread);
    current_fiber_ = fiber;
    launch_->thread();
    Exit();
    if (!error_.empty()) break;
  }
  idle_.push_back(fiber);
}

void Device::Wait(State state) {
  const unsigned thread = current_;
  Thread& self = threads_[thread];
  self.state = state;
  self.fiber = current_fiber_;
  Fiber* const fiber = current_fiber_;
  fiber->Suspend();
  SetThread(thread);
  current_fiber_ = fiber;
}

void Device::Exit() {
  threads_[current_].state = State::kDone;
  ++done_;
  if (waiting_in_warps_ == 0) return;
  // Waiting lanes may have waited for this one only.
  const unsigned first = current_ / warpSize * warpSize;
  const unsigned end = std::min<unsigned>(first + warpSize, threads_.size());
  for (unsigned thread = first; thread < end; ++thread) {
    if (threads_[thread].state == State::kInWarp) CompleteExchange(thread);
  }
}

// If all lanes in the mask of `thread` that have not exited wait at the same place: gives each the
// value that it asked for, and lets those that had to stop continue.
bool Device::CompleteExchange(unsigned thread) {
  const Thread& asks = threads_[thread];
  const unsigned first = thread / warpSize * warpSize;
  const unsigned lanes = std::min<unsigned>(warpSize, threads_.size() - first);
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if ((asks.mask >> lane & 1) == 0) continue;
    const Thread& other = threads_[first + lane];
    if (other.state == State::kDone) continue;
    if (other.state != State::kInWarp || !SamePlace(other.site, asks.site)) return false;
    // A lane that does not wait for this one may come here again, with another mask.
    if (other.mask != asks.mask && (other.mask >> thread % warpSize & 1) == 0) return false;
    if (other.mask != asks.mask) {
      Fail(absl::StrFormat("waits with mask %#x for thread %s, whose mask is %#x, in %s", asks.mask,
                           Name(first + lane), other.mask, Place(asks.site)));
    }
  }
  uint64_t taken[warpSize] = {};
  for (unsigned lane = 0; lane < lanes; ++lane) {
    const Thread& self = threads_[first + lane];
    if ((asks.mask >> lane & 1) == 0 || self.state == State::kDone) continue;
    const unsigned source = self.source;
    if (source >= lanes || (asks.mask >> source & 1) == 0 ||
        threads_[first + source].state == State::kDone) {
      current_ = first + lane;
      Fail(absl::StrFormat("reads lane %d, which %s, in %s", source,
                           source >= lanes                  ? "does not exist"
                           : (asks.mask >> source & 1) == 0 ? "is not in the mask"
                                                            : "has exited",
                           Place(self.site)));
    }
    taken[lane] = threads_[first + source].bits;
  }
  const unsigned mask = asks.mask;
  // A barrier of only some lanes orders nothing here, which is stricter than CUDA.
  if (asks.orders && mask == ~0u) ++warp_syncs_[first / warpSize];
  for (unsigned lane = 0; lane < lanes; ++lane) {
    Thread& self = threads_[first + lane];
    if ((mask >> lane & 1) == 0 || self.state == State::kDone) continue;
    self.bits = taken[lane];
    if (first + lane != current_) {
      self.state = State::kReady;
      --waiting_in_warps_;
    }
  }
  return true;
}

void Device::ReleaseBarrier() {
  const Site site = threads_[0].site;
  for (unsigned thread = 0; thread < threads_.size(); ++thread) {
    if (!SamePlace(threads_[thread].site, site)) {
      current_ = thread;
      return Fail(absl::StrFormat("waits in %s, thread %s in %s", Place(threads_[thread].site),
                                  Name(0), Place(site)));
    }
  }
  for (Thread& thread : threads_) thread.state = State::kReady;
  at_barrier_ = 0;
  ++now_.barriers;
}

void Device::NoteAccess(const void* pointer, size_t bytes, bool write) {
  if (current_fiber_ == nullptr || noting_ || current_fiber_->IsOnStack(pointer)) return;
  noting_ = true;
  const std::optional<std::string> error = AccessCheck::The().Note(pointer, bytes, write, now_);
  noting_ = false;
  if (error.has_value()) Fail(*error);
}

std::string Device::Name(unsigned thread) const {
  return absl::StrFormat("(%d, %d, %d)", thread % blockDim.x, thread / blockDim.x % blockDim.y,
                         thread / (blockDim.x * blockDim.y));
}

// Reports an error of the running thread. Does not return to it.
void Device::Fail(const std::string& what) {
  error_ =
      absl::StrFormat("kernel %s, block (%d, %d, %d): thread %s %s", KernelName(launch_->kernel),
                      blockIdx.x, blockIdx.y, blockIdx.z, Name(current_), what);
  if (current_fiber_ != nullptr) {
    current_fiber_->Suspend();
    PROTOPAGE_CHECK(false);  // The block was abandoned.
  }
}

// No thread can continue.
void Device::FailStuck() {
  unsigned waits = 0, other = 0;
  for (unsigned thread = 0; thread < threads_.size(); ++thread) {
    if (threads_[thread].state != State::kDone) waits = thread;
  }
  for (unsigned thread = 0; thread < threads_.size(); ++thread) {
    if (threads_[thread].state == State::kDone ||
        !SamePlace(threads_[thread].site, threads_[waits].site)) {
      other = thread;
    }
  }
  current_ = waits;
  Fail(absl::StrFormat(
      "waits forever in %s: thread %s %s", Place(threads_[waits].site), Name(other),
      threads_[other].state == State::kDone ? "has exited"
                                            : absl::StrCat("is in ", Place(threads_[other].site))));
}

// Lets each thread of the warp at `begin` that can continue do so once. Returns whether any could.
bool Device::RunWarp(unsigned begin) {
  bool progress = false;
  for (cursor_ = begin; cursor_ < end_ && error_.empty();) {
    const unsigned thread = order_[cursor_];
    const State state = threads_[thread].state;
    if (state == State::kNew) {
      TakeFiber()->Resume();
      progress = true;
    } else {
      ++cursor_;
      if (state == State::kReady) {
        threads_[thread].fiber->Resume();
        progress = true;
      }
    }
  }
  return progress;
}

void Device::RunBlock() {
  if (launch_->shared_bytes > 0) std::memset(shared_.get(), 0xff, launch_->shared_bytes);
  for (Thread& thread : threads_) thread.state = State::kNew;
  at_barrier_ = waiting_in_warps_ = done_ = 0;
  now_.barriers = 0;
  warp_syncs_ = {};
  const unsigned count = threads_.size();
  while (done_ < count && error_.empty()) {
    bool progress = false;
    unsigned begin = 0;
    for (const unsigned end : warp_end_) {
      end_ = end;
      // As far as possible: only a barrier makes one warp wait for another.
      while (error_.empty() && RunWarp(begin)) progress = true;
      begin = end;
    }
    current_fiber_ = nullptr;
    if (!error_.empty()) break;
    if (at_barrier_ == count) {
      ReleaseBarrier();
    } else if (!progress) {
      FailStuck();
    }
  }
  if (error_.empty()) return;
  // Threads have stopped midway.
  idle_.clear();
  for (auto& fiber : fibers_) {
    fiber->Abandon();
    idle_.push_back(fiber.get());
  }
}

void Device::PlanOrder(const KernelLaunch& launch) {
  const auto place = [&launch](uint32_t stream, unsigned i, unsigned n) {
    if (launch.order == Order::kForward) return i;
    if (launch.order == Order::kReverse) return n - 1 - i;
    return static_cast<unsigned>(KeyedPermutation(launch.seed, stream, n).At(i));
  };
  const unsigned threads = threads_.size();
  const unsigned warps = (threads + warpSize - 1) / warpSize;
  order_.clear();
  warp_end_.clear();
  for (unsigned i = 0; i < warps; ++i) {
    const unsigned warp = place(1, i, warps), first = warp * warpSize;
    const unsigned lanes = std::min<unsigned>(warpSize, threads - first);
    for (unsigned lane = 0; lane < lanes; ++lane) {
      order_.push_back(first + place(2 + warp, lane, lanes));
    }
    warp_end_.push_back(order_.size());
  }
}

absl::Status Device::Run(const KernelLaunch& launch) {
  launch_ = &launch;
  gridDim = launch.grid;
  blockDim = launch.block;
  error_.clear();
  shared_.reset(launch.shared_bytes > 0 ? std::malloc(launch.shared_bytes) : nullptr);
  AccessCheck::The().Allocate(shared_.get(), launch.shared_bytes, ShadowMemory::kShared);
  now_.work = AccessCheck::The().work();
  threads_.assign(launch.block.x * launch.block.y * launch.block.z, Thread());
  PlanOrder(launch);
  const int64_t blocks = int64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const KeyedPermutation block_order(launch.seed, 0, blocks);
  for (int64_t i = 0; i < blocks && error_.empty(); ++i) {
    int64_t block = i;
    if (launch.order == Order::kReverse) block = blocks - 1 - i;
    if (launch.order == Order::kShuffled) block = block_order.At(i);
    now_.block = static_cast<uint32_t>(block);
    blockIdx = {static_cast<unsigned>(block % gridDim.x),
                static_cast<unsigned>(block / gridDim.x % gridDim.y),
                static_cast<unsigned>(block / (int64_t{gridDim.x} * gridDim.y))};
    RunBlock();
  }
  AccessCheck::The().Free(shared_.get());
  shared_.reset();
  launch_ = nullptr;
  return error_.empty() ? absl::OkStatus() : absl::InternalError(error_);
}

}  // namespace

void SyncThreads(Site site) { TheDevice().SyncThreads(site); }
void SyncWarp(unsigned mask, Site site) { TheDevice().SyncWarp(mask, site, /*orders=*/true); }
void MeetWarp(Site site) { TheDevice().SyncWarp(~0u, site, /*orders=*/false); }
uint64_t Shuffle(unsigned mask, uint64_t bits, unsigned source, Site site) {
  return TheDevice().Exchange(mask, bits, source, site, /*orders=*/false);
}
unsigned Lane() { return TheDevice().current() % warpSize; }
void* SharedMemory() { return TheDevice().shared(); }

absl::StatusOr<Order> OrderFromEnvironment() {
  const char* const value = std::getenv("PROTOPAGE_CUDA_EMULATION_ORDER");
  if (value == nullptr || absl::string_view(value) == "forward") return Order::kForward;
  if (absl::string_view(value) == "reverse") return Order::kReverse;
  if (absl::string_view(value) == "shuffled") return Order::kShuffled;
  return absl::InvalidArgumentError(absl::StrCat("PROTOPAGE_CUDA_EMULATION_ORDER is \"", value,
                                                 "\"; forward, reverse and shuffled are known"));
}

std::string KernelName(const void* kernel) {
  char name[1024];
  return absl::Symbolize(kernel, name, sizeof(name)) ? name : absl::StrFormat("%p", kernel);
}

absl::Status RunKernel(const KernelLaunch& launch) { return TheDevice().Run(launch); }

}  // namespace emulation
}  // namespace protopage

int atomicOr(int* address, int bits) {
  const int before = *address;
  *address = before | bits;
  return before;
}
