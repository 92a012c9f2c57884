// LookAhead: runs a StepPlanner in a thread of its own, so that planning (candidate searches, index
// updates) and the work that a plan starts (prefetching rows, loading images) run concurrently with
// the training step.
//
//   LookAhead ahead(planner.get(), end_step, {.before_apply = update_index, .on_plan = prefetch});
//   for (int64_t step = first; step < end_step; ++step) {
//     PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<const StepPlan> plan, ahead.Plan(step));
//     ...  // Gather the rows of plan->classes, forward, backward.
//     PROTOPAGE_RETURN_IF_ERROR(ahead.Settle());  // The planner reads no rows from here,
//     ...  // so they may be scattered,
//     ahead.Finish(step, predicted_slots);  // to here.
//   }
//
// The sequence is the planner's own: after Finish(s) come before_apply(s), apply(s) and plan(s + 1
// + L), all before Settle of step s + 1 returns. So planning reads the rows as they are after step
// s, and the bits of a run do not depend on timing. With L >= 1 a step waits only for planning that
// takes longer than its own forward and backward pass.
#ifndef PROTOPAGE_SAMPLING_LOOK_AHEAD_H_
#define PROTOPAGE_SAMPLING_LOOK_AHEAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/mutex.h"
#include "protopage/sampling/step_planner.h"

namespace protopage {

// All calls come from one thread, the training thread. The hooks run in the planner's thread.
class LookAhead {
 public:
  struct Hooks {
    // Called when step `step` is finished and its rows are in the store, but before its mistakes
    // are applied.
    std::function<absl::Status(int64_t step)> before_apply;
    // Called once for each plan below `end_step`, in order: when it is made, or at the start for
    // the pending plans of a restored planner.
    std::function<absl::Status(const StepPlan& plan)> on_plan;
  };

  // `planner` is not owned. Until this object is destroyed nothing else may use it, except between
  // Settle and Finish. Steps from `end_step` on are not planned. Planning starts at once. When no
  // thread can be started, Plan and Settle return ResourceExhausted.
  LookAhead(StepPlanner* planner, int64_t end_step, Hooks hooks);
  // Waits for the hook or plan in progress.
  ~LookAhead();
  LookAhead(const LookAhead&) = delete;
  LookAhead& operator=(const LookAhead&) = delete;

  // Waits for the plan of the oldest unfinished step, and returns it. Errors: FailedPrecondition
  // (`step` is another), those of the planner and the hooks.
  absl::StatusOr<std::shared_ptr<const StepPlan>> Plan(int64_t step);

  // The plan after the one that Plan returns if it is made already, else null. Does not wait.
  std::shared_ptr<const StepPlan> NextPlan();

  // Waits until the planner has done all work for the finished steps. From then until the next
  // Finish it is idle: rows may change, and its state may be saved. Errors: those of the planner
  // and the hooks.
  absl::Status Settle();

  // Ends a step; predicted_slots as for StepPlanner::Apply. Does not wait.
  void Finish(int64_t step, std::vector<int32_t> predicted_slots);

  // The time that the training thread has waited in Plan and Settle.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Finished {
    int64_t step;
    std::vector<int32_t> predicted_slots;
  };

  void Loop();
  absl::Status Apply(const Finished& finished);
  // Plans all steps that may be planned now.
  absl::Status PlanAhead();
  // Neither hook nor planner is running, and none is due.
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !working_ && finished_.empty();
  }

  StepPlanner* const planner_;
  const int64_t end_step_;
  const Hooks hooks_;
  double seconds_waited_ = 0;  // Of the training thread only.

  Mutex mutex_;
  CondVar changed_;
  // Of unfinished steps, oldest first.
  std::deque<std::shared_ptr<const StepPlan>> plans_ ABSL_GUARDED_BY(mutex_);
  std::deque<Finished> finished_ ABSL_GUARDED_BY(mutex_);  // Not applied yet.
  bool working_ ABSL_GUARDED_BY(mutex_) = true;            // The thread uses planner or hooks.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // The first; nothing is done after it.
  std::thread thread_;                          // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_LOOK_AHEAD_H_
