#include "protopage/base/keyed_permutation.h"

#include "protopage/base/check.h"
#include "protopage/base/philox.h"

namespace protopage {
namespace {

// Luby and Rackoff prove that 4 give a strong pseudo-random permutation; small domains need more.
constexpr uint32_t kRounds = 8;

}  // namespace

KeyedPermutation::KeyedPermutation(uint64_t key, uint32_t stream, int64_t n)
    : key_(key), stream_(stream), n_(n) {
  PROTOPAGE_CHECK(n >= 1);
  // Two halves of at least one bit.
  half_bits_ = 1;
  while (half_bits_ < 31 && (int64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
  PROTOPAGE_CHECK((int64_t{1} << (2 * half_bits_)) >= n);
}

uint64_t KeyedPermutation::Encrypt(uint64_t x) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_;
  uint64_t right = x & mask;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const PhiloxBlock f = Philox4x32(key_, (uint64_t{stream_} << 32) | round, right);
    const uint64_t next = (left ^ f.word[0]) & mask;
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

int64_t KeyedPermutation::At(int64_t i) const {
  PROTOPAGE_CHECK(i >= 0 && i < n_);
  // The walk from i along its cycle returns to [0, n) at i itself at the latest.
  uint64_t x = static_cast<uint64_t>(i);
  do {
    x = Encrypt(x);
  } while (x >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(x);
}

}  // namespace protopage
