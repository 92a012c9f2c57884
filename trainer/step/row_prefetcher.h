// RowPrefetcher: brings the rows of coming steps into the store's cache, in a thread of its own.
//
//   RowPrefetcher prefetcher(&store, /*rows_per_step=*/256);
//   prefetcher.Submit(step, plan.classes);  // When the step is planned.
//   ...
//   PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, prefetcher.Finish(step));  // At its turn.
//   PROTOPAGE_RETURN_IF_ERROR(store.GatherStep(plan.classes, &rows));
//   pinned.Release();
//
// It moves rows and never values: what a step gathers does not depend on it. Steps for which the
// cache has no room beside the one that is gathered wait, and are read by their own gather if it
// comes first.
#ifndef PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_
#define PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
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
  // Waits for the step at work; the others are dropped.
  ~RowPrefetcher();
  RowPrefetcher(const RowPrefetcher&) = delete;
  RowPrefetcher& operator=(const RowPrefetcher&) = delete;

  // Never blocks. Steps come in ascending order.
  void Submit(int64_t step, std::vector<ClassId> classes);

  // The rows of `step`, pinned: keep them until the step has gathered its rows, and no longer, as
  // other steps are prefetched with the room in mind that one step takes. Waits while they are
  // being read; when that has not begun, they are left to the caller's gather, and the result is
  // empty, as it is the second time. Pins of earlier steps are released. Errors: the store's, of
  // this step.
  absl::StatusOr<PinnedRows> Finish(int64_t step);

 private:
  struct Request {
    int64_t step;
    std::vector<ClassId> classes;
  };
  // A step whose rows are being read, or are pinned.
  struct Begun {
    int64_t step;
    absl::StatusOr<PinnedRows> rows = PinnedRows();
  };

  void Loop();

  PrototypeStore* const store_;
  const int64_t max_begun_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::deque<Request> waiting_;
  std::deque<Begun> begun_;  // And not finished, at most max_begun_; the last may be running.
  bool running_ = false;     // begun_.back() is being read.
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_
