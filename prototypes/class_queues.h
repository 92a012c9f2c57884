// ClassQueues: for each class, the classes it is most easily confused with.
//
// The *candidate* queue of a class holds its nearest classes by the index. The *dominant* queue
// starts as the nearest of them, and is then corrected by the network's own mistakes. Both are
// paged tables in an HDF5 file of their own (FORMAT.md), and are built when a class is first drawn:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto queues, ClassQueues::Create(path, num_classes, options));
//   PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(positives, step, search));
//   std::vector<ClassId> dominants(queues->dominant_queue());
//   PROTOPAGE_RETURN_IF_ERROR(queues->Dominants(positives[0], absl::MakeSpan(dominants)));
//   ...  // A training step over classes[K], samples with slots[B] and predicted slots[B].
//   PROTOPAGE_RETURN_IF_ERROR(queues->ApplyMistakes(classes, slots, predicted));
//
// The content is a function of the calls and of the results of `search`, never of threads.
#ifndef PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_
#define PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/base/types.h"

namespace protopage {

class PagedTable;
class RowCache;
class TableLog;

struct ClassQueuesOptions {
  int64_t dominant_queue = 20;   // Length of a dominant queue, >= 1.
  int64_t candidate_queue = 50;  // Length of a candidate queue, >= dominant_queue.
  // EnsureBuilt searches candidates again that are older than this many steps; 0 means never.
  int64_t candidate_refresh_steps = 0;
  // Neither pushes nor refreshes. Queues that were never built are still built.
  bool frozen = false;
  int64_t cache_bytes = int64_t{16} << 20;
  TableLog* log = nullptr;            // As PrototypeStoreOptions::log.
  uint64_t id = 0;                    // As PrototypeStoreOptions::id.
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

struct ClassQueuesStats {
  int64_t built = 0;      // Classes built since opened.
  int64_t refreshed = 0;  // Candidate queues searched again since opened.
  int64_t mistakes = 0;   // Samples whose predicted class was not their own.
  int64_t pushes = 0;     // Mistakes that were pushed into a dominant queue.
  // The age of the queues in use: the classes of all calls of EnsureBuilt, each once per call, and
  // the sum over them of the steps since their candidates were searched (0 when the call did that).
  int64_t used = 0;
  int64_t used_age_steps = 0;
};

// Thread-safe. Each call is atomic with respect to the others, so calls wait for a search that
// EnsureBuilt has started; stats() does not.
class ClassQueues {
 public:
  // Fills `neighbors` [ids.size(), k] with the nearest classes of ids[i], nearest first, never
  // ids[i] itself, kNoClass at the end when there are fewer.
  using NeighborSearch = absl::FunctionRef<absl::Status(absl::Span<const ClassId> ids, int64_t k,
                                                        absl::Span<ClassId> neighbors)>;

  // Errors: as PrototypeStore::Create and Open; InvalidArgument when the file's queue
  // lengths are not those of `options`.
  static absl::StatusOr<std::unique_ptr<ClassQueues>> Create(const std::string& path,
                                                             int64_t num_classes,
                                                             const ClassQueuesOptions& options);
  static absl::StatusOr<std::unique_ptr<ClassQueues>> Open(const std::string& path,
                                                           const ClassQueuesOptions& options);
  ~ClassQueues();
  ClassQueues(const ClassQueues&) = delete;
  ClassQueues& operator=(const ClassQueues&) = delete;

  int64_t num_classes() const { return num_classes_; }
  int64_t dominant_queue() const { return options_.dominant_queue; }
  int64_t candidate_queue() const { return options_.candidate_queue; }

  // Builds the queues of the `ids` (repeats allowed) that have none, and searches the candidates
  // again of those that are too old at `step`, by one call of `search` with the ids ascending.
  // `search` must not call any function of this object but stats().
  // Errors: OutOfRange (id), those of `search`; nothing is changed then.
  absl::Status EnsureBuilt(absl::Span<const ClassId> ids, int64_t step, NeighborSearch search);

  // Copies the queue of `id`, head first, with kNoClass at the end when there are fewer classes.
  // `out` is [dominant_queue()] or [candidate_queue()].
  // Errors: FailedPrecondition (never built), OutOfRange, InvalidArgument.
  absl::Status Dominants(ClassId id, absl::Span<ClassId> out);
  absl::Status Candidates(ClassId id, absl::Span<ClassId> out);

  // For samples i in order, with y = classes[slots[i]] and r = classes[predicted[i]]: if r != y, r
  // is not in the dominant queue of y and is in its candidate queue, r is pushed at the head of
  // the dominant queue and its tail is dropped. `slots` and `predicted` are [B], in [0, K).
  // Classes without queues (negatives that were never drawn as positives) are skipped.
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted);

  // Makes all queues unbuilt, for a new stage.
  absl::Status Reset();

  // As PrototypeStore's. Restore with RestoreCopy of prototype_store.h.
  absl::Status Flush();
  absl::Status SaveCopy(const std::string& path);

  ClassQueuesStats stats() const;

 private:
  struct Entry;

  ClassQueues(std::unique_ptr<PagedTable> table, const ClassQueuesOptions& options);

  absl::Status CheckIds(absl::Span<const ClassId> ids) const;
  int64_t BatchRows() const;
  // `ids` are distinct.
  absl::Status ReadEntries(absl::Span<const ClassId> ids, std::vector<Entry>* entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckEntry(const Entry& entry) const;
  absl::Status WriteEntries(const std::vector<Entry>& entries)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Searches the candidates of all entries, writes these, and counts them in `added`.
  absl::Status Search(std::vector<Entry>& outdated, int64_t step, NeighborSearch search,
                      ClassQueuesStats* added) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddStats(const ClassQueuesStats& added);
  absl::Status CopyQueue(ClassId id, bool dominants, absl::Span<ClassId> out);

  const std::string path_;
  const int64_t num_classes_;
  const ClassQueuesOptions options_;
  const std::unique_ptr<PagedTable> table_;
  const std::unique_ptr<RowCache> cache_;
  // Makes each call atomic: held for its reads and writes of cache_, and for a search between them,
  // whose result must not overwrite a mistake that was applied meanwhile.
  Mutex mutex_ ABSL_ACQUIRED_BEFORE(stats_mutex_);
  // Apart from mutex_, as the training thread reads the statistics while the planner searches.
  mutable Mutex stats_mutex_;
  ClassQueuesStats stats_ ABSL_GUARDED_BY(stats_mutex_);
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_
