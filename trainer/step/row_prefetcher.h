// RowPrefetcher: reads the rows of coming steps into the store's cache, in a thread of its own.
//
//   RowPrefetcher prefetcher(store.get(), /*rows_per_step=*/256);
//   prefetcher.Submit(step, classes);  // When the step is planned.
//   ...
//   PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, prefetcher.Finish(step));  // At its turn.
//   PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(classes, &rows));
//   pinned.Release();
//
// It makes rows resident and changes no values: what a step gathers does not depend on it. A step
// waits while the cache has no room for its rows in addition to those of the step that is gathered
// next. If its turn comes first, its own gather reads them.
#ifndef PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_
#define PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_

#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/mutex.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/pinned_rows.h"

namespace protopage {

// Submit and Finish may be called from different threads. The pins of steps that were not finished
// are released with the prefetcher, so the store must outlive it.
class RowPrefetcher {
 public:
  // `store` is not owned. A step has at most `rows_per_step` rows, >= 1.
  RowPrefetcher(PrototypeStore* store, int64_t rows_per_step);
  // Waits for the step that is being read. The others are dropped.
  ~RowPrefetcher();
  RowPrefetcher(const RowPrefetcher&) = delete;
  RowPrefetcher& operator=(const RowPrefetcher&) = delete;

  // Does not wait. Steps come in ascending order.
  void Submit(int64_t step, std::vector<ClassId> classes);

  // Returns the pinned rows of `step`. Keep them until the step has gathered its rows, and no
  // longer: the next steps are prefetched into the room that they take. Waits while the rows are
  // being read. When their turn has not come yet, they are left to the caller's gather, and the
  // result is empty; so it is the second time. Releases the pins of earlier steps. Errors: the
  // store's, of this step; ResourceExhausted when no thread could be started.
  absl::StatusOr<PinnedRows> Finish(int64_t step);

 private:
  struct Request {
    int64_t step = 0;
    std::vector<ClassId> classes;
  };
  // A step whose rows are being read, or are pinned.
  struct Begun {
    int64_t step;
    absl::StatusOr<PinnedRows> rows = PinnedRows();
  };

  void Loop();

  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  PrototypeStore* const store_;
  const int64_t max_begun_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Request> waiting_ ABSL_GUARDED_BY(mutex_);
  // Steps that are not finished, at most max_begun_.
  std::deque<Begun> begun_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;  // The last of begun_ is being read.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status started_;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_
