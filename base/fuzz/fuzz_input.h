// FuzzInput: the bytes that a fuzzer gives, taken from the front as the choices of a fuzz function.
//
//   FuzzInput input(data, size);
//   const bool sealed = input.Below(4) > 0;
//   const int64_t num_classes = input.Integer();
//   const absl::string_view text = input.Rest();
//
// After the end all choices are 0, so that every input is a valid one.
#ifndef PROTOPAGE_BASE_FUZZ_FUZZ_INPUT_H_
#define PROTOPAGE_BASE_FUZZ_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace protopage {

class FuzzInput {
 public:
  // The bytes must outlive this and all views that it gives.
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte();
  // In [0, n), n >= 1: of one byte if n is at most 256, else of four.
  int64_t Below(int64_t n);
  // A small number, one near a power of two, or any: the first byte chooses.
  int64_t Integer();
  // The next bytes, at most `count`.
  absl::string_view Bytes(int64_t count);
  absl::string_view Rest() { return Bytes(static_cast<int64_t>(rest_.size())); }

  // Changes `bytes` at a few places: overwrites, inserts, removes, cuts off the end.
  void Mutate(std::string* bytes);

 private:
  absl::string_view rest_;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FUZZ_FUZZ_INPUT_H_
