// LogMerger: merges the segments of a TableLog that no checkpoint needs into the tables' main
// files, in the order of rows, and removes them; in a thread of its own, or in the caller's.
//
// The order makes an interrupted merge harmless: the changes are in the main file, and marked so
// durably, before the index forgets their places in the segments, and the index forgets them before
// the files are removed. A merge that is repeated writes the same rows again.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_LOG_MERGER_H_
#define PROTOPAGE_PROTOTYPES_TABLE_LOG_MERGER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/log_index.h"
#include "protopage/prototypes/table/log_segment.h"
#include "protopage/prototypes/table/logged_table.h"

namespace protopage {

struct LogMergerOptions {
  // As TableLogOptions.
  int64_t merge_segments = 0;
  int64_t merge_bytes = 0;
  int64_t index_bytes = 0;
};

// Thread-safe.
class LogMerger {
 public:
  // Neither pointer is owned.
  LogMerger(FileSystem* file_system, std::string directory, const LogMergerOptions& options,
            LogIndex* index);
  // Stops a merge that runs; the next one begins it again.
  ~LogMerger();
  LogMerger(const LogMerger&) = delete;
  LogMerger& operator=(const LogMerger&) = delete;

  // From now on, MergeIfDue leaves merges to a thread. Errors: ResourceExhausted (no thread).
  absl::Status StartMerging();
  // Merges retired segments once they are many or large enough. Errors: of this merge; with a
  // thread, of the last one.
  absl::Status MergeIfDue();
  // Merges all retired segments before it returns.
  absl::Status MergeNow();

  // Held by the merge that runs: no merge runs while another holds it. Held across I/O: a merge is
  // nothing else.
  Mutex& merge_mutex() ABSL_LOCK_RETURNED(merge_mutex_) { return merge_mutex_; }

 private:
  using Segments = absl::Span<const std::shared_ptr<LogSegment>>;
  // What the segments of a merge hold of a table.
  struct Changes {
    bool any = false;
    std::vector<std::pair<int64_t, LogPlace>> rows;  // The newest place of each row, by row.
    std::vector<LogPlace> cleared;                   // [kMaxLogColumns], 0 for none.
  };

  void Loop();
  bool Stopping();
  absl::Status MergeRetired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_mutex_);
  // False: stopped before the end.
  absl::StatusOr<bool> MergeTable(int table, Segments segments)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_mutex_);
  static absl::StatusOr<Changes> CollectChanges(int table, Segments segments);
  // Brings the main file of `logged` to `point`. False: stopped before the end.
  absl::StatusOr<bool> MergeChanges(int table, LoggedTable* logged, const LogPoint& point,
                                    Segments segments, const Changes& changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_mutex_);
  // Removes segments that are merged, but whose removal was interrupted.
  absl::Status RemoveLeftSegments() ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_mutex_);
  absl::Status RemoveSegments(int64_t last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_mutex_);

  FileSystem* const file_system_;
  const std::string directory_;
  const LogMergerOptions options_;
  LogIndex* const index_;

  // merge_mutex_ before mutex_, and both before the mutex of index_.
  Mutex merge_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  Mutex mutex_;
  CondVar wake_;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // Of the thread's last merge, until reported.
  std::thread thread_;                          // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_LOG_MERGER_H_
