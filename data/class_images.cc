#include "protopage/data/class_images.h"

#include <limits>

#include "protopage/base/check.h"

namespace protopage {

ClassImages::ClassImages(const ImageSource& source, int domain)
    : num_classes_(source.num_classes()) {
  if (domain == kAnyDomain && source.records_per_class() > 0) {
    each_ = source.records_per_class();
    return;
  }
  const int64_t size = source.size();
  PROTOPAGE_CHECK(size <= std::numeric_limits<uint32_t>::max());
  auto wanted = [&](int64_t record) {
    return domain == kAnyDomain || source.Domain(record) == domain;
  };
  // A counting sort: begin_[c + 1] is first the number of records of class c, then the end of the
  // class.
  begin_.assign(source.num_classes() + 1, 0);
  for (int64_t record = 0; record < size; ++record) {
    if (wanted(record)) ++begin_[source.Label(record) + 1];
  }
  for (size_t c = 1; c < begin_.size(); ++c) begin_[c] += begin_[c - 1];
  records_.resize(begin_.back());
  // From the last record to the first, so that each end is counted down to its beginning and the
  // records of a class ascend.
  for (int64_t record = size - 1; record >= 0; --record) {
    if (wanted(record)) {
      records_[--begin_[source.Label(record) + 1]] = static_cast<uint32_t>(record);
    }
  }
  // Entry c + 1 now holds the beginning of class c.
  for (size_t c = 0; c + 1 < begin_.size(); ++c) begin_[c] = begin_[c + 1];
  begin_.back() = static_cast<uint32_t>(records_.size());
}

}  // namespace protopage
