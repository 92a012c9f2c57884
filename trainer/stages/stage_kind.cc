#include "protopage/trainer/stages/stage_kind.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"

namespace protopage {

StageKind::StageKind(absl::string_view name) : spec_(FindStageSpec(name)) {
  PROTOPAGE_CHECK(spec_ != nullptr);
}

absl::Status StageKind::CheckDropped(const TrainConfig&, const StageConfig&, const ImageSource&,
                                     const PrototypeStore&) const {
  return absl::OkStatus();
}

int64_t StageKind::ActiveClasses(const SelectionConfig&, int64_t num_classes) const {
  return num_classes;
}

absl::StatusOr<std::unique_ptr<StageTrainer>> StageKind::NewTrainer(Session*, int64_t, int64_t,
                                                                    const std::string&,
                                                                    bool) const {
  return absl::InternalError(absl::StrCat("a stage ", spec().name, " does not train"));
}

absl::StatusOr<StageOutcome> StageKind::Run(const StageRun&) const {
  return absl::InternalError(absl::StrCat("a stage ", spec().name, " only trains"));
}

}  // namespace protopage
