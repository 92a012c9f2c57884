#include "protopage/sampling/look_ahead.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/base/thread.h"

namespace protopage {

LookAhead::LookAhead(StepPlanner* planner, int64_t end_step, Hooks hooks)
    : planner_(planner), end_step_(end_step), hooks_(std::move(hooks)) {
  const absl::Status started = StartThread([this] { Loop(); }, &thread_);
  if (started.ok()) return;
  const MutexLock lock(mutex_);
  error_ = started;
  working_ = false;
}

LookAhead::~LookAhead() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::shared_ptr<const StepPlan>> LookAhead::Plan(int64_t step) {
  const Stopwatch waiting;
  const MutexLock lock(mutex_);
  while (error_.ok() && plans_.empty() && !IsIdle()) changed_.Wait(mutex_);
  seconds_waited_ += waiting.Seconds();
  PROTOPAGE_RETURN_IF_ERROR(error_);
  if (plans_.empty() || plans_.front()->step != step) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan of step ", step, " was asked for, ",
                     plans_.empty() ? absl::StrCat("but the last step is ", end_step_ - 1)
                                    : absl::StrCat("but the next step is ", plans_.front()->step)));
  }
  return plans_.front();
}

std::shared_ptr<const StepPlan> LookAhead::NextPlan() {
  const MutexLock lock(mutex_);
  return plans_.size() >= 2 ? plans_[1] : nullptr;
}

absl::Status LookAhead::Settle() {
  const Stopwatch waiting;
  const MutexLock lock(mutex_);
  while (error_.ok() && !IsIdle()) changed_.Wait(mutex_);
  seconds_waited_ += waiting.Seconds();
  return error_;
}

void LookAhead::Finish(int64_t step, std::vector<int32_t> predicted_slots) {
  {
    const MutexLock lock(mutex_);
    // The planner refuses a step that is not the oldest.
    if (!plans_.empty()) plans_.pop_front();
    finished_.push_back({step, std::move(predicted_slots)});
  }
  changed_.NotifyAll();
}

absl::Status LookAhead::Apply(const Finished& finished) {
  if (hooks_.before_apply != nullptr) PROTOPAGE_RETURN_IF_ERROR(hooks_.before_apply(finished.step));
  return planner_->Apply(finished.step, finished.predicted_slots);
}

absl::Status LookAhead::PlanAhead() {
  while (planner_->next_plan() < end_step_ &&
         planner_->next_plan() <= planner_->next_apply() + planner_->look_ahead()) {
    PROTOPAGE_ASSIGN_OR_RETURN(const StepPlan* plan, planner_->Plan());
    if (hooks_.on_plan != nullptr) PROTOPAGE_RETURN_IF_ERROR(hooks_.on_plan(*plan));
    {
      const MutexLock lock(mutex_);
      plans_.push_back(std::make_shared<StepPlan>(*plan));
      if (stopping_) return absl::OkStatus();
    }
    changed_.NotifyAll();
  }
  return absl::OkStatus();
}

void LookAhead::Loop() {
  // The pending plans of a restored planner.
  absl::Status status;
  for (const StepPlan& plan : planner_->pending()) {
    if (plan.step >= end_step_) break;
    if (status.ok() && hooks_.on_plan != nullptr) status = hooks_.on_plan(plan);
    const MutexLock lock(mutex_);
    plans_.push_back(std::make_shared<StepPlan>(plan));
  }
  if (status.ok()) status = PlanAhead();
  MutexLock lock(mutex_);
  while (true) {
    working_ = false;
    error_.Update(status);
    changed_.NotifyAll();
    while (!stopping_ && (!error_.ok() || finished_.empty())) changed_.Wait(mutex_);
    if (stopping_) return;
    working_ = true;
    const Finished finished = std::move(finished_.front());
    finished_.pop_front();
    lock.Unlock();
    status = Apply(finished);
    if (status.ok()) status = PlanAhead();
    lock.Lock();
  }
}

}  // namespace protopage
