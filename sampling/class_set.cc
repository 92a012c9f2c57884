#include "protopage/sampling/class_set.h"

#include <algorithm>

#include "protopage/base/check.h"
#include "protopage/base/divide_up.h"

namespace protopage {
namespace {

constexpr int64_t kWordBits = 64;
constexpr int64_t kBlockWords = 8;
constexpr int64_t kBlockBits = kWordBits * kBlockWords;

int64_t CountBits(uint64_t word) { return __builtin_popcountll(word); }

}  // namespace

ClassSet ClassSet::All(int64_t num_classes) {
  PROTOPAGE_CHECK(num_classes >= 0);
  return ClassSet(num_classes);
}

ClassSet ClassSet::Where(int64_t num_classes, absl::FunctionRef<bool(ClassId)> member) {
  ClassSet set = All(num_classes);
  set.size_ = 0;
  const int64_t num_blocks = DivideUp(num_classes, kBlockBits);
  set.words_.assign(num_blocks * kBlockWords, 0);
  set.before_block_.reserve(num_blocks + 1);
  for (ClassId id = 0; id < num_classes; ++id) {
    if (id % kBlockBits == 0) set.before_block_.push_back(set.size_);
    if (!member(id)) continue;
    set.words_[id / kWordBits] |= uint64_t{1} << (id % kWordBits);
    ++set.size_;
  }
  set.before_block_.push_back(set.size_);
  if (set.size_ == num_classes) return All(num_classes);
  return set;
}

bool ClassSet::Contains(ClassId id) const {
  if (id < 0 || id >= num_classes_) return false;
  return words_.empty() || ((words_[id / kWordBits] >> (id % kWordBits)) & 1) != 0;
}

ClassId ClassSet::Member(int64_t rank) const {
  PROTOPAGE_CHECK(rank >= 0 && rank < size_);
  if (words_.empty()) return rank;
  // The last block that starts with at most `rank` members before it.
  const auto after = std::upper_bound(before_block_.begin(), before_block_.end(), rank);
  const int64_t block = after - before_block_.begin() - 1;
  rank -= before_block_[block];
  int64_t w = block * kBlockWords;
  while (rank >= CountBits(words_[w])) rank -= CountBits(words_[w++]);
  uint64_t word = words_[w];
  for (; rank > 0; --rank) word &= word - 1;  // Clears the lowest set bit.
  return w * kWordBits + __builtin_ctzll(word);
}

int64_t ClassSet::Rank(ClassId id) const {
  PROTOPAGE_CHECK(id >= 0 && id <= num_classes_);
  if (words_.empty()) return id;
  if (id == num_classes_) return size_;
  int64_t rank = before_block_[id / kBlockBits];
  for (int64_t w = id / kBlockBits * kBlockWords; w < id / kWordBits; ++w) {
    rank += CountBits(words_[w]);
  }
  const uint64_t below = (uint64_t{1} << (id % kWordBits)) - 1;
  return rank + CountBits(words_[id / kWordBits] & below);
}

std::vector<ClassId> SampleMembers(RandomStream& random, const ClassSet& set, int64_t count,
                                   absl::Span<const ClassId> excluded) {
  std::vector<int64_t> gaps;  // The ranks of the excluded members, ascending.
  gaps.reserve(excluded.size());
  for (const ClassId id : excluded) {
    if (set.Contains(id)) gaps.push_back(set.Rank(id));
  }
  std::sort(gaps.begin(), gaps.end());
  gaps.erase(std::unique(gaps.begin(), gaps.end()), gaps.end());
  const int64_t num_gaps = static_cast<int64_t>(gaps.size());
  // gaps[i] - i members that are left lie below gap i, so the member left with r below it among
  // those left has rank r + (the number of gaps with gaps[i] - i <= r) in the set.
  for (int64_t i = 0; i < num_gaps; ++i) gaps[i] -= i;

  std::vector<ClassId> drawn = SampleWithoutReplacement(random, set.size() - num_gaps, count);
  for (ClassId& r : drawn) {
    r = set.Member(r + (std::upper_bound(gaps.begin(), gaps.end(), r) - gaps.begin()));
  }
  return drawn;
}

}  // namespace protopage
