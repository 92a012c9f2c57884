#include "protopage/base/random.h"

#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "protopage/base/check.h"
#include "protopage/base/fixed_math.h"

namespace protopage {

uint64_t RandomKey(uint64_t seed, RandomPurpose purpose) {
  // One Philox call as a hash: neighbouring seeds and purposes get unrelated keys.
  const PhiloxBlock block =
      Philox4x32(seed, uint64_t{0x70726f746f}, static_cast<uint64_t>(purpose));
  return (uint64_t{block.word[1]} << 32) | block.word[0];
}

uint32_t RandomStream::Next() {
  if (used_ == 4) {
    block_ = Philox4x32(key_, high_, low_);
    ++low_;
    used_ = 0;
  }
  return block_.word[used_++];
}

uint64_t RandomStream::Next64() {
  const uint64_t high = Next();
  return (high << 32) | Next();
}

uint64_t RandomStream::Below(uint64_t n) {
  PROTOPAGE_CHECK(n > 0);
  __extension__ using uint128 = unsigned __int128;
  return static_cast<uint64_t>((uint128{Next64()} * n) >> 64);
}

float RandomStream::Normal() {
  // 1 - u is in (0, 1], so the logarithm is finite.
  const double u = 1.0 - static_cast<double>(Uniform());
  const double v = static_cast<double>(Uniform());
  return static_cast<float>(std::sqrt(-2.0 * FixedLog(u)) * FixedCosTurns(v));
}

float RandomStream::NormalByLibm() {
  const double u = 1.0 - static_cast<double>(Uniform());
  const double v = static_cast<double>(Uniform());
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * M_PI * v));
}

std::vector<int64_t> SampleWithoutReplacement(RandomStream& random, int64_t n, int64_t count) {
  PROTOPAGE_CHECK(count >= 0 && count <= n);
  absl::flat_hash_set<int64_t> seen;
  seen.reserve(count);
  std::vector<int64_t> result;
  result.reserve(count);
  for (int64_t j = n - count; j < n; ++j) {
    const int64_t drawn = static_cast<int64_t>(random.Below(j + 1));
    const int64_t chosen = seen.insert(drawn).second ? drawn : j;
    if (chosen == j) seen.insert(j);
    result.push_back(chosen);
  }
  // Floyd's algorithm gives a uniform set, but not a uniform order.
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(result[i], result[random.Below(i + 1)]);
  }
  return result;
}

}  // namespace protopage
