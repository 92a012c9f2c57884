#include "protopage/trainer/stages/stage_kinds.h"

#include <vector>

#include "protopage/base/check.h"
#include "protopage/trainer/stages/dominant_stage.h"
#include "protopage/trainer/stages/evaluate_stage.h"
#include "protopage/trainer/stages/imprint_stage.h"
#include "protopage/trainer/stages/source_stage.h"

namespace protopage {

absl::Span<const StageKind* const> StageKinds() {
  static const auto* const kinds = new std::vector<const StageKind*>{
      &SourceStage(),
      &ImprintStage(),
      &DominantStage(),
      &EvaluateStage(),
  };
  return *kinds;
}

const StageKind& GetStageKind(absl::string_view name) {
  const StageKind* found = nullptr;
  for (const StageKind* kind : StageKinds()) {
    if (kind->spec().name == name) found = kind;
  }
  PROTOPAGE_CHECK(found != nullptr);
  return *found;
}

}  // namespace protopage
