// StageSpecs: the kinds of stage that a config may list, with the keys that each reads, its needs
// and its results. They serve the checks of the config, --help, and the code that orders a run's
// stages.
//
//   const StageSpec* spec = FindStageSpec("imprint");
//   const bool trains = spec->trains;                    // false
//   const std::vector<std::string>& keys = spec->keys;  // {"name", "split", "domain"}
//
// Their behaviour is in trainer/stages/stage_kinds.h.
#ifndef PROTOPAGE_TRAINER_CONFIGS_STAGE_SPECS_H_
#define PROTOPAGE_TRAINER_CONFIGS_STAGE_SPECS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/data/open_source.h"

namespace protopage {

// The classifiers that a run may have: the weights that embeddings are compared with.
enum class ClassifierKind {
  kHead,        // Dense, of the source classes, in memory.
  kPrototypes,  // The paged table of the target classes.
};

struct StageSpec {
  std::string name;
  std::string help;  // Completes "NAME ...", as in "imprint writes ...".
  // The keys of StageConfig that have a meaning for the stage.
  std::vector<std::string> keys;
  // The stage takes optimizer steps, so it has a length, a schedule and a StageTrainer.
  bool trains = false;
  // The classifier that the stage makes or trains; without a value it leaves all as they are.
  std::optional<ClassifierKind> makes = {};
  // The stage starts a new prototype table, also when the run has one already.
  bool replaces_prototypes = false;
  // A stage before it must have made a classifier.
  bool needs_classifier = false;
  // Images unless the config names a split. Without a value they are the test images of the newest
  // classifier, and those of unseen classes are read in addition.
  std::optional<Split> split = {};
  // The name of evaluations of the classifier that the stage makes.
  std::string evaluation_name = {};

  bool trains_prototypes() const { return trains && makes == ClassifierKind::kPrototypes; }
};

// All of them, in the order in which a run usually goes through them.
absl::Span<const StageSpec> StageSpecs();

// The spec of that name; null when there is none.
const StageSpec* FindStageSpec(absl::string_view name);

std::vector<std::string> StageNames();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_CONFIGS_STAGE_SPECS_H_
