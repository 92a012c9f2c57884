// KeyedPermutation: a shuffled order of [0, n) that takes no memory.
//
//   const KeyedPermutation order(key, /*stream=*/epoch, n);
//   for (int64_t i = 0; i < n; ++i) Visit(order.At(i));  // Each of [0, n) once.
//
// A Feistel network on the smallest domain of 4^h >= n whose round function is Philox, applied
// again until the result lies in [0, n) ("cycle walking": Black and Rogaway, "Ciphers with
// Arbitrary Finite Domains", CT-RSA 2002). It is applied less than 4 times on average.
#ifndef PROTOPAGE_BASE_KEYED_PERMUTATION_H_
#define PROTOPAGE_BASE_KEYED_PERMUTATION_H_

#include <cstdint>

namespace protopage {

// Immutable, so thread-safe.
class KeyedPermutation {
 public:
  // n >= 1 (CHECKed). The order is a function of (key, stream, n).
  KeyedPermutation(uint64_t key, uint32_t stream, int64_t n);

  int64_t size() const { return n_; }
  // The element at position i of the order, 0 <= i < n (CHECKed).
  int64_t At(int64_t i) const;

 private:
  uint64_t Encrypt(uint64_t x) const;

  uint64_t key_;
  uint32_t stream_;
  int64_t n_;
  int half_bits_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_KEYED_PERMUTATION_H_
