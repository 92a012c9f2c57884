// ClassImages: the records of each class, in ascending order.
//
//   const ClassImages images(*source);
//   const int64_t record = images.Record(label, random.Below(images.Count(label)));
//   const ClassImages ids(*source, FindDomain(*source, "id"));  // Of one domain only.
//
// Takes 4 bytes per record and 4 bytes per class, for a source of less than 2^32 records (CHECKed);
// nothing for a source with a constant records_per_class().
#ifndef PROTOPAGE_DATA_CLASS_IMAGES_H_
#define PROTOPAGE_DATA_CLASS_IMAGES_H_

#include <cstdint>
#include <vector>

#include "protopage/base/types.h"
#include "protopage/data/image_source.h"

namespace protopage {

inline constexpr int kAnyDomain = -1;

// Immutable, so thread-safe. Does not refer to the source after construction.
class ClassImages {
 public:
  explicit ClassImages(const ImageSource& source, int domain = kAnyDomain);

  int64_t num_classes() const { return num_classes_; }
  // The number of records of all classes.
  int64_t size() const {
    return each_ > 0 ? num_classes_ * each_ : static_cast<int64_t>(records_.size());
  }
  int64_t Count(ClassId label) const {
    return each_ > 0 ? each_ : int64_t{begin_[label + 1]} - begin_[label];
  }
  // The i-th record of the class, i in [0, Count(label)).
  int64_t Record(ClassId label, int64_t i) const {
    return each_ > 0 ? label * each_ + i : records_[begin_[label] + i];
  }

 private:
  int64_t num_classes_;
  int64_t each_ = 0;               // Class c has the records [c * each_, (c + 1) * each_), if > 0.
  std::vector<uint32_t> begin_;    // [num_classes + 1]
  std::vector<uint32_t> records_;  // Sorted by (label, record).
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_CLASS_IMAGES_H_
