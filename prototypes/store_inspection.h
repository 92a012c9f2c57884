// InspectStore: statistics of a prototype store, and pairs of its classes that are likely the same.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const StoreInspection found, InspectStore(store.get(), {}, &pool));
//   std::cout << found.never_written << " of " << found.num_classes << " were never written\n";
//   for (const ClassPair& pair : found.pairs) {
//     std::cout << pair.a << " and " << pair.b << ": cosine " << pair.cosine << "\n";
//   }
//
// All rows are read in blocks: memory is about 100 MiB at D = 512, at any N.
#ifndef PROTOPAGE_PROTOTYPES_STORE_INSPECTION_H_
#define PROTOPAGE_PROTOTYPES_STORE_INSPECTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

struct StoreInspectionOptions {
  // The number of nearest pairs to find. 0: none; each row is then read only once.
  int64_t pairs = 20;
  // Upper bound on the products of rows that are computed for pairs, each of about 50 ns in one
  // thread at D = 512. The default allows all pairs of up to 65,536 classes; with more classes, a
  // sample of them is compared with all.
  int64_t max_products = int64_t{1} << 32;
  uint64_t seed = 1;                  // Of the sample.
  FileSystem* file_system = nullptr;  // The store's; null means DefaultFileSystem().
};

struct ClassPair {
  ClassId a = kNoClass, b = kNoClass;  // a < b
  double cosine = 0;
  std::string a_name = {}, b_name = {};  // "" for a class without a name.
};

struct StoreInspection {
  // The file.
  std::string path;
  int64_t format_version = 0;
  int64_t num_classes = 0;
  int64_t capacity = 0;
  int64_t dim = 0;
  bool has_names = false;  // The file has room for them.
  std::string dtype;
  std::string row_state;
  bool clean = false;  // PrototypeStore::clean_when_opened.
  // Of a run's file: the checkpoint, as its log counts them, that the main file is at. -1 for a
  // file without a log.
  int64_t main_checkpoint = -1;
  int64_t file_bytes = 0;
  int64_t allocated_bytes = 0;  // Without the file's holes.

  // Numbers of classes; a dropped class counts only in `dropped`.
  int64_t dropped = 0;
  int64_t never_written = 0;
  int64_t imprinted = 0;  // Written, but not by a training step since the stage began.
  int64_t trained = 0;

  // The age of a trained class: the steps between the newest last step of any class and its own.
  // Quantiles above 256 steps are rounded down, by less than 1 %.
  int64_t newest_step = -1;
  int64_t age_median = 0, age_p90 = 0, age_p99 = 0, age_max = 0;

  // Norms of the rows of written classes; zeros when there are none.
  double norm_min = 0, norm_mean = 0, norm_max = 0;

  // The pairs of written classes with the largest cosines above 0, by (cosine descending, a, b).
  std::vector<ClassPair> pairs;
  int64_t pair_classes = 0;    // Written classes that were compared with all others.
  bool pairs_complete = true;  // All were: no pair was missed.
};

// Nothing may write to the store during the call. Errors: InvalidArgument (options), those of
// reading the store.
absl::StatusOr<StoreInspection> InspectStore(PrototypeStore* store,
                                             const StoreInspectionOptions& options,
                                             ThreadPool* pool);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_STORE_INSPECTION_H_
