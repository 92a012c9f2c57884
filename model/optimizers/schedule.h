// Schedule: the factor of the learning rates at each step.
//
//   ScheduleConfig config;
//   config.name = "cosine";
//   PROTOPAGE_ASSIGN_OR_RETURN(auto schedule, Schedule::Create(config, /*total_steps=*/5000));
//   const double learning_rate = optimizer_config.learning_rate * schedule->Factor(step);
//   ...
//   schedule->EndEpoch(training_accuracy);  // Read by plateau only.
//
// With t = step - warmup_steps, T = total_steps - warmup_steps:
//   constant  1
//   step      gamma^(number of milestones <= step)
//   cosine    final_factor + (1 - final_factor) (1 + cos(pi t / T)) / 2; final_factor after T
//   decay     1 / (1 + decay t), Keras' `decay`
//   plateau   f, which starts at 1; an epoch that ends `patience` epochs after the last gain
//             makes it max(f * factor, min_factor), as Keras' ReduceLROnPlateau (mode max,
//             cooldown 0); times 1 / (1 + decay t), as the two go together in Keras
// Warm-up: for step < warmup_steps the factor is (step + 1) / warmup_steps times that of t = 0.
// warmup_share stands for warmup_steps = floor(warmup_share total_steps).
//
// All but plateau are pure functions of the step; State() keeps the history of plateau.
#ifndef PROTOPAGE_MODEL_OPTIMIZERS_SCHEDULE_H_
#define PROTOPAGE_MODEL_OPTIMIZERS_SCHEDULE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/config_fields.h"
#include "protopage/model/state.h"

namespace protopage {

struct ScheduleConfig {
  std::string name = "constant";
  int64_t warmup_steps = 0;
  double warmup_share = 0.0;            // In [0, 1); 0 where warmup_steps is not.
  std::vector<double> milestones = {};  // step: ascending step numbers.
  double gamma = 0.1;                   // step
  double final_factor = 0.0;            // cosine
  double decay = 0.0;                   // decay
  double factor = 0.1;                  // plateau
  int64_t patience = 5;                 // plateau: epochs
  double min_factor = 0.0;              // plateau
  double min_delta = 1e-4;              // plateau: the least gain that counts

  void Fields(ConfigVisitor& v);
};

class Schedule {
 public:
  // `total_steps` is read by cosine and warmup_share. Errors: InvalidArgument (config).
  static absl::StatusOr<std::unique_ptr<Schedule>> Create(const ScheduleConfig& config,
                                                          int64_t total_steps);

  // step counts from 0.
  double Factor(int64_t step) const;
  // `watched` is a value that should grow (accuracy). Returns true if the factor fell.
  bool EndEpoch(double watched);
  void State(StateVisitor& v);
  // The names that ScheduleConfig::name may have.
  static std::vector<std::string> Names();

 private:
  struct Kind;
  static const Kind kKinds[];
  Schedule(const ScheduleConfig& config, const Kind& kind, int64_t total_steps);
  // The factor of each kind at a step after the warm-up.
  double ConstantFactor(int64_t step) const;
  double StepFactor(int64_t step) const;
  double CosineFactor(int64_t step) const;
  double DecayFactor(int64_t step) const;
  double PlateauFactor(int64_t step) const;
  // t of the formulas above.
  double StepsAfterWarmup(int64_t step) const;

  ScheduleConfig config_;
  const Kind& kind_;
  int64_t total_steps_;
  double plateau_factor_ = 1.0;
  double best_;  // -infinity before the first epoch.
  int64_t epochs_without_gain_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OPTIMIZERS_SCHEDULE_H_
