#include "protopage/base/fuzz/fuzz_input.h"

#include <algorithm>
#include <cstring>

namespace protopage {

uint8_t FuzzInput::Byte() {
  const absl::string_view byte = Bytes(1);
  return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
}

int64_t FuzzInput::Below(int64_t n) {
  if (n <= 256) return Byte() % n;
  uint32_t value = 0;
  const absl::string_view bytes = Bytes(sizeof(value));
  std::memcpy(&value, bytes.data(), bytes.size());
  return value % n;
}

int64_t FuzzInput::Integer() {
  const uint8_t kind = Byte();
  if (kind < 128) return kind - 16;
  if (kind < 192) {
    const uint64_t power = uint64_t{1} << (kind - 128);
    return static_cast<int64_t>(power + Byte() - 128);
  }
  uint64_t value = 0;
  const absl::string_view bytes = Bytes(sizeof(value));
  std::memcpy(&value, bytes.data(), bytes.size());
  return static_cast<int64_t>(value);
}

absl::string_view FuzzInput::Bytes(int64_t count) {
  const absl::string_view bytes = rest_.substr(0, count);
  rest_.remove_prefix(bytes.size());
  return bytes;
}

void FuzzInput::Mutate(std::string* bytes) {
  const int64_t changes = 1 + Below(4);
  for (int64_t i = 0; i < changes && !bytes->empty(); ++i) {
    const int64_t kind = Below(8);
    const auto at = static_cast<size_t>(Below(static_cast<int64_t>(bytes->size())));
    const int64_t count = 1 + Below(16);
    if (kind == 0) {
      bytes->resize(at);
    } else if (kind == 1) {
      bytes->erase(at, count);
    } else if (kind == 2) {
      const absl::string_view added = Bytes(count);
      bytes->insert(at, added.data(), added.size());
    } else {
      const absl::string_view changed = Bytes(count);
      std::copy_n(changed.begin(), std::min(changed.size(), bytes->size() - at),
                  bytes->begin() + static_cast<int64_t>(at));
    }
  }
}

}  // namespace protopage
