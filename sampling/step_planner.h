// StepPlanner: plans the classes and images of every training step, L steps ahead.
//
// A plan names the K classes of a step and its B images. The mistakes of step s reach the dominant
// queues after step s + L is planned and before step s + 1 + L is. The sequence is fixed,
//
//   plan(0) .. plan(L), apply(0), plan(L + 1), apply(1), plan(L + 2), ...
//
// whatever other threads do, so that a run is a function of (config, seed). The planner refuses any
// other order.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto planner, StepPlanner::Create(config, options));
//   for (int64_t step = 0; step < num_steps; ++step) {
//     while (planner->next_plan() <= step + planner->look_ahead()) {
//       PROTOPAGE_RETURN_IF_ERROR(planner->Plan().status());  // Start loading its images and rows.
//     }
//     const StepPlan& plan = planner->pending().front();
//     ...  // Train on plan.classes and plan.samples.
//     PROTOPAGE_RETURN_IF_ERROR(planner->Apply(step, predicted_slots));  // Pops the plan.
//   }
#ifndef PROTOPAGE_SAMPLING_STEP_PLANNER_H_
#define PROTOPAGE_SAMPLING_STEP_PLANNER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_sampler.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selection_config.h"

namespace protopage {

struct PlannedSample {
  int32_t slot = 0;   // The position of the image's class in StepPlan::classes.
  int64_t image = 0;  // The number of the image in its class, from 0.
};

struct StepPlan {
  int64_t step = 0;
  std::vector<ClassId> classes;         // [K], distinct, ascending.
  std::vector<int32_t> positive_slots;  // Ascending positions in `classes`.
  std::vector<PlannedSample> samples;   // [B]
};

struct StepPlannerOptions {
  uint64_t seed = 0;
  int64_t num_classes = 0;  // N
  int64_t batch_size = 0;   // B
  // The first step to plan. Steps are counted across the stages of a run, so that no two stages
  // draw the same random numbers.
  int64_t first_step = 0;
  // The number of images of a class; must not change while the planner lives. A class without
  // images is never positive, and is never drawn at all when images_for is "all".
  std::function<int64_t(ClassId)> num_images;
  // True for classes that no longer exist (tombstones): they are never drawn. Empty: there are
  // none. Called by Create only.
  std::function<bool(ClassId)> is_dropped = {};
  // Of the kind that the mode needs (DominantKindOf). Not owned.
  DominantSource* dominants = nullptr;
};

// Not thread-safe: one thread owns the sequence.
class StepPlanner {
 public:
  // Errors: InvalidArgument, as ValidateSelection and when too few classes have images.
  static absl::StatusOr<std::unique_ptr<StepPlanner>> Create(const SelectionConfig& config,
                                                             const StepPlannerOptions& options);

  // Plans step next_plan() and appends the plan to pending(). The pointer is valid until the step
  // is applied. On error nothing is planned. Errors: FailedPrecondition (next_plan() - 1 - L is not
  // the newest applied step), those of the DominantSource.
  absl::StatusOr<const StepPlan*> Plan();

  // Passes the mistakes of the oldest pending plan, which must be of `step`, to the queues, and
  // drops the plan. predicted[b] is the slot with the largest cosine of sample b, [B]; empty for a
  // step that was skipped, which changes no queue. Once a step is applied before step + L is
  // planned (at the end of a stage), Plan() always fails. Errors: FailedPrecondition (`step` is not
  // the oldest pending one), InvalidArgument (length, slots out of range), those of the
  // DominantSource.
  absl::Status Apply(int64_t step, absl::Span<const int32_t> predicted);

  // Planned and not yet applied, oldest first; at most L + 1.
  const std::deque<StepPlan>& pending() const { return pending_; }
  int64_t next_plan() const { return next_plan_; }            // The step that Plan() plans.
  int64_t next_apply() const { return next_apply_; }          // The step that Apply() takes.
  int64_t look_ahead() const { return look_ahead_; }          // L
  int64_t active_classes() const { return active_classes_; }  // K

  // The position and the pending plans, for a checkpoint. The queues are saved by their owner.
  nlohmann::json SaveState() const;
  // Restores the state of a planner that was made with the same config and options. Errors:
  // DataLoss (this is no state of such a planner); the planner is then unchanged.
  absl::Status RestoreState(const nlohmann::json& state);

 private:
  StepPlanner(const SelectionConfig& config, const StepPlannerOptions& options, ClassSet selectable,
              ClassSet with_images);
  absl::StatusOr<StepPlan> MakePlan(int64_t step);
  absl::Status CheckRestoredPlan(const StepPlan& plan, int64_t step) const;

  const StepPlannerOptions options_;
  const bool images_for_all_;
  const int64_t look_ahead_;
  const ClassSet selectable_;   // May take part: not dropped, and with images when all need them.
  const ClassSet with_images_;  // May be positive: not dropped, and with images.
  const int64_t active_classes_;
  const std::unique_ptr<ClassSampler> sampler_;
  std::unique_ptr<ClassSelector> selector_;
  int64_t first_step_;
  int64_t next_plan_;
  int64_t next_apply_;
  std::deque<StepPlan> pending_;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_STEP_PLANNER_H_
