// Which changes of a config a run that has begun still takes: those of keys that no step has used.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<FieldDifference> changes,
//                              CheckConfigChanges(old_config, new_config, /*begun=*/2));
//
// A key is used from when the first stage begins that reads it:
//
//   stages[i].*               stage i
//   selection.*               stages that train prototypes (dominant)
//   prototypes.index*, prototypes.reencode_below
//                             the same
//   prototypes.*              stages that make or train prototypes (imprint, dominant)
//   loss.*                    stages that train
//   data.augment.*            the same
//   data.paths.SPLIT          stages that read images of the split, or number their classes by it
//   all others                any stage
//
// Threads, logging, checkpoints and caches (FieldSpec::safe_to_change) may always change.
#ifndef PROTOPAGE_TRAINER_CONFIGS_CONFIG_CHANGES_H_
#define PROTOPAGE_TRAINER_CONFIGS_CONFIG_CHANGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/config_fields.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {

// The changes of keys that are not always safe to change, all of which stages from `begun` on use
// first; `begun` stages of the run have begun. Both configs must be validated. Errors:
// InvalidArgument that names the keys that stages before use, or when stages that have begun are
// missing.
absl::StatusOr<std::vector<FieldDifference>> CheckConfigChanges(const TrainConfig& before,
                                                                const TrainConfig& after,
                                                                int64_t begun);

// "seed 1 -> 2, stages[1].steps 10 -> 20"
std::string FormatChanges(const std::vector<FieldDifference>& changes);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_CONFIGS_CONFIG_CHANGES_H_
