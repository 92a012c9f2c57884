// The classes of a prototype store in a file of its own: added from images, dropped, merged.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<AddedClass> added,
//                              AddClasses(fs, "w.h5", embedder, /*embedding_dim=*/512, source, {}));
//   PROTOPAGE_RETURN_IF_ERROR(DropClasses(fs, "w.h5", {3, 7}).status());
//   PROTOPAGE_RETURN_IF_ERROR(MergeClasses(fs, "w.h5", /*into=*/2, {9}).status());
//
// All are durable when they return. Errors: InvalidArgument, which names --store, when the store is
// the file of a run or not clean; FailedPrecondition when it is open for writing; those of
// PrototypeStore.
#ifndef PROTOPAGE_TRAINER_VERBS_STORE_CLASSES_H_
#define PROTOPAGE_TRAINER_VERBS_STORE_CLASSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/data/image_source.h"
#include "protopage/trainer/session/embedder.h"
#include "protopage/trainer/stages/imprint.h"

namespace protopage {

struct StoreClassCounts {
  int64_t num_classes = 0;  // Ids are below it.
  int64_t dropped = 0;      // Of them.
};

struct AddedClass {
  ClassId id = 0;
  std::string name;  // In the source.
  int64_t images = 0;
};

// Imprints a new class for each class of `source`, which must all have images, and keeps its name.
// If its capacity does not suffice, or its room for names, the file is first replaced by a larger
// one. Other errors: InvalidArgument (another size of embeddings, a name that is too long or that a
// class of the store has, a class without images), those of the source and the device; then no
// class was added, and the store is as good as before.
absl::StatusOr<std::vector<AddedClass>> AddClasses(FileSystem* fs, const std::string& path,
                                                   Embedder& embedder, int64_t embedding_dim,
                                                   const ImageSource& source,
                                                   const ImprintOptions& options);

// Other errors: InvalidArgument (no class of the store, a repeated one, or all of them). Returns
// the counts after it.
absl::StatusOr<StoreClassCounts> DropClasses(FileSystem* fs, const std::string& path,
                                             const std::vector<ClassId>& ids);
// `into` gets the mean of all their rows, `from` is dropped, in a copy that takes the file's place.
// Other errors: as DropClasses.
absl::StatusOr<StoreClassCounts> MergeClasses(FileSystem* fs, const std::string& path, ClassId into,
                                              const std::vector<ClassId>& from);

// The classes of these names that were not dropped. Errors: InvalidArgument (there is none).
absl::StatusOr<std::vector<ClassId>> FindStoreClasses(FileSystem* fs, const std::string& path,
                                                      const std::vector<std::string>& names);

// "3,7,12". Errors: InvalidArgument.
absl::StatusOr<std::vector<ClassId>> ParseClassIds(absl::string_view text);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_STORE_CLASSES_H_
