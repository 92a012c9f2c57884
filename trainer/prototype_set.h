// PrototypeSet: the prototype table of a run with what belongs to it: the dominant and candidate
// queues and the class index, created, trained, saved and restored together.
//
//   ASSIGN_OR_RETURN(auto set, PrototypeSet::Create(run_path, num_classes, dim, options, &pool));
//   ... imprint or leave the rows at random ...
//   RETURN_IF_ERROR(set->BuildIndex());         // Before the queues are used.
//   ... a step over `classes` ... RETURN_IF_ERROR(set->NoteTrained(step, classes));
//   RETURN_IF_ERROR(set->SaveCheckpoint(folder));
#ifndef PROTOPAGE_TRAINER_PROTOTYPE_SET_H_
#define PROTOPAGE_TRAINER_PROTOTYPE_SET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "base/types.h"
#include "prototypes/class_index.h"
#include "prototypes/class_queues.h"
#include "prototypes/neighbor_search.h"
#include "prototypes/prototype_store.h"
#include "sampling/dominant_source.h"
#include "sampling/selection_config.h"
#include "trainer/config.h"

namespace protopage {

struct PrototypeSetOptions {
  PrototypesConfig prototypes;
  SelectionConfig selection;
  uint64_t seed = 0;
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

class PrototypeSet {
 public:
  // Makes prototypes.h5 in `directory`; one left by an earlier attempt is replaced.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Create(const std::string& directory,
                                                              int64_t num_classes, int64_t dim,
                                                              const PrototypeSetOptions& options,
                                                              ThreadPool* pool);
  // Copies what SaveCheckpoint wrote to `checkpoint` over the files in `directory` and opens them.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Restore(const std::string& directory,
                                                               const std::string& checkpoint,
                                                               const PrototypeSetOptions& options,
                                                               ThreadPool* pool);
  // The prototypes that a checkpoint holds, for evaluation: nothing can be written, no queues.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> OpenReadOnly(
      const std::string& checkpoint, const PrototypeSetOptions& options, ThreadPool* pool);

  PrototypeStore& store() { return *store_; }

  // For the start of a dominant stage: optimizer state of all classes to zero, an index of the
  // rows as they are, empty queues.
  absl::Status BeginStage();
  // Null before BeginStage.
  DominantSource* dominants() { return dominants_.get(); }
  // After step `stage_step` (counted from 0) trained `classes`: brings the index up to date when
  // it is time for it.
  absl::Status NoteTrained(int64_t stage_step, absl::Span<const ClassId> classes);
  // Brings the index up to date now: at the end of an epoch.
  absl::Status UpdateIndex();

  // Writes rows, queues and index to files in `folder`. The classes below belong to a checkpoint
  // too, and their keeping is the caller's.
  absl::Status SaveCheckpoint(const std::string& folder);
  // The classes trained since the last update of the index.
  const std::vector<ClassId>& unindexed() const { return unindexed_; }
  void set_unindexed(std::vector<ClassId> classes) { unindexed_ = std::move(classes); }
  absl::Status Flush();

  ClassQueuesStats queue_stats() const;
  ClassIndexStats index_stats() const;  // All zeros before BeginStage.
  // MeasureRecall of prototypes/neighbor_search.h for the candidate queue's length, on at most
  // `num_classes` classes. FailedPrecondition before BeginStage.
  absl::StatusOr<IndexRecall> MeasureIndexRecall(int64_t num_classes);

 private:
  PrototypeSet(std::string directory, const PrototypeSetOptions& options, ThreadPool* pool);
  std::string QueuesPath() const;
  PrototypeStoreOptions StoreOptions() const;
  ClassQueuesOptions QueuesOptions() const;
  ClassIndexOptions IndexOptions() const;
  bool IsNearest() const;  // Mode "nearest": no queues, an index that is always up to date.
  void ConnectDominants();

  const std::string directory_;
  const PrototypeSetOptions options_;
  ThreadPool* const pool_;
  FileSystem* const fs_;
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassIndex> index_;
  std::unique_ptr<ClassQueues> queues_;
  std::unique_ptr<DominantSource> dominants_;
  std::vector<ClassId> unindexed_;  // May repeat.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_PROTOTYPE_SET_H_
