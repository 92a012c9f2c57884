// ClassQueues: for each class, the classes it is most easily confused with.
//
// The *candidate* queue of a class holds its nearest classes by the index; the *dominant* queue
// starts as the nearest of them and is then corrected by the network's own mistakes. Both are paged
// tables in an HDF5 file of their own (FORMAT.md), built when a class is first drawn:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto queues, ClassQueues::Create("queues.h5", num_classes, options));
//   PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(positives, step, search));
//   std::vector<ClassId> dominants(queues->dominant_queue());
//   PROTOPAGE_RETURN_IF_ERROR(queues->Dominants(positives[0], absl::MakeSpan(dominants)));
//   ... a training step over classes[K], samples with slots[B], predicted slots[B] ...
//   PROTOPAGE_RETURN_IF_ERROR(queues->ApplyMistakes(classes, slots, predicted));
//
// Content is a function of the calls and of what `search` returned, never of threads.
#ifndef PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_
#define PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"

namespace protopage {

class PagedTable;
class RowCache;
class TableLog;

struct ClassQueuesOptions {
  int64_t dominant_queue = 20;   // Length of a dominant queue, >= 1.
  int64_t candidate_queue = 50;  // Length of a candidate queue, >= dominant_queue.
  // Candidates older than this many steps are searched again by EnsureBuilt; 0 means never.
  int64_t candidate_refresh_steps = 0;
  // No pushes and no refreshes. Queues that were never built are still built.
  bool frozen = false;
  int64_t cache_bytes = int64_t{16} << 20;
  TableLog* log = nullptr;            // As PrototypeStoreOptions::log.
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

struct ClassQueuesStats {
  int64_t built = 0;      // Classes built since opened.
  int64_t refreshed = 0;  // Candidate queues searched again since opened.
  int64_t mistakes = 0;   // Samples whose predicted class was another than their own.
  int64_t pushes = 0;     // Of these, pushed into a dominant queue.
  // How old the queues in use are: classes that EnsureBuilt was asked for, each once a call, and
  // the sum over them of the steps since their candidates were searched (0 when it searched them).
  int64_t used = 0;
  int64_t used_age_steps = 0;
};

// Thread-safe. Each call is atomic with respect to the others.
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

  // Builds the queues of those `ids` (repeats allowed) that have none, and searches the candidates
  // again of those that are too old at `step`, by one call of `search` with the ids ascending.
  // Errors: OutOfRange (id), the search's; nothing is changed then.
  absl::Status EnsureBuilt(absl::Span<const ClassId> ids, int64_t step, NeighborSearch search);

  // Copies the queue of `id`, head first; kNoClass at the end when there are fewer classes.
  // `out` is [dominant_queue()] or [candidate_queue()].
  // Errors: FailedPrecondition (never built), OutOfRange, InvalidArgument.
  absl::Status Dominants(ClassId id, absl::Span<ClassId> out);
  absl::Status Candidates(ClassId id, absl::Span<ClassId> out);

  // For samples i in order, with y = classes[slots[i]] and r = classes[predicted[i]]: if r != y, r
  // is not in the dominant queue of y and is in its candidate queue, r is pushed at the head of
  // the dominant queue and its tail is dropped. `slots` and `predicted` are [B], in [0, K).
  // Classes without queues (negatives that were never drawn) are left alone.
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted);

  // All queues become unbuilt: for a new stage.
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
  // These need mutex_. Ids are distinct.
  absl::Status ReadEntries(absl::Span<const ClassId> ids, std::vector<Entry>* entries);
  absl::Status WriteEntries(const std::vector<Entry>& entries);
  // Searches the candidates of all entries and writes them.
  absl::Status Search(std::vector<Entry>& todo, int64_t step, NeighborSearch search);
  absl::Status CopyQueue(ClassId id, bool dominants, absl::Span<ClassId> out);

  const std::string path_;
  const int64_t num_classes_;
  const ClassQueuesOptions options_;
  const std::unique_ptr<PagedTable> table_;
  const std::unique_ptr<RowCache> cache_;
  mutable std::mutex mutex_;
  ClassQueuesStats stats_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_CLASS_QUEUES_H_
