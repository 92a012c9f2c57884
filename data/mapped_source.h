// The classes of a source under other labels.
//
//   ClassMapping mapping;
//   mapping.num_classes = 3;
//   mapping.labels = {2, 0, ClassMapping::kLeftOut};  // Of classes 0, 1 and 2 of the source.
//   source = MapClasses(source, std::make_shared<ClassMapping>(mapping), name);
#ifndef PROTOPAGE_DATA_MAPPED_SOURCE_H_
#define PROTOPAGE_DATA_MAPPED_SOURCE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "protopage/base/types.h"
#include "protopage/data/image_source.h"

namespace protopage {

struct ClassMapping {
  static constexpr uint32_t kLeftOut = std::numeric_limits<uint32_t>::max();

  // New labels are below it. Some may have no class of the source: they have no images.
  int64_t num_classes = 0;
  // The new label of each class of the source, or kLeftOut: its images are left out. Empty: all
  // keep theirs, and those from num_classes on are left out.
  std::vector<uint32_t> labels;
};

// `name` gives the names of the new labels. When the records of the source are in the order of
// their labels, they are so by the new ones. Takes 4 bytes a record, for a source of less than 2^32
// records, or nothing where every record stays in its place.
std::unique_ptr<ImageSource> MapClasses(std::shared_ptr<const ImageSource> source,
                                        std::shared_ptr<const ClassMapping> mapping,
                                        std::function<std::string(ClassId)> name);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_MAPPED_SOURCE_H_
