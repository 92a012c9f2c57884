// The source stage: trains on every image of the split once per epoch, in a random order, against a
// dense head over all classes.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/stages/stages.h"
#include "protopage/trainer/step/net_step.h"

namespace protopage {
namespace {

class SourceTrainer : public StageTrainer {
 public:
  SourceTrainer(Session* session, const StageConfig& stage, int64_t first_run_step,
                std::shared_ptr<const ImageSource> source)
      : session_(session),
        stage_(stage),
        first_run_step_(first_run_step),
        source_(std::move(source)) {}

  absl::Status Init(bool resumed) {
    if (!resumed) PROTOPAGE_RETURN_IF_ERROR(session_->MakeHead(source_->num_classes()));
    PROTOPAGE_ASSIGN_OR_RETURN(
        step_, NetStep::Create(session_, stage_, source_.get(), {session_->head()->parameter()}));
    return absl::OkStatus();
  }

  // Whole batches only: the rest of an epoch is not used.
  int64_t steps_per_epoch() const override { return StepsPerEpoch(stage_, *source_); }

  std::string Description() const override {
    const int64_t rest = source_->size() % stage_.batch_size;
    return absl::StrCat(
        source_->Description(), ", dense head of ", source_->num_classes(), " classes, batch ",
        stage_.batch_size,
        rest > 0 ? absl::StrCat(", the last ", rest, " of an epoch's are not used") : "");
  }

  absl::StatusOr<StepOutcome> Step(const StepPosition& position, double factor) override {
    constexpr int64_t kStepsAhead = 4;
    submitted_ = std::max(submitted_, position.stage_step);
    for (; submitted_ < std::min(position.stage_step + kStepsAhead, position.end); ++submitted_) {
      step_->loader().Submit(first_run_step_ + submitted_, RecordsOf(submitted_));
    }
    std::vector<int32_t> slots;
    for (const int64_t record : RecordsOf(position.stage_step)) {
      slots.push_back(static_cast<int32_t>(source_->Label(record)));
    }
    Parameter* head = session_->head()->parameter();
    PROTOPAGE_RETURN_IF_ERROR(step_->QueueGradients(head->value, slots, position.run_step));
    PROTOPAGE_RETURN_IF_ERROR(step_->PrefetchNext());
    PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, step_->AwaitGradients());
    if (result.finite) {
      PROTOPAGE_RETURN_IF_ERROR(session_->backend()->Copy(result.loss.d_rows, head->gradient));
      PROTOPAGE_RETURN_IF_ERROR(step_->Update(factor));
      PROTOPAGE_RETURN_IF_ERROR(step_->QueueNextForward());
    }
    return StepOutcome{result.loss.loss, result.loss.accuracy, !result.finite, result.overflowed};
  }

  absl::Status Settle() override { return step_->CancelNextForward(); }

  StageTotals totals() const override {
    StageTotals totals;
    totals.wait_images_seconds = step_->loader().seconds_waited();
    totals.loss_scale = step_->loss_scale();
    return totals;
  }

  std::vector<std::string> TakeMessages() override { return step_->TakeMessages(); }
  std::vector<CheckpointSection> Sections() override { return step_->Sections(); }

 private:
  std::vector<int64_t> RecordsOf(int64_t stage_step) {
    const int64_t epoch = stage_step / steps_per_epoch();
    std::vector<int64_t>& order = orders_[epoch];
    if (order.empty()) {
      RandomStream random(session_->config().seed, RandomPurpose::kImageSampler,
                          first_run_step_ + epoch * steps_per_epoch());
      order = SampleWithoutReplacement(random, source_->size(), source_->size());
      // Batches are submitted ahead, so the current step may still be in the epoch before.
      orders_.erase(orders_.begin(), orders_.lower_bound(epoch - 1));
    }
    const auto begin = order.begin() + (stage_step % steps_per_epoch()) * stage_.batch_size;
    return {begin, begin + stage_.batch_size};
  }

  Session* const session_;
  const StageConfig stage_;
  const int64_t first_run_step_;
  const std::shared_ptr<const ImageSource> source_;
  std::unique_ptr<NetStep> step_;
  std::map<int64_t, std::vector<int64_t>> orders_;  // By epoch.
  int64_t submitted_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StageTrainer>> NewSourceTrainer(Session* session, int64_t stage,
                                                               int64_t first_run_step,
                                                               bool resumed) {
  const TrainConfig& config = session->config();
  PROTOPAGE_ASSIGN_OR_RETURN(auto source, session->images().Open(StageSplit(config, stage)));
  auto trainer = std::make_unique<SourceTrainer>(session, config.stages[stage], first_run_step,
                                                 std::move(source));
  PROTOPAGE_RETURN_IF_ERROR(trainer->Init(resumed));
  return trainer;
}

}  // namespace protopage
