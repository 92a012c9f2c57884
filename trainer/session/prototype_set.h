// PrototypeSet: the prototype table of a run, its dominant and candidate queues, and its class
// index. They are created, trained, saved and restored together.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto set, PrototypeSet::Create(run_path, 1000, dim, options, &pool));
//   ... imprint the rows, or leave them random ...
//   PROTOPAGE_RETURN_IF_ERROR(set->BeginStage());  // Builds the index.
//   ... a step that trains `classes` ...
//   set->NoteTrained(classes);
//   PROTOPAGE_RETURN_IF_ERROR(set->UpdateIndex());
//   PROTOPAGE_RETURN_IF_ERROR(set->SaveCheckpoint(folder));
#ifndef PROTOPAGE_TRAINER_SESSION_PROTOTYPE_SET_H_
#define PROTOPAGE_TRAINER_SESSION_PROTOTYPE_SET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/neighbor_search.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_scrub.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {

struct PrototypeSetOptions {
  PrototypesConfig prototypes;
  SelectionConfig selection;
  uint64_t seed = 0;
  // For Create: the number of the set in the run, from 1. Each set has files of its own, since a
  // run may return to a checkpoint of an earlier set.
  int64_t generation = 1;
  TableLogOptions log;
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

class PrototypeSet {
 public:
  // Makes prototypes.h5 and its log in `directory` (from the second generation on, prototypes-2.h5
  // and so on), and replaces files left by an earlier attempt. The rows are those of
  // prototypes.init_from, if given; else the store gets the names in classes/target.h5, if any.
  // Errors: as OpenInitFrom; FailedPrecondition (init_from is open for writing).
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Create(const std::string& directory,
                                                              int64_t num_classes, int64_t dim,
                                                              const PrototypeSetOptions& options,
                                                              ThreadPool* pool);
  // Opens prototypes.init_from, which must be given, for reading, and checks that a set can start
  // from it. Errors: InvalidArgument (its size or type does not fit, or it belongs to a run),
  // NotFound, DataLoss; all name the key.
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenInitFrom(
      int64_t num_classes, int64_t dim, const PrototypeSetOptions& options);
  // Opens the files in `directory` as they were when SaveCheckpoint wrote `checkpoint`. Later
  // checkpoints are lost.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Restore(const std::string& directory,
                                                               const std::string& checkpoint,
                                                               const PrototypeSetOptions& options,
                                                               ThreadPool* pool);
  // Opens the prototypes of a checkpoint for evaluation: read-only and without queues. The run may
  // continue to train; once it has removed the checkpoint, reads return Aborted.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> OpenReadOnly(
      const std::string& directory, const std::string& checkpoint,
      const PrototypeSetOptions& options, ThreadPool* pool);

  // Of a set opened for reading from `checkpoint`: reads all rows, queues and the index, and
  // returns the errors. Index and queues are those that Restore would open.
  std::vector<absl::Status> Scrub(const std::string& checkpoint, const ScrubProgress& progress);

  // The options with which a set's index is built and opened.
  static ClassIndexOptions IndexOptions(const PrototypeSetOptions& options);

  PrototypeStore& store() { return *store_; }

  // Starts a dominant stage: sets the optimizer state of all classes to zero, indexes the current
  // rows, and empties the queues.
  absl::Status BeginStage();
  // Null before BeginStage.
  DominantSource* dominants() { return dominants_.get(); }
  // To be called after a step that trained `classes`: the index's copies of their rows are stale.
  void NoteTrained(absl::Span<const ClassId> classes);
  // UpdateIndex must be called every so many steps, and at the end of an epoch.
  int64_t index_update_steps() const;
  // Updates the index with the rows trained since the last call.
  absl::Status UpdateIndex();

  // Makes rows and queues durable in the log, and writes the position in the log, and the index, to
  // files in `folder`. unindexed() is part of a checkpoint too; the caller saves it.
  absl::Status SaveCheckpoint(const std::string& folder);
  // `oldest` is the folder of the oldest checkpoint that is still kept; earlier ones must be
  // durably removed. With `all`, everything mergeable is merged into prototypes.h5 before this
  // returns.
  absl::Status Retire(const std::string& oldest, bool all);
  // Whether the log has grown so much that a checkpoint is due.
  bool wants_checkpoint() const { return log_->wants_checkpoint(); }
  int64_t generation() const { return options_.generation; }
  // The classes trained since the last update of the index.
  const std::vector<ClassId>& unindexed() const { return unindexed_; }
  void set_unindexed(std::vector<ClassId> classes) { unindexed_ = std::move(classes); }
  absl::Status Flush();

  ClassQueuesStats queue_stats() const;
  ClassIndexStats index_stats() const;  // All zeros before BeginStage.
  TableLogStats log_stats() const { return log_->stats(); }
  // Whether there is an index whose copies of rows may be stale.
  bool index_is_approximate() const { return index_ != nullptr && !IsNearest(); }
  // EstimateRecall of prototypes/neighbor_search.h for the candidate queue's length.
  // FailedPrecondition before BeginStage.
  absl::StatusOr<RecallEstimate> EstimateIndexRecall(int64_t draw);

 private:
  PrototypeSet(std::string directory, const PrototypeSetOptions& options, ThreadPool* pool);
  std::string PathOf(absl::string_view name, absl::string_view suffix) const;
  std::string StorePath() const { return PathOf("prototypes", ".h5"); }
  std::string QueuesPath() const { return PathOf("queues", ".h5"); }
  std::string LogPath() const { return PathOf("log", ""); }
  absl::Status RemoveFiles();
  PrototypeStoreOptions StoreOptions() const;
  ClassQueuesOptions QueuesOptions() const;
  bool IsNearest() const;  // Mode "nearest": no queues, and an index that is never stale.
  void ConnectDominants();
  absl::Status SaveIndex(const std::string& folder);
  absl::Status BuildAllQueues();

  const std::string directory_;
  const PrototypeSetOptions options_;
  ThreadPool* const pool_;
  FileSystem* const fs_;
  std::unique_ptr<TableLog> log_;  // Outlives the tables.
  uint64_t tables_ = 0;  // The id of the store and the queues; 0 in runs of earlier versions.
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassIndex> index_;
  std::unique_ptr<ClassQueues> queues_;
  std::unique_ptr<DominantSource> dominants_;
  // index.bin of the last checkpoint saved or restored, from which num_changed() counts; empty if
  // there is none.
  std::string saved_index_;
  std::vector<ClassId> unindexed_;  // May repeat.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_PROTOTYPE_SET_H_
