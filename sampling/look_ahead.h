// LookAhead: runs a StepPlanner in a thread of its own, so that planning (candidate searches, index
// updates) and what a plan starts (prefetching rows, loading images) lie beside the training step.
//
//   LookAhead ahead(planner.get(), end_step,
//                   {.before_apply = [&](int64_t step) { ... index update ... },
//                    .on_plan = [&](const StepPlan& plan) { ... prefetch plan.classes ... }});
//   for (int64_t step = first; step < end_step; ++step) {
//     PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const StepPlan> plan, ahead.Plan(step));
//     ... gather, forward, backward ...
//     PROTOPAGE_RETURN_IF_ERROR(ahead.Settle());    // Nobody reads rows now:
//     ... scatter ...
//     ahead.Finish(step, predicted_slots);
//   }
//
// The sequence is the planner's own: after Finish(s) come before_apply(s), apply(s) and plan(s + 1
// + L), all before Settle of step s + 1 returns. So what planning reads are the rows as after step
// s, and a run's bits do not depend on how long anything takes; with L >= 1 a step waits only for
// planning that takes longer than its own forward and backward.
#ifndef PROTOPAGE_SAMPLING_LOOK_AHEAD_H_
#define PROTOPAGE_SAMPLING_LOOK_AHEAD_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/sampling/step_planner.h"

namespace protopage {

// The calls below come from one thread, the training one. The hooks run in the planner's.
class LookAhead {
 public:
  struct Hooks {
    // Step `step` is finished and its rows are in the store; its mistakes are not applied yet.
    std::function<absl::Status(int64_t step)> before_apply;
    // A plan was made, or was pending when the planner was restored. Called once for each plan
    // below `end_step`, in order.
    std::function<absl::Status(const StepPlan& plan)> on_plan;
  };

  // `planner` is not owned and belongs to this object until it is destroyed, but for the moments
  // after Settle. Nothing is planned from `end_step` on. Planning starts at once.
  LookAhead(StepPlanner* planner, int64_t end_step, Hooks hooks);
  // Waits for the work that is running.
  ~LookAhead();
  LookAhead(const LookAhead&) = delete;
  LookAhead& operator=(const LookAhead&) = delete;

  // The plan of the oldest step that is not finished; waits for it. Errors: FailedPrecondition
  // (another step), those of the planner and the hooks.
  absl::StatusOr<std::shared_ptr<const StepPlan>> Plan(int64_t step);

  // The plan after the one of Plan if it was made already, else null; it does not wait.
  std::shared_ptr<const StepPlan> NextPlan();

  // Waits until all that the finished steps lead to is done; then the planner stands still until
  // the next Finish: rows may change, its state may be saved. Errors: of the planner and the hooks.
  absl::Status Settle();

  // The step is done. predicted_slots as StepPlanner::Apply's. Does not wait.
  void Finish(int64_t step, std::vector<int32_t> predicted_slots);

  // For which the training thread waited in Plan and Settle.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Finished {
    int64_t step;
    std::vector<int32_t> predicted_slots;
  };

  void Loop();
  absl::Status Apply(const Finished& finished);
  absl::Status PlanOn();

  StepPlanner* const planner_;
  const int64_t end_step_;
  const Hooks hooks_;
  double seconds_waited_ = 0;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::deque<std::shared_ptr<const StepPlan>> plans_;  // Not finished yet, oldest first.
  std::deque<Finished> finished_;                      // Not applied yet.
  bool working_ = true;  // The thread is at the planner; it plans first of all.
  bool stopping_ = false;
  absl::Status error_;  // The first; nothing is done after it.
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_LOOK_AHEAD_H_
