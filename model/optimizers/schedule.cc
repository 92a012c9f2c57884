#include "protopage/model/optimizers/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"

namespace protopage {

struct Schedule::Kind {
  const char* name;
  double (Schedule::*factor)(int64_t step) const;
  bool needs_end = false;  // The factor depends on the steps between warm-up and end.
  bool watches = false;    // EndEpoch matters.
};
const Schedule::Kind Schedule::kKinds[] = {
    {"constant", &Schedule::ConstantFactor},
    {"step", &Schedule::StepFactor},
    {"cosine", &Schedule::CosineFactor, /*needs_end=*/true},
    {"decay", &Schedule::DecayFactor},
    {"plateau", &Schedule::PlateauFactor, /*needs_end=*/false, /*watches=*/true},
};

std::vector<std::string> Schedule::Names() { return NamesOf(kKinds); }

void ScheduleConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name,
         {.help = "what learning rates are multiplied with", .choices = Schedule::Names()});
  v.Integer("warmup_steps", &warmup_steps,
            {.help = "steps of linear growth in front, for any schedule", .min = 0, .max = 1e15});
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
            {.help = "plateau: epochs without a gain before a fall", .min = 1, .max = 1e15});
  v.Number("min_factor", &min_factor,
           {.help = "plateau: the smallest product of all factors", .min = 0, .max = 1});
  v.Number("min_delta", &min_delta, {.help = "plateau: what counts as a gain", .min = 0});
}

absl::StatusOr<std::unique_ptr<Schedule>> Schedule::Create(const ScheduleConfig& config,
                                                           int64_t total_steps) {
  const Kind* const kind = FindNamed(kKinds, config.name);
  if (kind == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown schedule \"", config.name, "\", must be one of ", absl::StrJoin(Names(), ", ")));
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
  if (kind->needs_end && config.warmup_steps >= total_steps) {
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
  return std::unique_ptr<Schedule>(new Schedule(config, *kind, total_steps));
}

Schedule::Schedule(const ScheduleConfig& config, const Kind& kind, int64_t total_steps)
    : config_(config),
      kind_(kind),
      total_steps_(total_steps),
      best_(-std::numeric_limits<double>::infinity()) {
  if (config_.warmup_share > 0.0) {
    config_.warmup_steps =
        static_cast<int64_t>(config_.warmup_share * static_cast<double>(total_steps));
  }
}

double Schedule::Factor(int64_t step) const {
  if (step < config_.warmup_steps) {
    return (this->*kind_.factor)(config_.warmup_steps) * static_cast<double>(step + 1) /
           static_cast<double>(config_.warmup_steps);
  }
  return (this->*kind_.factor)(step);
}

double Schedule::StepsAfterWarmup(int64_t step) const {
  return static_cast<double>(step - config_.warmup_steps);
}

double Schedule::ConstantFactor(int64_t /*step*/) const { return 1.0; }

double Schedule::StepFactor(int64_t step) const {
  const auto passed = std::upper_bound(config_.milestones.begin(), config_.milestones.end(),
                                       static_cast<double>(step));
  return std::pow(config_.gamma, static_cast<double>(passed - config_.milestones.begin()));
}

double Schedule::CosineFactor(int64_t step) const {
  const double t = StepsAfterWarmup(step);
  const double total = static_cast<double>(total_steps_ - config_.warmup_steps);
  const double wave = (1.0 + std::cos(M_PI * std::min(t / total, 1.0))) / 2.0;
  return config_.final_factor + (1.0 - config_.final_factor) * wave;
}

double Schedule::DecayFactor(int64_t step) const {
  return 1.0 / (1.0 + config_.decay * StepsAfterWarmup(step));
}

double Schedule::PlateauFactor(int64_t step) const { return plateau_factor_ * DecayFactor(step); }

bool Schedule::EndEpoch(double watched) {
  if (!kind_.watches) return false;
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
