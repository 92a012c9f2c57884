#include "protopage/trainer/stages/stages.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/class_images.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/sampling/step_planner.h"
#include "protopage/trainer/stages/evaluator.h"

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

// Classes of the classifiers that the stages so far leave; -1 when not known: they come from a
// checkpoint.
struct Classifiers {
  int64_t head = -1;
  int64_t prototypes = -1;
};

absl::Status CheckSource(const StageConfig& stage, const ImageSource& source) {
  if (source.size() >= stage.batch_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("batch_size: found ", stage.batch_size,
                   ", expected at most the number of images: ", source.Description()));
}

absl::Status CheckImprint(const StageConfig& stage, const ImageSource& source) {
  if (stage.domain.empty() || FindDomain(source, stage.domain) >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("domain: found \"", stage.domain, "\", expected one of ",
                   absl::StrJoin(source.domain_names(), ", "), " (", source.Description(), ")"));
}

// `store`, unless it is null, knows the classes that were dropped.
absl::Status CheckDominant(const TrainConfig& config, const StageConfig& stage,
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

absl::Status OpenStage(Session& session, int64_t index, Classifiers* classifiers) {
  const TrainConfig& config = session.config();
  const StageConfig& stage = config.stages[index];
  const Split split = StageSplit(config, index);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(split));
  if (source->size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("split ", SplitName(split), " holds no image: ", source->Description()));
  }
  if (stage.name == "source") {
    PROTOPAGE_RETURN_IF_ERROR(CheckSource(stage, *source));
    classifiers->head = source->num_classes();
  } else if (stage.name == "imprint") {
    PROTOPAGE_RETURN_IF_ERROR(CheckImprint(stage, *source));
    classifiers->prototypes = source->num_classes();
  } else if (stage.name == "dominant") {
    if (classifiers->prototypes >= 0 && source->num_classes() != classifiers->prototypes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "split: ", source->Description(), " has ", source->num_classes(),
          " classes, the prototype table of the stage before it ", classifiers->prototypes));
    }
    PROTOPAGE_RETURN_IF_ERROR(CheckDominant(config, stage, *source, nullptr));
    classifiers->prototypes = source->num_classes();
  } else {
    const bool of_head = EvaluationName(config, index) == "source";
    const int64_t classes = of_head ? classifiers->head : classifiers->prototypes;
    if (classes >= 0) PROTOPAGE_RETURN_IF_ERROR(CheckClosedSet(split, *source, classes));
    if (!of_head && HasSplit(config.data, Split::kUnseen)) {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto unseen, session.images().Open(Split::kUnseen));
      PROTOPAGE_RETURN_IF_ERROR(ChooseGallery(*unseen).status());
    }
  }
  if (!stage.trains()) return absl::OkStatus();
  return Schedule::Create(stage.schedule, TotalSteps(stage, StepsPerEpoch(stage, *source)))
      .status();
}

}  // namespace

std::string EvaluationName(const TrainConfig& config, int64_t stage) {
  for (int64_t i = stage - 1; i >= 0; --i) {
    const std::string& name = config.stages[i].name;
    if (name == "imprint") return "imprinted";
    if (name != "evaluate") return name;
  }
  return config.stages[stage].name;
}

Split StageSplit(const TrainConfig& config, int64_t stage) {
  const StageConfig& s = config.stages[stage];
  Split own = Split::kTargetTrain;
  if (s.name == "source") own = Split::kSourceTrain;
  if (s.name == "evaluate") {
    own = EvaluationName(config, stage) == "source" ? Split::kSourceTest : Split::kTargetTest;
  }
  return ParseSplitOr(s.split, own).value();
}

std::vector<Split> SplitsFrom(const TrainConfig& config, int64_t first) {
  std::vector<Split> splits;
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    splits.push_back(StageSplit(config, i));
    if (config.stages[i].name == "evaluate") splits.push_back(Split::kUnseen);
  }
  return splits;
}

int64_t StepsPerEpoch(const StageConfig& stage, const ImageSource& source) {
  return std::max<int64_t>(1, source.size() / stage.batch_size);
}

double RowLearningRate(const StageConfig& stage, double factor) {
  return stage.rows.scheduled ? stage.rows.learning_rate * factor : stage.rows.learning_rate;
}

int64_t TotalSteps(const StageConfig& stage, int64_t steps_per_epoch) {
  if (stage.steps > 0) return stage.steps;
  return std::max<int64_t>(1, std::llround(stage.epochs * static_cast<double>(steps_per_epoch)));
}

absl::Status OpenStages(Session& session, int64_t first) {
  Classifiers classifiers;
  for (int64_t i = first; i < static_cast<int64_t>(session.config().stages.size()); ++i) {
    const std::string where =
        absl::StrCat("stages[", i, "] (", session.config().stages[i].name, ")");
    PROTOPAGE_RETURN_IF_ERROR(WithContext(OpenStage(session, i, &classifiers), where));
  }
  return absl::OkStatus();
}

absl::Status CheckNewPrototypes(Session& session, int64_t first, bool there) {
  const TrainConfig& config = session.config();
  const PrototypeSetOptions options = session.prototype_options();
  if (config.prototypes.init_from.empty()) return absl::OkStatus();
  std::unique_ptr<PrototypeStore> store;  // That the newest prototypes start from.
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    const StageConfig& stage = config.stages[i];
    if (stage.name != "imprint" && stage.name != "dominant") continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(StageSplit(config, i)));
    if (stage.name == "imprint" || !there) {
      PROTOPAGE_ASSIGN_OR_RETURN(
          store, PrototypeSet::OpenInitFrom(source->num_classes(), session.net()->embedding_dim(),
                                            options));
    }
    there = true;
    if (stage.name == "dominant" && store != nullptr && store->num_dropped() > 0) {
      PROTOPAGE_RETURN_IF_ERROR(WithContext(CheckDominant(config, stage, *source, store.get()),
                                            absl::StrCat("stages[", i, "] (dominant)")));
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
