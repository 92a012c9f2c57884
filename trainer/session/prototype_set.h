// PrototypeSet: the prototype table of a run with what belongs to it: the dominant and candidate
// queues and the class index, created, trained, saved and restored together.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto set, PrototypeSet::Create(run_path, num_classes, dim, options, &pool));
//   ... imprint or leave the rows at random ...
//   PROTOPAGE_RETURN_IF_ERROR(set->BuildIndex());         // Before the queues are used.
//   ... a step over `classes` ... set->NoteTrained(classes);
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
#include "protopage/prototypes/table/table_log.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {

struct PrototypeSetOptions {
  PrototypesConfig prototypes;
  SelectionConfig selection;
  uint64_t seed = 0;
  // Of Create: the how many-th set of the run it is, from 1. Each has files of its own, as
  // checkpoints of an earlier one may be gone back to.
  int64_t generation = 1;
  TableLogOptions log;
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

class PrototypeSet {
 public:
  // Makes prototypes.h5 and its log in `directory` (from the second generation on, prototypes-2.h5
  // and so on); those left by an earlier attempt are replaced. Its content is that of
  // prototypes.init_from, if any. Errors: as OpenInitFrom; FailedPrecondition (that is open for
  // writing).
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Create(const std::string& directory,
                                                              int64_t num_classes, int64_t dim,
                                                              const PrototypeSetOptions& options,
                                                              ThreadPool* pool);
  // prototypes.init_from, which must be given, for reading: a store that such a set can start from.
  // Errors: InvalidArgument (its size or kind, or it is of a run), NotFound, DataLoss; all name the
  // key.
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenInitFrom(
      int64_t num_classes, int64_t dim, const PrototypeSetOptions& options);
  // Opens the files in `directory` as they were when SaveCheckpoint wrote `checkpoint`; checkpoints
  // saved after that one are lost.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> Restore(const std::string& directory,
                                                               const std::string& checkpoint,
                                                               const PrototypeSetOptions& options,
                                                               ThreadPool* pool);
  // The prototypes of a checkpoint, for evaluation: nothing can be written, no queues. The run may
  // train on meanwhile; when it has removed the checkpoint, reads are Aborted.
  static absl::StatusOr<std::unique_ptr<PrototypeSet>> OpenReadOnly(
      const std::string& directory, const std::string& checkpoint,
      const PrototypeSetOptions& options, ThreadPool* pool);

  // What a set's index is built and opened with.
  static ClassIndexOptions IndexOptions(const PrototypeSetOptions& options);

  PrototypeStore& store() { return *store_; }

  // For the start of a dominant stage: optimizer state of all classes to zero, an index of the
  // rows as they are, empty queues.
  absl::Status BeginStage();
  // Null before BeginStage.
  DominantSource* dominants() { return dominants_.get(); }
  // A step trained `classes`: their rows differ from the index's.
  void NoteTrained(absl::Span<const ClassId> classes);
  // The index must be brought up to date every so many steps, and when an epoch ends.
  int64_t index_update_steps() const;
  absl::Status UpdateIndex();

  // Makes rows and queues durable in the log, and writes which place of it that is, and the index,
  // to files in `folder`. The classes below belong to a checkpoint too, and their keeping is the
  // caller's.
  absl::Status SaveCheckpoint(const std::string& folder);
  // `oldest` is the folder of the oldest checkpoint that is kept from now on; all before are
  // durably gone. With `all`, everything that can be is merged into prototypes.h5 before this
  // returns.
  absl::Status Retire(const std::string& oldest, bool all);
  // The log has grown so much that it is time for a checkpoint.
  bool wants_checkpoint() const { return log_->wants_checkpoint(); }
  int64_t generation() const { return options_.generation; }
  // The classes trained since the last update of the index.
  const std::vector<ClassId>& unindexed() const { return unindexed_; }
  void set_unindexed(std::vector<ClassId> classes) { unindexed_ = std::move(classes); }
  absl::Status Flush();

  ClassQueuesStats queue_stats() const;
  ClassIndexStats index_stats() const;  // All zeros before BeginStage.
  TableLogStats log_stats() const { return log_->stats(); }
  // There is an index, and its copies of rows may differ from the rows.
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
  bool IsNearest() const;  // Mode "nearest": no queues, an index that is always up to date.
  void ConnectDominants();
  absl::Status SaveIndex(const std::string& folder);
  absl::Status BuildAllQueues();

  const std::string directory_;
  const PrototypeSetOptions options_;
  ThreadPool* const pool_;
  FileSystem* const fs_;
  std::unique_ptr<TableLog> log_;  // Outlives the tables.
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassIndex> index_;
  std::unique_ptr<ClassQueues> queues_;
  std::unique_ptr<DominantSource> dominants_;
  // index.bin of the checkpoint saved or restored last; num_changed() counts from what it holds.
  // "": none.
  std::string saved_index_;
  std::vector<ClassId> unindexed_;  // May repeat.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_PROTOTYPE_SET_H_
