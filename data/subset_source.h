// SubsetSource: some records of another source, with its labels and names; and the seeded choice of
// the images to hold out for validation.
#ifndef PROTOPAGE_DATA_SUBSET_SOURCE_H_
#define PROTOPAGE_DATA_SUBSET_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protopage/data/image_source.h"

namespace protopage {

// The records `records[0]`, `records[1]`, ... of `source`, each in [0, source->size()). `what`
// names them in Description(): "held out".
std::unique_ptr<ImageSource> MakeSubset(std::shared_ptr<const ImageSource> source,
                                        std::vector<uint32_t> records, const std::string& what);

// The records to hold out, ascending: of the n images of each class, n * share, where the
// fractional part is the probability of one more image. At least one image of a class remains, and
// no image of the domain "id" is chosen. The choice is a function of (seed, record).
std::vector<uint32_t> ChooseHeldOut(const ImageSource& source, double share, uint64_t seed);

// The records not in `records` (ascending), ascending.
std::vector<uint32_t> Complement(int64_t size, const std::vector<uint32_t>& records);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SUBSET_SOURCE_H_
