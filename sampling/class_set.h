// ClassSet: the classes of [0, num_classes) that may be drawn, and the r-th of them.
//
// Dropped classes and classes without images must never be drawn. Drawing a number in
// [0, set.size()) and taking that member costs the same however many classes are missing, and no
// draw is ever rejected and repeated:
//
//   const ClassSet with_images = ClassSet::Where(n, [&](ClassId c) { return count[c] > 0; });
//   const ClassId c = with_images.Member(random.Below(with_images.size()));
//   const std::vector<ClassId> more = SampleMembers(random, with_images, 20, /*excluded=*/{c});
//
// Memory: none when all classes are members, else 1.125 bits per class.
#ifndef PROTOPAGE_SAMPLING_CLASS_SET_H_
#define PROTOPAGE_SAMPLING_CLASS_SET_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "protopage/base/random.h"
#include "protopage/base/types.h"

namespace protopage {

// Immutable once made, so safe to share between threads.
class ClassSet {
 public:
  static ClassSet All(int64_t num_classes);
  // The classes for which `member` is true. It is called once per class, in order.
  static ClassSet Where(int64_t num_classes, absl::FunctionRef<bool(ClassId)> member);

  int64_t num_classes() const { return num_classes_; }
  // The number of members.
  int64_t size() const { return size_; }
  // False for ids outside [0, num_classes).
  bool Contains(ClassId id) const;
  // The member with `rank` members below it, 0 <= rank < size().
  ClassId Member(int64_t rank) const;
  // The number of members below `id`, 0 <= id <= num_classes: the inverse of Member.
  int64_t Rank(ClassId id) const;

 private:
  explicit ClassSet(int64_t num_classes) : num_classes_(num_classes), size_(num_classes) {}

  int64_t num_classes_;
  int64_t size_;
  // Bit c % 64 of words_[c / 64]. Empty when every class is a member.
  std::vector<uint64_t> words_;
  // The number of members in the blocks of 512 classes before block b, so that a rank needs the
  // popcount of at most one block. Has one entry more than there are blocks.
  std::vector<int64_t> before_block_;
};

// Draws `count` distinct members of `set` that are not in `excluded`, in random order. Takes
// O((count + excluded.size()) log) time whatever the size of the set. Excluded ids may repeat and
// may be outside the set. `count` must not be larger than the number of members left (CHECKed).
std::vector<ClassId> SampleMembers(RandomStream& random, const ClassSet& set, int64_t count,
                                   absl::Span<const ClassId> excluded);

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_CLASS_SET_H_
