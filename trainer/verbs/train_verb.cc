#include "protopage/trainer/verbs/train_verb.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string config;
  TrainFlags train;
};

// The file's name without its folder and ending.
std::string Stem(const std::string& path) {
  const std::string name = BaseName(path);
  return name.substr(0, name.find('.'));
}

absl::Status Run(const Flags& flags) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(flags.config));
  return RunTrain(text, flags.config, Stem(flags.config), flags.train, FormatTrainResult);
}

}  // namespace

std::vector<CommandFlag> TrainFlags::Flags() {
  return {
      SetFlag(&set),
      {.name = "out",
       .value = &out,
       .help = "where the run goes; by default the first free of runs/NAME-1, runs/NAME-2, ...",
       .value_name = "DIR",
       .is_path = true},
      {.name = "resume",
       .value = &resume,
       .help = "goes on with the run in --out from its last checkpoint"},
      {.name = "checkpoint",
       .value = &checkpoint,
       .help = "with --resume: goes on from this checkpoint, DIR/checkpoints/NUMBER, and removes "
               "the later ones; -1 is the newest",
       .value_name = "NUMBER",
       .min = -1},
      ClassNamesFlag(&class_names),
      {.name = "images",
       .value = &images,
       .help = "with --resume: when a stage in progress has other images than it began with: same "
               "refuses them, changed goes on with them and with the steps that they make",
       .value_name = "same|changed",
       .choices = {"same", "changed"}},
      JsonFlag(&json)};
}

std::string FormatTrainResult(const TrainResult& result) {
  if (result.reports.empty()) return "";
  // Side by side, then the last with its intervals and the numbers of images and pairs.
  return absl::StrCat(FormatComparison(result.reports), "\n", FormatReport(result.reports.back()));
}

absl::Status RunTrain(const std::string& text, absl::string_view source, const std::string& name,
                      const TrainFlags& flags,
                      const std::function<std::string(const TrainResult&)>& print) {
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ParseUserConfig(text, source, flags.set));
  TrainOptions options;
  options.directory = flags.out;
  options.resume = flags.resume;
  PROTOPAGE_ASSIGN_OR_RETURN(options.class_policy, ParseClassPolicy(flags.class_names));
  options.changed_images = flags.images == "changed";
  options.title = name;
  options.checkpoint = flags.checkpoint;
  if (flags.checkpoint >= 0 && !flags.resume) {
    return absl::InvalidArgumentError("--checkpoint needs --resume: it says where to go on from");
  }
  if (options.directory.empty()) {
    if (flags.resume) {
      return absl::InvalidArgumentError("--resume needs --out=DIR, the run to go on with");
    }
    options.directory =
        FirstFreePath(DefaultFileSystem(), ResolveUserPath(absl::StrCat("runs/", name)));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainResult result, Train(config, options));
  return WithContext(PrintResults(flags.json ? DumpJson(ToJson(result)) : print(result)),
                     absl::StrCat(options.directory, " is complete, with its results.json"));
}

CommandVerb TrainVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "train";
  verb.summary = "Trains as a config says.";
  verb.flags = {ConfigFlag(&flags->config)};
  for (CommandFlag& flag : flags->train.Flags()) verb.flags.push_back(std::move(flag));
  verb.run = [flags] { return Run(*flags); };
  TrainConfig defaults;
  verb.details = absl::StrCat("The keys of a config:\n", ConfigHelp(defaults));
  return verb;
}

}  // namespace protopage
