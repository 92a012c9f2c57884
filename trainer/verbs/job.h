// A job: an experiment with its configs built in, `bazel run //trainer:NAME`.
//
//   Job job;
//   job.name = "glyphs";
//   job.summary = "Trains on rendered Han characters.";
//   job.presets = {{"default", GlyphsPreset()}};
//   return RunJob(job, {argv + 1, argv + argc});
#ifndef PROTOPAGE_TRAINER_VERBS_JOB_H_
#define PROTOPAGE_TRAINER_VERBS_JOB_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "protopage/trainer/run/trainer.h"

namespace protopage {

struct Job {
  std::string name;
  std::string summary;
  // By name; "default" is one of them.
  std::vector<std::pair<std::string, absl::string_view>> presets;
  bool needs_data_dir = false;
  // Text that follows the results, in addition to FormatTrainResult.
  std::function<std::string(const TrainResult&)> print;
};

// Trains the preset that the flags choose and returns the exit status.
int RunJob(const Job& job, const std::vector<std::string>& arguments);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_JOB_H_
