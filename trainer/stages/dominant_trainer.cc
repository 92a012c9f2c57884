// The dominant stage: each step trains the net and the prototypes of the K classes that the planner
// has chosen. Their rows are read from the store and written back to it.
#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/mutex.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/data/class_images.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/prototypes/table/pinned_rows.h"
#include "protopage/sampling/look_ahead.h"
#include "protopage/sampling/step_planner.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/stages/stages.h"
#include "protopage/trainer/step/device_rows.h"
#include "protopage/trainer/step/net_step.h"
#include "protopage/trainer/step/row_prefetcher.h"

namespace protopage {
namespace {

// Steps between estimates of the index's recall. At ten million classes an estimate takes up to a
// second of the planner's thread.
constexpr int64_t kRecallSteps = 256;

class DominantTrainer : public StageTrainer {
 public:
  DominantTrainer(Session* session, const StageConfig& stage, int64_t first_run_step,
                  std::shared_ptr<const ImageSource> source)
      : session_(session),
        stage_(stage),
        first_run_step_(first_run_step),
        source_(std::move(source)),
        images_(*source_),
        set_(session->prototypes()) {}

  absl::Status Init(bool resumed) {
    if (!resumed) PROTOPAGE_RETURN_IF_ERROR(set_->BeginStage());
    const TrainConfig& config = session_->config();
    StepPlannerOptions options;
    options.seed = config.seed;
    options.num_classes = source_->num_classes();
    options.batch_size = stage_.batch_size;
    options.first_step = first_run_step_;
    options.num_images = [this](ClassId id) { return images_.Count(id); };
    options.is_dropped = [this](ClassId id) { return set_->store().is_dropped(id); };
    options.dominants = set_->dominants();
    PROTOPAGE_ASSIGN_OR_RETURN(planner_, StepPlanner::Create(config.selection, options));
    prefetcher_ = std::make_unique<RowPrefetcher>(&set_->store(), planner_->active_classes());
    PROTOPAGE_ASSIGN_OR_RETURN(step_, NetStep::Create(session_, stage_, source_.get(), {}));
    PROTOPAGE_ASSIGN_OR_RETURN(row_optimizer_,
                               RowOptimizer::Create(stage_.rows, session_->backend()));
    PROTOPAGE_ASSIGN_OR_RETURN(
        rows_, DeviceRows::Create(&set_->store(), planner_->active_classes(), session_->backend()));
    return absl::OkStatus();
  }

  int64_t steps_per_epoch() const override { return StepsPerEpoch(stage_, *source_); }

  std::string Description() const override {
    return absl::StrCat(source_->Description(), ", ", planner_->active_classes(), " of ",
                        source_->num_classes(), " classes a step (",
                        session_->config().selection.mode, "), batch ", stage_.batch_size);
  }

  absl::StatusOr<StepOutcome> Step(const StepPosition& position, double factor) override {
    // Not before the first step: RestoreState comes first, and the stage's end is known only now.
    if (ahead_ == nullptr) StartPlanning(first_run_step_ + position.end);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<const StepPlan> planned,
                               ahead_->Plan(position.run_step));
    const StepPlan& plan = *planned;
    std::vector<int32_t> slots;
    slots.reserve(plan.samples.size());
    for (const PlannedSample& sample : plan.samples) slots.push_back(sample.slot);

    PROTOPAGE_RETURN_IF_ERROR(Timed([&] {
      // Pinned until they are gathered.
      PROTOPAGE_ASSIGN_OR_RETURN(const PinnedRows pinned, prefetcher_->Finish(plan.step));
      return rows_->Begin(plan.classes);
    }));
    PROTOPAGE_RETURN_IF_ERROR(step_->QueueGradients(rows_->rows(), slots, position.run_step));
    // Images and rows of the next step, while the device works.
    PROTOPAGE_RETURN_IF_ERROR(step_->PrefetchNext());
    PROTOPAGE_RETURN_IF_ERROR(PrefetchNextRows());
    PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, step_->AwaitGradients());
    if (!result.finite) {
      // The predictions of a skipped step do not reach the queues.
      ahead_->Finish(position.run_step, {});
      return StepOutcome{result.loss.loss, result.loss.accuracy, true, result.overflowed};
    }
    if (stage_.train_net) PROTOPAGE_RETURN_IF_ERROR(step_->Update(factor));
    PROTOPAGE_RETURN_IF_ERROR(row_optimizer_->Update(RowLearningRate(stage_, factor), rows_->rows(),
                                                     rows_->state(), rows_->Away(position.run_step),
                                                     result.loss.d_rows));
    PROTOPAGE_RETURN_IF_ERROR(rows_->QueueFetch());
    // The device continues with it while the host writes the rows.
    PROTOPAGE_RETURN_IF_ERROR(step_->QueueNextForward());
    PROTOPAGE_RETURN_IF_ERROR(rows_->AwaitFetch());
    // Planning reads the rows as they were after the last step.
    PROTOPAGE_RETURN_IF_ERROR(ahead_->Settle());
    PROTOPAGE_RETURN_IF_ERROR(Timed([&] { return rows_->Scatter(position.run_step); }));
    set_->NoteTrained(plan.classes);
    ahead_->Finish(position.run_step, result.loss.predicted_slots);
    return StepOutcome{result.loss.loss, result.loss.accuracy};
  }

  absl::Status Settle() override {
    PROTOPAGE_RETURN_IF_ERROR(step_->CancelNextForward());
    return ahead_ != nullptr ? ahead_->Settle() : absl::OkStatus();
  }

  StageTotals totals() const override {
    const PrototypeStoreStats stats = set_->store().stats();
    StageTotals totals;
    totals.wait_images_seconds = step_->loader().seconds_waited();
    totals.wait_rows_seconds = wait_rows_seconds_;
    totals.loss_scale = step_->loss_scale();
    totals.wait_plan_seconds = ahead_ != nullptr ? ahead_->seconds_waited() : 0;
    totals.index_seconds = index_seconds_;
    {
      const MutexLock lock(recall_mutex_);
      totals.recall_queries = recall_.queries;
      totals.recall_missed = recall_.missed;
    }
    const ClassQueuesStats queues = set_->queue_stats();
    totals.queues_used = queues.used;
    totals.queues_age_steps = queues.used_age_steps;
    totals.log_bytes = set_->log_stats().bytes;
    totals.rows_paged = stats.rows_read;
    totals.row_hits = stats.hits;
    totals.row_lookups = stats.hits + stats.misses;
    return totals;
  }

  std::vector<std::string> TakeMessages() override { return step_->TakeMessages(); }
  std::vector<CheckpointSection> Sections() override { return step_->Sections(); }
  nlohmann::json SaveState() const override { return planner_->SaveState(); }

  absl::Status RestoreState(const nlohmann::json& state) override {
    return planner_->RestoreState(state);
  }

 private:
  // Counts the time of `body` as time spent waiting for rows.
  template <typename Body>
  absl::Status Timed(const Body& body) {
    const Stopwatch stopwatch;
    const absl::Status status = body();
    wait_rows_seconds_ += stopwatch.Seconds();
    return status;
  }

  // Starts the upload of the next step's rows, if that step is planned.
  absl::Status PrefetchNextRows() {
    const std::shared_ptr<const StepPlan> next = ahead_->NextPlan();
    if (next == nullptr || !rows_->can_prefetch()) return absl::OkStatus();
    return Timed([&] {
      // Pinned until they are gathered.
      PROTOPAGE_ASSIGN_OR_RETURN(const PinnedRows pinned, prefetcher_->Finish(next->step));
      return rows_->PrefetchNext(next->classes);
    });
  }

  // Starts the planner's thread. In addition to planning, it updates the index with the trained
  // rows at fixed steps, and submits the images and rows of a new plan to be loaded.
  void StartPlanning(int64_t end_step) {
    LookAhead::Hooks hooks;
    hooks.before_apply = [this](int64_t run_step) {
      const int64_t done = run_step - first_run_step_ + 1;
      const bool due = done % set_->index_update_steps() == 0 || done % steps_per_epoch() == 0;
      if (due) {
        const Stopwatch updating;
        PROTOPAGE_RETURN_IF_ERROR(set_->UpdateIndex());
        index_seconds_ = index_seconds_ + updating.Seconds();
      }
      if (set_->index_is_approximate() && done % kRecallSteps == 0) {
        PROTOPAGE_ASSIGN_OR_RETURN(const RecallEstimate estimate,
                                   set_->EstimateIndexRecall(run_step));
        const MutexLock lock(recall_mutex_);
        recall_.missed += estimate.missed;
        recall_.queries += estimate.queries;
      }
      return absl::OkStatus();
    };
    hooks.on_plan = [this](const StepPlan& plan) {
      std::vector<int64_t> records;
      records.reserve(plan.samples.size());
      for (const PlannedSample& sample : plan.samples) {
        records.push_back(images_.Record(plan.classes[sample.slot], sample.image));
      }
      step_->loader().Submit(plan.step, std::move(records));
      prefetcher_->Submit(plan.step, plan.classes);
      return absl::OkStatus();
    };
    ahead_ = std::make_unique<LookAhead>(planner_.get(), end_step, std::move(hooks));
  }

  Session* const session_;
  const StageConfig stage_;
  const int64_t first_run_step_;
  const std::shared_ptr<const ImageSource> source_;
  const ClassImages images_;
  PrototypeSet* const set_;
  std::unique_ptr<StepPlanner> planner_;
  std::unique_ptr<NetStep> step_;
  std::unique_ptr<RowOptimizer> row_optimizer_;
  std::unique_ptr<DeviceRows> rows_;
  double wait_rows_seconds_ = 0;
  // The planner's thread writes these.
  std::atomic<double> index_seconds_{0};
  mutable Mutex recall_mutex_;
  RecallEstimate recall_ ABSL_GUARDED_BY(recall_mutex_);  // The sum so far.
  std::unique_ptr<RowPrefetcher> prefetcher_;
  std::unique_ptr<LookAhead> ahead_;  // Last: its thread uses the others.
};

}  // namespace

absl::StatusOr<std::unique_ptr<StageTrainer>> NewDominantTrainer(Session* session, int64_t stage,
                                                                 int64_t first_run_step,
                                                                 const std::string& directory,
                                                                 bool resumed) {
  const TrainConfig& config = session->config();
  PROTOPAGE_ASSIGN_OR_RETURN(auto source, session->images().Open(StageSplit(config, stage)));
  if (session->prototypes() == nullptr) {
    // No stage has imprinted rows: they start at random.
    PROTOPAGE_ASSIGN_OR_RETURN(
        auto set,
        PrototypeSet::Create(directory, source->num_classes(), session->net()->embedding_dim(),
                             session->prototype_options(), &session->pool()));
    session->set_prototypes(std::move(set));
  }
  if (session->prototypes()->store().num_classes() != source->num_classes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stages (dominant).split: ", source->Description(), " has ", source->num_classes(),
        " classes, the prototype table ", session->prototypes()->store().num_classes()));
  }
  auto trainer = std::make_unique<DominantTrainer>(session, config.stages[stage], first_run_step,
                                                   std::move(source));
  PROTOPAGE_RETURN_IF_ERROR(trainer->Init(resumed));
  return trainer;
}

}  // namespace protopage
