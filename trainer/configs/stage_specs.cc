#include "protopage/trainer/configs/stage_specs.h"

#include <utility>

#include "protopage/base/named_entries.h"

namespace protopage {
namespace {

// The keys of a stage that trains the net, with `more` behind them.
std::vector<std::string> TrainingKeys(std::vector<std::string> more) {
  std::vector<std::string> keys = {"name",       "split",     "epochs",    "steps",
                                   "batch_size", "augment",   "train_net", "dropout",
                                   "margin",     "optimizer", "schedule"};
  for (std::string& key : more) keys.push_back(std::move(key));
  return keys;
}

StageSpec Source() {
  StageSpec spec;
  spec.name = "source";
  spec.help = "trains the net with a dense head over all classes of its split";
  spec.keys = TrainingKeys({});
  spec.trains = true;
  spec.makes = ClassifierKind::kHead;
  spec.split = Split::kSourceTrain;
  spec.evaluation_name = "source";
  return spec;
}

StageSpec Imprint() {
  StageSpec spec;
  spec.name = "imprint";
  spec.help = "writes each class's prototype, the normalized mean of normalized features";
  spec.keys = {"name", "split", "domain"};
  spec.makes = ClassifierKind::kPrototypes;
  spec.replaces_prototypes = true;
  spec.split = Split::kTargetTrain;
  spec.evaluation_name = "imprinted";
  return spec;
}

StageSpec Dominant() {
  StageSpec spec;
  spec.name = "dominant";
  spec.help = "trains the net and the paged prototypes of the classes that \"selection\" picks";
  spec.keys = TrainingKeys({"rows"});
  spec.trains = true;
  spec.makes = ClassifierKind::kPrototypes;
  spec.split = Split::kTargetTrain;
  spec.evaluation_name = "dominant";
  return spec;
}

StageSpec Evaluate() {
  StageSpec spec;
  spec.name = "evaluate";
  spec.help = "measures on images never trained on";
  spec.keys = {"name", "split"};
  spec.needs_classifier = true;
  return spec;
}

}  // namespace

absl::Span<const StageSpec> StageSpecs() {
  static const auto* const specs =
      new std::vector<StageSpec>{Source(), Imprint(), Dominant(), Evaluate()};
  return *specs;
}

const StageSpec* FindStageSpec(absl::string_view name) { return FindNamed(StageSpecs(), name); }

std::vector<std::string> StageNames() { return NamesOf(StageSpecs()); }

}  // namespace protopage
