// The observers that every run has: those that write files into its directory.
//
//   PROTOPAGE_RETURN_IF_ERROR(
//       AddFileObservers(run, "my run", WriteConfig(config), resumed, &observers));
#ifndef PROTOPAGE_TRAINER_RUN_RUN_OBSERVERS_H_
#define PROTOPAGE_TRAINER_RUN_RUN_OBSERVERS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/run_directory.h"

namespace protopage {

// Adds the writers of metrics.jsonl, of TensorBoard's events and of report.html with `title` and
// `config`. `resumed`, if not null, is the checkpoint that the run continues from: the files lose
// all that they say after it, and a message says which lines of the metrics are damaged. Errors:
// those of the disk.
absl::Status AddFileObservers(const RunDirectory& run, const std::string& title,
                              const nlohmann::ordered_json& config, const CheckpointState* resumed,
                              ObserverList* observers);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_OBSERVERS_H_
