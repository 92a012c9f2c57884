#include "protopage/trainer/stages/dominant_stage.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/class_images.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/step_planner.h"

namespace protopage {
namespace {

// For a planner that is made for its checks only.
class NoDominants : public DominantSource {
 public:
  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t, absl::Span<const ClassId>) override {
    return std::vector<ClassId>();
  }
  absl::Status ApplyMistakes(absl::Span<const ClassId>, absl::Span<const int32_t>,
                             absl::Span<const int32_t>) override {
    return absl::OkStatus();
  }
};

// Whether steps can be planned. `store`, unless it is null, knows the classes that were dropped.
absl::Status CheckPlanning(const TrainConfig& config, const StageConfig& stage,
                           const ImageSource& source, const PrototypeStore* store) {
  const ClassImages images(source);
  NoDominants dominants;
  StepPlannerOptions options;
  options.num_classes = source.num_classes();
  options.batch_size = stage.batch_size;
  options.num_images = [&images](ClassId id) { return images.Count(id); };
  if (store != nullptr) {
    options.is_dropped = [store](ClassId id) { return store->is_dropped(id); };
  }
  options.dominants = &dominants;
  return StepPlanner::Create(config.selection, options).status();
}

class DominantStageKind : public StageKind {
 public:
  DominantStageKind() : StageKind("dominant") {}

  absl::Status Check(Session& session, int64_t stage, const ImageSource& source,
                     ClassifierSizes* sizes) const override {
    if (sizes->prototypes >= 0 && source.num_classes() != sizes->prototypes) {
      return absl::InvalidArgumentError(
          absl::StrCat("split: ", source.Description(), " has ", source.num_classes(),
                       " classes, the prototype table of the stage before it ", sizes->prototypes));
    }
    const TrainConfig& config = session.config();
    PROTOPAGE_RETURN_IF_ERROR(CheckPlanning(config, config.stages[stage], source, nullptr));
    sizes->prototypes = source.num_classes();
    return absl::OkStatus();
  }

  absl::Status CheckDropped(const TrainConfig& config, const StageConfig& stage,
                            const ImageSource& source, const PrototypeStore& store) const override {
    return CheckPlanning(config, stage, source, &store);
  }

  int64_t ActiveClasses(const SelectionConfig& selection, int64_t num_classes) const override {
    return protopage::ActiveClasses(selection, num_classes);
  }

  absl::StatusOr<std::unique_ptr<StageTrainer>> NewTrainer(Session* session, int64_t stage,
                                                           int64_t first_run_step,
                                                           const std::string& directory,
                                                           bool resumed) const override {
    return NewDominantTrainer(session, stage, first_run_step, directory, resumed);
  }
};

}  // namespace

const StageKind& DominantStage() {
  static const StageKind* const kind = new DominantStageKind;
  return *kind;
}

}  // namespace protopage
