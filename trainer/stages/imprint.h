// Imprinting: the first prototype of a class is the normalised mean of the normalised features of
// its images ("Low-Shot Learning with Imprinted Weights", Qi et al., CVPR 2018).
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
  // Only images of this domain are used; -1: all.
  int domain = -1;
  // Rows are computed and written in blocks of this many, which bounds the memory.
  int64_t block_rows = 4096;
  // Called after each batch.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct ImprintStats {
  int64_t images = 0;
  int64_t classes = 0;    // Imprinted.
  int64_t imageless = 0;  // Without an image, or with zero features only: their rows are kept.
};

// Imprints the rows of all classes that were not dropped. Errors: InvalidArgument (the source has
// more classes than the store), those of the source, the device and the store.
absl::StatusOr<ImprintStats> Imprint(Embedder& embedder, const ImageSource& source,
                                     const ImprintOptions& options, PrototypeStore& store);

// Appends the classes of the source to the store as new classes (PrototypeStore::AppendRows), which
// exist once AddAppended is called. Errors: as above; InvalidArgument when a class has no image, or
// only zero features.
absl::StatusOr<ImprintStats> AppendImprinted(Embedder& embedder, const ImageSource& source,
                                             const ImprintOptions& options, PrototypeStore& store);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_IMPRINT_H_
