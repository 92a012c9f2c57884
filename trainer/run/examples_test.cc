// Compiles the examples of headers whose behaviour trainer_test.cc tests.
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/run/checkpoint_reader.h"
#include "protopage/trainer/run/run_check.h"
#include "protopage/trainer/run/run_checkpoint.h"
#include "protopage/trainer/run/run_observers.h"
#include "protopage/trainer/run/run_prototypes.h"
#include "protopage/trainer/run/training_loop.h"

namespace protopage {
namespace {

[[maybe_unused]] absl::Status RunCheckpointExample(const CheckpointState& state, int64_t keep,
                                                   const std::vector<CheckpointSection>& sections,
                                                   RunDirectory* directory, Session* session) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder,
                             SaveRunCheckpoint(state, keep, sections, directory, session));
  PROTOPAGE_RETURN_IF_ERROR(RestoreSession(state, *directory, folder, session));
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status RunObserversExample(const RunDirectory& run, TrainConfig config,
                                                  const CheckpointState* resumed) {
  ObserverList observers;
  PROTOPAGE_RETURN_IF_ERROR(
      AddFileObservers(run, "my run", WriteConfig(config), resumed, &observers));
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status RunPrototypesExample(FileSystem* fs, ThreadPool& pool,
                                                   RowMatrixXf rows) {
  PROTOPAGE_RETURN_IF_ERROR(ReadRunPrototypes(
      fs, "runs/a", /*checkpoint=*/-1, &pool,
      [&](const RunPrototypes& run) { return run.set->store().ReadRange(0, rows); }));
  return absl::OkStatus();
}

[[maybe_unused]] absl::StatusOr<bool> TrainingLoopExample(
    const TrainConfig& config, Session* session, TrainObserver* observers, RunPosition* position,
    const TrainingHooks& hooks, std::unique_ptr<StageTrainer> trainer,
    const std::optional<StageResume>& resume) {
  TrainingLoop loop(config, session, observers, position, hooks);
  PROTOPAGE_RETURN_IF_ERROR(loop.Begin(std::move(trainer), resume));
  PROTOPAGE_ASSIGN_OR_RETURN(const bool finished, loop.Run());
  return finished;
}

[[maybe_unused]] absl::Status CheckpointReaderExample(
    const RunDirectory& run, const std::function<absl::Status(std::string)>& LoadModel) {
  PROTOPAGE_RETURN_IF_ERROR(ReadCheckpoint(
      run, /*number=*/-1, [&](const std::string& folder) { return LoadModel(folder); }));
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status RunCheckExample(FileSystem* fs, ThreadPool& pool) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunCheck check, CheckRun(fs, "runs/a", &pool, {}));
  for (const RunFinding& finding : check.findings) std::cout << finding.what << "\n";
  return absl::OkStatus();
}

TEST(ExamplesTest, Compile) {}

}  // namespace
}  // namespace protopage
