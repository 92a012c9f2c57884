// CrashTraining: a whole training of small images as a CrashScenario.
//
// Used by training_crash_test.cc.
//
// It is promised that a run is there once it was said to begin, that a checkpoint is there, or a
// newer one, once it was reported, and so are results and lines of metrics.jsonl. A resumed run
// ends with the same net, prototypes, results and metrics.
#ifndef PROTOPAGE_TRAINER_TESTING_CRASH_TRAINING_H_
#define PROTOPAGE_TRAINER_TESTING_CRASH_TRAINING_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/testing/crash_scenario.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/testing/session_testing.h"

namespace protopage {

struct TrainedOutcome {
  NamedValues parameters;
  RowMatrixXf prototypes;
  std::string results;
  std::vector<std::string> metrics;  // Without checkpoints, times and rates.
};

class CrashTraining : public CrashScenario {
 public:
  // Sets `outcome` where it is empty, else compares with it.
  CrashTraining(TrainConfig config, TrainedOutcome* outcome)
      : config_(std::move(config)), outcome_(outcome) {}

  absl::Status SetUp(FileSystem* fs) override;
  absl::Status Work(FileSystem* fs) override;
  absl::Status Check(FileSystem* fs) override;
  absl::Status CheckOutcome(FileSystem* fs) override;

 private:
  class Listener;

  const TrainConfig config_;
  TrainedOutcome* const outcome_;
  // What was promised.
  bool begun_ = false;
  int64_t checkpoint_ = -1;         // The number of its folder.
  size_t results_ = 0;              // Of results.json.
  std::vector<std::string> lines_;  // Of metrics.jsonl, in order.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_TESTING_CRASH_TRAINING_H_
