// Imprinting: a class's first prototype is made from features of its images, by
// "Low-Shot Learning with Imprinted Weights" (Qi et al., CVPR 2018): normalise, average, normalise.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(ImprintStats stats, Imprint(embedder, source, {}, store));
#ifndef PROTOPAGE_TRAINER_STAGES_IMPRINT_H_
#define PROTOPAGE_TRAINER_STAGES_IMPRINT_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "protopage/data/image_source.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/session/embedder.h"

namespace protopage {

struct ImprintOptions {
  // Only images of this domain; -1 takes all.
  int domain = -1;
  // Rows are written in blocks of so many: that is all that is in memory at a time.
  int64_t block_rows = 4096;
  // Called now and then with images done and in all.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct ImprintStats {
  int64_t images = 0;
  int64_t classes = 0;    // Imprinted.
  int64_t imageless = 0;  // Classes without an image (or with features of zero): their rows stay.
};

// Classes that were dropped stay away. Errors: InvalidArgument (the source has more classes than
// the store), those of the source, the device and the store.
absl::StatusOr<ImprintStats> Imprint(Embedder& embedder, const ImageSource& source,
                                     const ImprintOptions& options, PrototypeStore& store);

// The classes of the source as new ones behind those of the store (PrototypeStore::AppendRows):
// they count once AddAppended is called. Errors: as above; InvalidArgument when a class has no
// image, or features of zero only.
absl::StatusOr<ImprintStats> AppendImprinted(Embedder& embedder, const ImageSource& source,
                                             const ImprintOptions& options, PrototypeStore& store);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_IMPRINT_H_
