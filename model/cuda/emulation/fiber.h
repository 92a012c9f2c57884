// Fiber: a function with a stack of its own that can suspend itself and be resumed later. The
// emulation runs the threads of a CUDA block as fibers.
//
//   Fiber fiber([&] {
//     first = true;
//     fiber.Suspend();
//     second = true;
//   });
//   fiber.Resume();  // Returns with first == true, second == false.
//   fiber.Resume();  // second == true.
//
// A switch costs a few nanoseconds (Boost.Context), and AddressSanitizer is notified of it. Not
// thread-safe. The body must not throw.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_

#include <cstddef>
#include <functional>

namespace protopage {
namespace emulation {

class Fiber {
 public:
  // The first Resume() starts `body`. When the body returns, so does Resume(); the next one starts
  // it again.
  explicit Fiber(std::function<void()> body);
  // Objects on the stack of a suspended body are not destroyed.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body until it suspends or returns. Must not be called from the body itself.
  void Resume();

  // Whether `pointer` lies on the body's stack.
  bool IsOnStack(const void* pointer) const {
    const char* const p = static_cast<const char*>(pointer);
    return p >= stack_ && p < stack_ + stack_bytes_;
  }

  // Returns to the caller of Resume(). Must be called from the body.
  void Suspend();

  // Discards a suspended body: the next Resume() starts it again. Objects on its stack are not
  // destroyed.
  void Abandon();

 private:
  struct Context;

  void MakeContext();

  std::function<void()> body_;
  char* mapping_ = nullptr;  // The guard page, and above it the stack.
  char* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* inside_ = nullptr;   // Where the body continues.
  void* outside_ = nullptr;  // Where Resume() continues.
  // For AddressSanitizer: its fake stacks of both sides, and the stack of the caller of Resume().
  void* fake_stack_inside_ = nullptr;
  void* fake_stack_outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_FIBER_H_
