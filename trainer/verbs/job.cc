#include "protopage/trainer/verbs/job.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "protopage/trainer/verbs/command_line.h"
#include "protopage/trainer/verbs/train_verb.h"
#include "protopage/trainer/verbs/version_text.h"

namespace protopage {

int RunJob(const Job& job, const std::vector<std::string>& arguments) {
  TrainFlags flags;
  std::string preset = "default";
  std::string data_dir;
  std::vector<std::string> preset_names;
  for (const auto& named : job.presets) preset_names.push_back(named.first);

  CommandProgram program;
  program.name = job.name;
  program.summary = job.summary;
  program.version = VersionText();
  CommandVerb verb;
  verb.flags = {{.name = "preset",
                 .value = &preset,
                 .help = "the config to start from",
                 .value_name = "NAME",
                 .choices = preset_names}};
  if (job.needs_data_dir) {
    verb.flags.push_back({.name = "data_dir",
                          .value = &data_dir,
                          .help = "the folder that holds the data's official files",
                          .value_name = "DIR",
                          .required = true,
                          .is_path = true});
  }
  for (CommandFlag& flag : flags.Flags()) verb.flags.push_back(std::move(flag));
  verb.run = [&] {
    absl::string_view text;
    for (const auto& named : job.presets) {
      if (named.first == preset) text = named.second;
    }
    if (!data_dir.empty()) {
      // First, so that the user's own --set wins.
      flags.set.insert(flags.set.begin(),
                       absl::StrCat("data.data_dir=", nlohmann::json(data_dir).dump()));
    }
    return RunTrain(std::string(text), absl::StrCat("preset ", preset), job.name, flags,
                    [&](const TrainResult& result) {
                      return absl::StrCat(FormatTrainResult(result),
                                          job.print ? job.print(result) : "");
                    });
  };
  program.verbs = {verb};
  return RunCommandLine(program, arguments);
}

}  // namespace protopage
