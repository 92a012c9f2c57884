// RowPrefetcher: brings the rows of coming steps into the store's cache, in a thread of its own.
//
//   RowPrefetcher prefetcher(&store, /*rows_per_step=*/256);
//   prefetcher.Submit(step, plan.classes);          // When the step is planned.
//   ...
//   PROTOPAGE_RETURN_IF_ERROR(prefetcher.Finish(step));       // When its turn has come.
//   PROTOPAGE_RETURN_IF_ERROR(store.GatherStep(plan.classes, &rows));
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

#include "absl/status/status.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

// Submit and Finish may be called from different threads.
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

  // Waits for the rows of `step` when they are on their way, and forgets them when that has not
  // begun: the caller's gather reads them then. Errors: the store's, of this step.
  absl::Status Finish(int64_t step);

 private:
  struct Request {
    int64_t step;
    std::vector<ClassId> classes;
  };

  void Loop();

  PrototypeStore* const store_;
  const int64_t max_begun_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::deque<Request> waiting_;
  std::deque<int64_t>
      begun_;             // Steps whose rows are pinned, or will be, and that are not finished.
  int64_t running_ = -1;  // The step at work, -1 for none.
  int64_t failed_ = -1;   // The step that error_ belongs to.
  absl::Status error_;
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_ROW_PREFETCHER_H_
