// SubsetSource: some records of another source, with its labels and names; and the seeded
// choice of images to hold out for validation.
#ifndef PROTOPAGE_DATA_SUBSET_SOURCE_H_
#define PROTOPAGE_DATA_SUBSET_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protopage/data/image_source.h"

namespace protopage {

// Records `records[0]`, `records[1]`, ... of `source`, each in [0, source->size()).
std::unique_ptr<ImageSource> MakeSubset(std::shared_ptr<const ImageSource> source,
                                        std::vector<uint32_t> records, const std::string& what);

// Which records are held out: of each class's n images, n * share, a fraction being one image
// more with that probability; never its last image, never one of the domain "id". Which images is
// a function of (seed, record). Ascending.
std::vector<uint32_t> ChooseHeldOut(const ImageSource& source, double share, uint64_t seed);

// The records not in `records` (ascending), ascending.
std::vector<uint32_t> Complement(int64_t size, const std::vector<uint32_t>& records);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SUBSET_SOURCE_H_
