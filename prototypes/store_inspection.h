// InspectStore: what a prototype store holds, and which of its classes are likely the same one.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const StoreInspection found, InspectStore(store.get(), {}, &pool));
//   ... found.never_written of found.num_classes ...
//   for (const ClassPair& pair : found.pairs) ... pair.a and pair.b have cosine pair.cosine ...
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
  // The nearest pairs to find; 0: none, which reads each row once only.
  int64_t pairs = 20;
  // At most so many products of rows, of about 50 ns in one thread at D = 512, are computed for
  // pairs: up to 65,536 classes all pairs are looked at; of more, those of a sample of classes with
  // all.
  int64_t max_products = int64_t{1} << 32;
  uint64_t seed = 1;                  // Of the sample.
  FileSystem* file_system = nullptr;  // The store's; null means DefaultFileSystem().
};

struct ClassPair {
  ClassId a = kNoClass, b = kNoClass;  // a < b
  double cosine = 0;
  std::string a_name = {}, b_name = {};  // "" where there is none.
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
  // Of a run's file: the checkpoint, counted by its log, that the main file is at; -1 for a file
  // without a log.
  int64_t main_checkpoint = -1;
  int64_t file_bytes = 0;
  int64_t allocated_bytes = 0;  // What the file's holes leave.

  // Classes; those that were dropped count in `dropped` only.
  int64_t dropped = 0;
  int64_t never_written = 0;
  int64_t imprinted = 0;  // Written, but not by a training step since the stage began.
  int64_t trained = 0;

  // Steps between the newest one of any class and the class's last, over trained classes. Quantiles
  // above 256 steps are rounded down, by less than 1 %.
  int64_t newest_step = -1;
  int64_t age_median = 0, age_p90 = 0, age_p99 = 0, age_max = 0;

  // Over written classes; zeros when there are none.
  double norm_min = 0, norm_mean = 0, norm_max = 0;

  // Of written classes, those with the largest cosines, if above 0; (cosine descending, a, b).
  std::vector<ClassPair> pairs;
  int64_t pair_classes = 0;    // Written classes that were compared with all others.
  bool pairs_complete = true;  // These were all: no pair was missed.
};

// Nothing may write to the store meanwhile. Errors: those of reading the store; InvalidArgument
// (options).
absl::StatusOr<StoreInspection> InspectStore(PrototypeStore* store,
                                             const StoreInspectionOptions& options,
                                             ThreadPool* pool);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_STORE_INSPECTION_H_
