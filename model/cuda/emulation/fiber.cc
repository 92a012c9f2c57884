#include "protopage/model/cuda/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <utility>

#include "protopage/base/check.h"
#include "protopage/model/cuda/emulation/address_sanitizer.h"

namespace protopage {
namespace emulation {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

// Only pages that are used take memory, one or two with most kernels; frames under AddressSanitizer
// are several times as large.
constexpr size_t kStackPages = 64;

// Staggers the stacks: if all began at the same offset of a page, they would compete for the same
// cache lines.
size_t NextStagger() {
  static std::atomic<unsigned> count{0};
  return (count++ % 16) * 256;
}

}  // namespace

struct Fiber::Context {
  static void Main(transfer_t from) {
    Fiber* const fiber = static_cast<Fiber*>(from.data);
    fiber->outside_ = from.fctx;
    FinishSwitch(nullptr, &fiber->outside_stack_, &fiber->outside_stack_bytes_);
    for (;;) {
      fiber->body_();
      fiber->Suspend();
    }
  }
};

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  stack_bytes_ = kStackPages * page;
  void* mapping = mmap(nullptr, stack_bytes_ + page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PROTOPAGE_CHECK(mapping != MAP_FAILED);
  mapping_ = static_cast<char*>(mapping);
  PROTOPAGE_CHECK(mprotect(mapping_, page, PROT_NONE) == 0);
  stack_ = mapping_ + page;
  MakeContext();
}

Fiber::~Fiber() {
  // A later mapping at this address must find a clean shadow.
  UnpoisonMemory(stack_, stack_bytes_);
  munmap(mapping_, stack_bytes_ + static_cast<size_t>(stack_ - mapping_));
}

void Fiber::MakeContext() {
  const size_t usable = stack_bytes_ - NextStagger();
  inside_ = make_fcontext(stack_ + usable, usable, &Context::Main);
  fake_stack_inside_ = nullptr;
}

void Fiber::Resume() {
  StartSwitch(&fake_stack_outside_, stack_, stack_bytes_);
  const transfer_t back = jump_fcontext(inside_, this);
  FinishSwitch(fake_stack_outside_, nullptr, nullptr);
  inside_ = back.fctx;
}

void Fiber::Suspend() {
  StartSwitch(&fake_stack_inside_, outside_stack_, outside_stack_bytes_);
  const transfer_t back = jump_fcontext(outside_, nullptr);
  FinishSwitch(fake_stack_inside_, &outside_stack_, &outside_stack_bytes_);
  outside_ = back.fctx;
}

void Fiber::Abandon() {
  UnpoisonMemory(stack_, stack_bytes_);
  MakeContext();
}

}  // namespace emulation
}  // namespace protopage
