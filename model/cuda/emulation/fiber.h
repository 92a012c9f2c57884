// Fiber: a function with a stack of its own, which can stop in the middle and go
// on later. The emulation runs the threads of a CUDA block as fibers.
//
//   Fiber fiber([&] { first = true; fiber.Suspend(); second = true; });
//   fiber.Resume();  // Returns with first == true, second == false.
//   fiber.Resume();  // second == true.
//
// A switch costs a few nanoseconds (Boost.Context); AddressSanitizer is told of
// it. Resumed by one operating system thread at a time. Nothing may be thrown out
// of the body.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_

#include <cstddef>
#include <functional>

namespace protopage {
namespace emulation {

class Fiber {
 public:
  // `body` starts with the first Resume(). Once it returned, so does Resume(), and
  // the next one starts it anew.
  explicit Fiber(std::function<void()> body);
  // What a suspended body has on its stack is not destroyed.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body until it suspends or returns. Not from within a fiber's body
  // that is this one.
  void Resume();

  // Whether a variable of the body is there.
  bool IsOnStack(const void* pointer) const {
    const char* const p = static_cast<const char*>(pointer);
    return p >= stack_ && p < stack_ + stack_bytes_;
  }

  // Back to where Resume() was called. Only from within the body.
  void Suspend();

  // Forgets a suspended body: the next Resume() starts it anew. What it has on its
  // stack is not destroyed.
  void Abandon();

 private:
  struct Context;

  void MakeContext();

  std::function<void()> body_;
  char* mapping_ = nullptr;  // The guard page and above it the stack.
  char* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* inside_ = nullptr;   // Where the body goes on,
  void* outside_ = nullptr;  // and Resume().
  // For AddressSanitizer: its own frames of both sides, and the stack of Resume().
  void* fake_stack_inside_ = nullptr;
  void* fake_stack_outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_
