// recovery.json of a run: written when a run returns to its last checkpoint after losses that were
// not finite, so that every later attempt trains with the lowered learning rates.
//
//   PROTOPAGE_RETURN_IF_ERROR(WriteRecovery(run, kRecoveryFactor, "loss was not finite"));
//   PROTOPAGE_ASSIGN_OR_RETURN(const double factor, ReadRecovery(run));
//   ScaleLearningRates(factor, &config);
#ifndef PROTOPAGE_TRAINER_RUN_RECOVERY_H_
#define PROTOPAGE_TRAINER_RUN_RECOVERY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/run/run_directory.h"

namespace protopage {

inline constexpr char kRecoveryFile[] = "recovery.json";
// Of all learning rates.
inline constexpr double kRecoveryFactor = 0.1;

absl::Status WriteRecovery(const RunDirectory& run, double factor, const std::string& because);

// The factor of the run's recovery; 1 when there was none. Errors: DataLoss, those of the
// disk.
absl::StatusOr<double> ReadRecovery(const RunDirectory& run);

// Multiplies the learning rates of all stages.
void ScaleLearningRates(double factor, TrainConfig* config);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RECOVERY_H_
