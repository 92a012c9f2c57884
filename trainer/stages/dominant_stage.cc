#include "protopage/trainer/stages/dominant_stage.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/class_images.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selection_modes.h"
#include "protopage/sampling/step_planner.h"
#include "protopage/trainer/session/prototype_set.h"

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

// Whether the cache holds the rows of a step.
absl::Status CheckCache(const TrainConfig& config, int64_t num_classes, int64_t dim) {
  PrototypeStoreSpec spec;
  spec.num_classes = num_classes;
  spec.dim = dim;
  PROTOPAGE_ASSIGN_OR_RETURN(spec.row_state, ParseRowState(config.prototypes.row_state));
  PROTOPAGE_ASSIGN_OR_RETURN(spec.dtype, ParseRowType(config.prototypes.dtype));
  const int64_t cached = PrototypeStore::CacheRows(spec, config.prototypes.cache_bytes);
  const int64_t active = ActiveClasses(config.selection, num_classes);
  if (cached >= active) return absl::OkStatus();
  // The smallest multiple of a MiB that suffices.
  int64_t enough = config.prototypes.cache_bytes >> 20;
  while (PrototypeStore::CacheRows(spec, enough << 20) < active) ++enough;
  return absl::InvalidArgumentError(absl::StrCat(
      "prototypes.cache_bytes: found ", config.prototypes.cache_bytes, ", which holds ", cached,
      " rows, expected at least ", enough << 20, " for the ", active, " classes of a step"));
}

// Whether the index can be built.
absl::Status CheckIndex(Session& session, int64_t num_classes, int64_t dim) {
  if (DominantKindOf(session.config().selection.mode) == DominantKind::kNone) {
    return absl::OkStatus();
  }
  const ClassIndexOptions options = PrototypeSet::IndexOptions(session.prototype_options());
  const absl::Status status = PlanClassIndex(num_classes, dim, options).status();
  return WithContext(status, absl::StrCat("prototypes.index ", options.kind,
                                          options.lists > 0 ? ", index_lists" : ""));
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
    const int64_t dim = session.net()->embedding_dim();
    PROTOPAGE_RETURN_IF_ERROR(CheckCache(config, source.num_classes(), dim));
    PROTOPAGE_RETURN_IF_ERROR(CheckIndex(session, source.num_classes(), dim));
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
