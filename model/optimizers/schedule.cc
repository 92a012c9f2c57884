#include "protopage/model/optimizers/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace protopage {

void ScheduleConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name,
         {.help = "what learning rates are multiplied with",
          .choices = {"constant", "step", "cosine", "decay", "plateau"}});
  v.Integer("warmup_steps", &warmup_steps,
            {.help = "steps of linear growth in front, for any schedule", .min = 0});
  v.Number("warmup_share", &warmup_share,
           {.help = "the same as a share of the stage's steps, instead of warmup_steps",
            .min = 0,
            .max = 0.999});
  v.NumberList("milestones", &milestones,
               {.help = "step: the step numbers at which the rate falls", .min = 0});
  v.Number("gamma", &gamma, {.help = "step: the factor at each milestone", .min = 0, .max = 1});
  v.Number("final_factor", &final_factor,
           {.help = "cosine: the factor at the end", .min = 0, .max = 1});
  v.Number("decay", &decay, {.help = "decay: the rate is divided by 1 + decay t", .min = 0});
  v.Number("factor", &factor, {.help = "plateau: the factor at each fall", .min = 0, .max = 1});
  v.Integer("patience", &patience,
            {.help = "plateau: epochs without a gain before a fall", .min = 1});
  v.Number("min_factor", &min_factor,
           {.help = "plateau: the smallest product of all factors", .min = 0, .max = 1});
  v.Number("min_delta", &min_delta, {.help = "plateau: what counts as a gain", .min = 0});
}

absl::StatusOr<std::unique_ptr<Schedule>> Schedule::Create(const ScheduleConfig& config,
                                                           int64_t total_steps) {
  const std::string& name = config.name;
  if (name != "constant" && name != "step" && name != "cosine" && name != "decay" &&
      name != "plateau") {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown schedule \"", name, "\", must be one of constant, step, cosine, decay, plateau"));
  }
  if (config.warmup_steps < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("schedule warmup_steps is ", config.warmup_steps, ", must be 0 or more"));
  }
  if (!(config.warmup_share >= 0.0 && config.warmup_share < 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("schedule warmup_share is ", config.warmup_share, ", must be in [0, 1)"));
  }
  if (config.warmup_steps > 0 && config.warmup_share > 0.0) {
    return absl::InvalidArgumentError(absl::StrCat("schedule warmup_steps is ", config.warmup_steps,
                                                   " and warmup_share is ", config.warmup_share,
                                                   "; one of them must be 0"));
  }
  if (name == "cosine" && config.warmup_steps >= total_steps) {
    return absl::InvalidArgumentError(absl::StrCat("schedule warmup_steps is ", config.warmup_steps,
                                                   ", must be less than the ", total_steps,
                                                   " steps of the stage"));
  }
  for (size_t i = 1; i < config.milestones.size(); ++i) {
    if (config.milestones[i] <= config.milestones[i - 1]) {
      return absl::InvalidArgumentError(
          absl::StrCat("schedule milestones[", i, "] is ", config.milestones[i],
                       ", must be above the one before, ", config.milestones[i - 1]));
    }
  }
  return std::unique_ptr<Schedule>(new Schedule(config, total_steps));
}

Schedule::Schedule(const ScheduleConfig& config, int64_t total_steps)
    : config_(config), total_steps_(total_steps), best_(-std::numeric_limits<double>::infinity()) {
  if (config_.warmup_share > 0.0) {
    config_.warmup_steps =
        static_cast<int64_t>(config_.warmup_share * static_cast<double>(total_steps));
  }
}

double Schedule::Factor(int64_t step) const {
  if (step < config_.warmup_steps) {
    return FactorAfterWarmup(config_.warmup_steps) * static_cast<double>(step + 1) /
           static_cast<double>(config_.warmup_steps);
  }
  return FactorAfterWarmup(step);
}

double Schedule::FactorAfterWarmup(int64_t step) const {
  const double t = static_cast<double>(step - config_.warmup_steps);
  if (config_.name == "step") {
    const auto passed = std::upper_bound(config_.milestones.begin(), config_.milestones.end(),
                                         static_cast<double>(step));
    return std::pow(config_.gamma, static_cast<double>(passed - config_.milestones.begin()));
  }
  if (config_.name == "cosine") {
    const double total = static_cast<double>(total_steps_ - config_.warmup_steps);
    const double wave = (1.0 + std::cos(M_PI * std::min(t / total, 1.0))) / 2.0;
    return config_.final_factor + (1.0 - config_.final_factor) * wave;
  }
  const double decay = 1.0 / (1.0 + config_.decay * t);
  if (config_.name == "decay") return decay;
  if (config_.name == "plateau") return plateau_factor_ * decay;
  return 1.0;
}

bool Schedule::EndEpoch(double watched) {
  if (config_.name != "plateau") return false;
  if (watched > best_ + config_.min_delta) {
    best_ = watched;
    epochs_without_gain_ = 0;
    return false;
  }
  if (++epochs_without_gain_ < config_.patience) return false;
  epochs_without_gain_ = 0;
  const double before = plateau_factor_;
  plateau_factor_ = std::min(before, std::max(before * config_.factor, config_.min_factor));
  return plateau_factor_ < before;
}

void Schedule::State(StateVisitor& v) {
  v.Number("plateau_factor", &plateau_factor_);
  v.Number("best", &best_);
  v.Integer("epochs_without_gain", &epochs_without_gain_);
}

}  // namespace protopage
