// The dominant stage: each step trains the net and the prototypes of the K classes that the planner
// picked, paged in from the store and written back to it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/stopwatch.h"
#include "data/class_images.h"
#include "model/row_optimizer.h"
#include "sampling/step_planner.h"
#include "trainer/net_step.h"
#include "trainer/stage_trainer.h"
#include "trainer/stages.h"

namespace protopage {
namespace {

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
    if (!resumed) RETURN_IF_ERROR(set_->BeginStage());
    const TrainConfig& config = session_->config();
    StepPlannerOptions options;
    options.seed = config.seed;
    options.num_classes = source_->num_classes();
    options.batch_size = stage_.batch_size;
    options.first_step = first_run_step_;
    options.num_images = [this](ClassId id) { return images_.Count(id); };
    options.dominants = set_->dominants();
    ASSIGN_OR_RETURN(planner_, StepPlanner::Create(config.selection, options));
    submitted_ = first_run_step_;
    ASSIGN_OR_RETURN(step_, NetStep::Create(session_, stage_, source_.get(), {}));
    Backend* backend = session_->backend();
    ASSIGN_OR_RETURN(row_optimizer_, RowOptimizer::Create(stage_.rows, backend));
    const int64_t slots = planner_->active_classes();
    const int64_t dim = set_->store().dim();
    ASSIGN_OR_RETURN(rows_, backend->Allocate(DType::kFloat32, {slots, dim}));
    ASSIGN_OR_RETURN(state_,
                     backend->Allocate(DType::kFloat32, {slots, row_optimizer_->StateFloats(dim)}));
    return absl::OkStatus();
  }

  int64_t steps_per_epoch() const override { return StepsPerEpoch(stage_, *source_); }

  std::string Description() const override {
    return absl::StrCat(source_->Description(), ", ", planner_->active_classes(), " of ",
                        source_->num_classes(), " classes a step (",
                        session_->config().selection.mode, "), batch ", stage_.batch_size);
  }

  absl::StatusOr<StepOutcome> Step(const StepPosition& position, double factor) override {
    RETURN_IF_ERROR(PlanAhead(position));
    const StepPlan& plan = planner_->pending().front();
    std::vector<int32_t> slots;
    slots.reserve(plan.samples.size());
    for (const PlannedSample& sample : plan.samples) slots.push_back(sample.slot);

    Backend* backend = session_->backend();
    PrototypeStore& store = set_->store();
    const Stopwatch gathering;
    RETURN_IF_ERROR(store.GatherStep(plan.classes, &step_rows_));
    wait_rows_seconds_ += gathering.Seconds();
    RETURN_IF_ERROR(backend->CopyToDevice(step_rows_.rows.data(), rows_));
    RETURN_IF_ERROR(backend->CopyToDevice(step_rows_.momentum.data(), state_));

    ASSIGN_OR_RETURN(const NetStep::Result result,
                     step_->ForwardBackward(rows_, slots, position.run_step));
    if (!result.finite) {
      // A step that was skipped teaches the queues nothing.
      RETURN_IF_ERROR(planner_->Apply(position.run_step, {}));
      return StepOutcome{result.loss.loss, result.loss.accuracy, true};
    }
    if (stage_.train_net) RETURN_IF_ERROR(step_->Update(factor));
    std::vector<int32_t> away;
    for (const int64_t last : step_rows_.last_step) {
      away.push_back(last < 0 ? 0 : static_cast<int32_t>(position.run_step - last - 1));
    }
    RETURN_IF_ERROR(row_optimizer_->Update(stage_.rows.learning_rate * factor, rows_, state_, away,
                                           result.loss.d_rows));
    RETURN_IF_ERROR(backend->CopyToHost(rows_, step_rows_.rows.data()));
    RETURN_IF_ERROR(backend->CopyToHost(state_, step_rows_.momentum.data()));
    const Stopwatch scattering;
    RETURN_IF_ERROR(store.ScatterStep(plan.classes, step_rows_, position.run_step));
    wait_rows_seconds_ += scattering.Seconds();
    RETURN_IF_ERROR(set_->NoteTrained(position.stage_step, plan.classes));
    RETURN_IF_ERROR(planner_->Apply(position.run_step, result.loss.predicted_slots));
    return StepOutcome{result.loss.loss, result.loss.accuracy, false};
  }

  absl::Status EndEpoch() override { return set_->UpdateIndex(); }

  StageTotals totals() const override {
    const PrototypeStoreStats stats = set_->store().stats();
    StageTotals totals;
    totals.wait_images_seconds = step_->loader().seconds_waited();
    totals.wait_rows_seconds = wait_rows_seconds_;
    totals.rows_paged = stats.rows_read;
    totals.row_hits = stats.hits;
    totals.row_lookups = stats.hits + stats.misses;
    return totals;
  }

  std::vector<CheckpointSection> Sections() override { return step_->Sections(); }
  nlohmann::json SaveState() const override { return planner_->SaveState(); }

  absl::Status RestoreState(const nlohmann::json& state) override {
    RETURN_IF_ERROR(planner_->RestoreState(state));
    submitted_ = planner_->next_apply();
    return absl::OkStatus();
  }

 private:
  // Plans up to look_ahead steps further and starts loading their images.
  absl::Status PlanAhead(const StepPosition& position) {
    while (planner_->next_plan() <= position.run_step + planner_->look_ahead()) {
      RETURN_IF_ERROR(planner_->Plan().status());
    }
    const int64_t end = first_run_step_ + position.end;
    for (const StepPlan& plan : planner_->pending()) {
      if (plan.step < submitted_ || plan.step >= end) continue;
      std::vector<int64_t> records;
      records.reserve(plan.samples.size());
      for (const PlannedSample& sample : plan.samples) {
        records.push_back(images_.Record(plan.classes[sample.slot], sample.image));
      }
      step_->loader().Submit(plan.step, std::move(records));
      submitted_ = plan.step + 1;
    }
    return absl::OkStatus();
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
  StepRows step_rows_;
  Tensor rows_, state_;    // [K, D], [K, state floats], on the device.
  int64_t submitted_ = 0;  // Run steps below this are with the loader.
  double wait_rows_seconds_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StageTrainer>> NewDominantTrainer(Session* session, int64_t stage,
                                                                 int64_t first_run_step,
                                                                 const std::string& directory,
                                                                 bool resumed) {
  const TrainConfig& config = session->config();
  ASSIGN_OR_RETURN(auto source, session->images().Open(StageSplit(config, stage)));
  if (session->prototypes() == nullptr) {
    // No imprinting before: the rows start at random.
    ASSIGN_OR_RETURN(
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
  RETURN_IF_ERROR(trainer->Init(resumed));
  return trainer;
}

}  // namespace protopage
