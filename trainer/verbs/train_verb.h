// The verb train, and its parts that the jobs share (trainer/verbs/job.h).
//
//   TrainFlags flags;
//   flags.set = {"seed=2"};
//   PROTOPAGE_RETURN_IF_ERROR(RunTrain(text, "a.json", "a", flags, FormatTrainResult));
#ifndef PROTOPAGE_TRAINER_VERBS_TRAIN_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_TRAIN_VERB_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

// Flags of everything that trains.
struct TrainFlags {
  std::vector<std::string> set;
  std::string out;
  bool resume = false;
  int64_t checkpoint = -1;  // With resume; -1 for the newest.
  std::string class_names = "exact";
  std::string images = "same";
  bool json = false;

  std::vector<CommandFlag> Flags();
};

// Reads a config from `text` (`source` names it in errors) with the --set changes. Trains in
// flags.out, or in the first free of runs/NAME-1, ... (with --resume, flags.out is required), and
// prints the results to stdout by `print`, or as JSON with --json.
absl::Status RunTrain(const std::string& text, absl::string_view source, const std::string& name,
                      const TrainFlags& flags,
                      const std::function<std::string(const TrainResult&)>& print);

// The table of a run's evaluations.
std::string FormatTrainResult(const TrainResult& result);

CommandVerb TrainVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_TRAIN_VERB_H_
