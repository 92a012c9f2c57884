#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {

CommandFlag SetFlag(std::vector<std::string>* set) {
  return {.name = "set",
          .value = set,
          .help = "replaces a value of the config, as --set stages[0].epochs=2; may be repeated",
          .value_name = "KEY=VALUE"};
}

CommandFlag ConfigFlag(std::string* config) {
  return {.name = "config",
          .value = config,
          .help = "the config, JSON with comments",
          .value_name = "FILE",
          .required = true,
          .is_path = true};
}

CommandFlag RunFlag(std::string* run) {
  return {.name = "run",
          .value = run,
          .help = "the directory of a run",
          .value_name = "DIR",
          .required = true,
          .is_path = true};
}

CommandFlag CheckpointFlag(int64_t* checkpoint) {
  return {.name = "checkpoint",
          .value = checkpoint,
          .help = "a checkpoint of the run, as DIR/checkpoints/NUMBER; -1 is the newest",
          .value_name = "NUMBER",
          .min = -1};
}

CommandFlag ClassNamesFlag(std::string* policy) {
  return {.name = "class_names",
          .value = policy,
          .help =
              "when the classes of the images are not those that the run, or "
              "prototypes.init_from, knows: exact refuses them; mapped uses those of the same "
              "name and leaves out the others; ignored takes all by their numbers",
          .value_name = "exact|mapped|ignored",
          .choices = {"exact", "mapped", "ignored"}};
}

CommandFlag JsonFlag(bool* json) {
  return {.name = "json", .value = json, .help = "prints results as JSON"};
}

}  // namespace protopage
