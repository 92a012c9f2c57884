// The stages of a run, by the names of the config.
//
//   const StageKind& kind = GetStageKind(config.stages[0].name);
//   PROTOPAGE_ASSIGN_OR_RETURN(auto trainer, kind.NewTrainer(session, 0, 0, "runs/a", false));
#ifndef PROTOPAGE_TRAINER_STAGES_STAGE_KINDS_H_
#define PROTOPAGE_TRAINER_STAGES_STAGE_KINDS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/trainer/stages/stage_kind.h"

namespace protopage {

// One of each of StageSpecs().
absl::Span<const StageKind* const> StageKinds();

// `name` must be that of a stage in a config that has been validated.
const StageKind& GetStageKind(absl::string_view name);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGE_KINDS_H_
