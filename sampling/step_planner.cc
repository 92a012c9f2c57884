#include "protopage/sampling/step_planner.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/sampling/selection_modes.h"

namespace protopage {
namespace {

nlohmann::json PlanToJson(const StepPlan& plan) {
  std::vector<int32_t> slots;
  std::vector<int64_t> images;
  for (const PlannedSample& sample : plan.samples) {
    slots.push_back(sample.slot);
    images.push_back(sample.image);
  }
  return {{"step", plan.step},
          {"classes", plan.classes},
          {"positive_slots", plan.positive_slots},
          {"sample_slots", slots},
          {"sample_images", images}};
}

// Throws nlohmann::json::exception when a member is missing or of another type.
StepPlan PlanFromJson(const nlohmann::json& json) {
  StepPlan plan;
  json.at("step").get_to(plan.step);
  json.at("classes").get_to(plan.classes);
  json.at("positive_slots").get_to(plan.positive_slots);
  const auto slots = json.at("sample_slots").get<std::vector<int32_t>>();
  const auto images = json.at("sample_images").get<std::vector<int64_t>>();
  for (size_t i = 0; i < std::min(slots.size(), images.size()); ++i) {
    plan.samples.push_back({slots[i], images[i]});
  }
  return plan;
}

absl::Status BadState(const std::string& what) {
  return absl::DataLossError(absl::StrCat("saved planner state: ", what));
}

std::unique_ptr<ClassSampler> MakeSampler(const SelectionConfig& config, uint64_t seed,
                                          const ClassSet* classes) {
  if (config.class_order == "shuffled") {
    return std::make_unique<ShuffledClassSampler>(seed, classes, config.positive_classes);
  }
  if (config.class_order == "power_law") {
    return std::make_unique<PowerLawClassSampler>(seed, classes, config.positive_classes);
  }
  return std::make_unique<UniformClassSampler>(seed, classes, config.positive_classes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StepPlanner>> StepPlanner::Create(
    const SelectionConfig& config, const StepPlannerOptions& options) {
  PROTOPAGE_CHECK(options.num_images != nullptr);
  const auto is_live = [&](ClassId id) {
    return options.is_dropped == nullptr || !options.is_dropped(id);
  };
  ClassSet with_images = ClassSet::Where(
      options.num_classes, [&](ClassId id) { return is_live(id) && options.num_images(id) > 0; });
  ClassSet selectable =
      config.images_for == "all" ? with_images : ClassSet::Where(options.num_classes, is_live);
  PROTOPAGE_RETURN_IF_ERROR(ValidateSelection(config, selectable.size(), options.batch_size));
  if (config.positive_classes > with_images.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "selection.positive_classes is ", config.positive_classes,
        "; it must be at most the number of classes with images, ", with_images.size()));
  }
  auto planner = absl::WrapUnique(
      new StepPlanner(config, options, std::move(selectable), std::move(with_images)));
  PROTOPAGE_ASSIGN_OR_RETURN(
      planner->selector_,
      MakeClassSelector(config.mode, {.seed = options.seed,
                                      .classes_per_step = planner->active_classes_,
                                      .classes = &planner->selectable_,
                                      .dominant_share = config.dominant_share,
                                      .dominants = options.dominants}));
  return planner;
}

StepPlanner::StepPlanner(const SelectionConfig& config, const StepPlannerOptions& options,
                         ClassSet selectable, ClassSet with_images)
    : options_(options),
      images_for_all_(config.images_for == "all"),
      look_ahead_(config.look_ahead),
      selectable_(std::move(selectable)),
      with_images_(std::move(with_images)),
      active_classes_(ActiveClasses(config, selectable_.size())),
      sampler_(MakeSampler(config, options.seed, &with_images_)),
      first_step_(options.first_step),
      next_plan_(options.first_step),
      next_apply_(options.first_step) {}

absl::StatusOr<const StepPlan*> StepPlanner::Plan() {
  // Every step before this must be applied, and none after it.
  const int64_t apply_before = std::max(first_step_, next_plan_ - look_ahead_);
  if (next_apply_ != apply_before) {
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", next_plan_, " must be planned when exactly the steps before ", apply_before,
        " have been applied, but those before ", next_apply_, " have been"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(StepPlan plan, MakePlan(next_plan_));
  pending_.push_back(std::move(plan));
  ++next_plan_;
  return &pending_.back();
}

absl::StatusOr<StepPlan> StepPlanner::MakePlan(int64_t step) {
  StepPlan plan;
  plan.step = step;
  PROTOPAGE_ASSIGN_OR_RETURN(ClassSelection selection,
                             selector_->Select(step, sampler_->Draw(step)));
  plan.classes = std::move(selection.classes);
  plan.positive_slots = std::move(selection.positive_slots);

  // The classes that get images: one each first, then any of them at random up to B.
  const int64_t num_slots = images_for_all_ ? static_cast<int64_t>(plan.classes.size())
                                            : static_cast<int64_t>(plan.positive_slots.size());
  RandomStream random(options_.seed, RandomPurpose::kImageSampler, step);
  plan.samples.reserve(options_.batch_size);
  for (int64_t b = 0; b < options_.batch_size; ++b) {
    const int64_t i = b < num_slots ? b : static_cast<int64_t>(random.Below(num_slots));
    const int32_t slot = images_for_all_ ? static_cast<int32_t>(i) : plan.positive_slots[i];
    const ClassId id = plan.classes[slot];
    const int64_t num_images = options_.num_images(id);
    if (num_images < 1) {
      return absl::FailedPreconditionError(
          absl::StrCat("class ", id, " had images when the planner was made and has none now"));
    }
    plan.samples.push_back({slot, static_cast<int64_t>(random.Below(num_images))});
  }
  return plan;
}

absl::Status StepPlanner::Apply(int64_t step, absl::Span<const int32_t> predicted) {
  if (pending_.empty() || step != next_apply_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", step, " cannot be applied; ",
        pending_.empty() ? "no plan is pending"
                         : absl::StrCat("the oldest pending plan is of step ", next_apply_)));
  }
  const StepPlan& plan = pending_.front();
  if (!predicted.empty()) {
    if (predicted.size() != plan.samples.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          predicted.size(), " predicted slots given for ", plan.samples.size(), " samples"));
    }
    for (size_t b = 0; b < predicted.size(); ++b) {
      if (predicted[b] < 0 || predicted[b] >= active_classes_) {
        return absl::InvalidArgumentError(absl::StrCat("predicted slot ", predicted[b],
                                                       " of sample ", b, " is outside [0, ",
                                                       active_classes_, ")"));
      }
    }
    if (options_.dominants != nullptr) {
      std::vector<int32_t> slots;
      slots.reserve(plan.samples.size());
      for (const PlannedSample& sample : plan.samples) slots.push_back(sample.slot);
      PROTOPAGE_RETURN_IF_ERROR(options_.dominants->ApplyMistakes(plan.classes, slots, predicted));
    }
  }
  pending_.pop_front();
  ++next_apply_;
  return absl::OkStatus();
}

nlohmann::json StepPlanner::SaveState() const {
  nlohmann::json pending = nlohmann::json::array();
  for (const StepPlan& plan : pending_) pending.push_back(PlanToJson(plan));
  return {{"first_step", first_step_},
          {"next_apply", next_apply_},
          {"look_ahead", look_ahead_},
          {"pending", std::move(pending)}};
}

absl::Status StepPlanner::RestoreState(const nlohmann::json& state) {
  int64_t first_step, next_apply, look_ahead;
  std::deque<StepPlan> pending;
  try {
    state.at("first_step").get_to(first_step);
    state.at("next_apply").get_to(next_apply);
    state.at("look_ahead").get_to(look_ahead);
    for (const nlohmann::json& plan : state.at("pending")) pending.push_back(PlanFromJson(plan));
  } catch (const nlohmann::json::exception& e) {
    return BadState(e.what());
  }
  if (look_ahead != look_ahead_) {
    return BadState(
        absl::StrCat("made with look_ahead ", look_ahead, ", but the config has ", look_ahead_));
  }
  if (first_step < 0 || next_apply < first_step) {
    return BadState(absl::StrCat("next_apply ", next_apply, " is before first_step ", first_step));
  }
  if (static_cast<int64_t>(pending.size()) > look_ahead_ + 1) {
    return BadState(absl::StrCat(pending.size(), " pending plans with look_ahead ", look_ahead_));
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    PROTOPAGE_RETURN_IF_ERROR(CheckRestoredPlan(pending[i], next_apply + static_cast<int64_t>(i)));
  }
  first_step_ = first_step;
  next_apply_ = next_apply;
  next_plan_ = next_apply + static_cast<int64_t>(pending.size());
  pending_ = std::move(pending);
  return absl::OkStatus();
}

absl::Status StepPlanner::CheckRestoredPlan(const StepPlan& plan, int64_t step) const {
  if (plan.step != step) {
    return BadState(absl::StrCat("a plan of step ", plan.step, " in the place of ", step));
  }
  if (static_cast<int64_t>(plan.classes.size()) != active_classes_ ||
      static_cast<int64_t>(plan.samples.size()) != options_.batch_size) {
    return BadState(absl::StrCat("the plan of step ", step, " has ", plan.classes.size(),
                                 " classes and ", plan.samples.size(), " samples, not ",
                                 active_classes_, " and ", options_.batch_size));
  }
  for (size_t k = 0; k < plan.classes.size(); ++k) {
    if (!selectable_.Contains(plan.classes[k]) ||
        (k > 0 && plan.classes[k] <= plan.classes[k - 1])) {
      return BadState(absl::StrCat("the plan of step ", step, " has class ", plan.classes[k],
                                   ", which may not be drawn or is out of order"));
    }
  }
  const auto is_slot = [&](int32_t slot) { return slot >= 0 && slot < active_classes_; };
  for (const int32_t slot : plan.positive_slots) {
    if (!is_slot(slot)) return BadState(absl::StrCat("step ", step, " has no slot ", slot));
  }
  for (const PlannedSample& sample : plan.samples) {
    if (!is_slot(sample.slot)) {
      return BadState(absl::StrCat("step ", step, " has no slot ", sample.slot));
    }
    const ClassId id = plan.classes[sample.slot];
    if (sample.image < 0 || sample.image >= options_.num_images(id)) {
      return BadState(absl::StrCat("class ", id, " has no image ", sample.image));
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
