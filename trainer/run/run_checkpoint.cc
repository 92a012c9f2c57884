#include "protopage/trainer/run/run_checkpoint.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/session/prototype_set.h"

namespace protopage {
namespace {

absl::Status MakeHead(const CheckpointState& state, Session* session) {
  if (state.head_classes == 0) return absl::OkStatus();
  return session->MakeHead(state.head_classes);
}

}  // namespace

std::string ModelPath(const std::string& folder) { return JoinPath(folder, "model.h5"); }

absl::StatusOr<std::string> SaveRunCheckpoint(CheckpointState state, int64_t keep,
                                              const std::vector<CheckpointSection>& sections,
                                              RunDirectory* directory, Session* session) {
  FileSystem* const fs = directory->file_system();
  // Two positions may share a run_step (an evaluation trains nothing), so the folder's number is
  // unique by both.
  const int64_t number = state.position.run_step * 100 + state.position.stage;
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, directory->BeginCheckpoint(number));
  PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, ModelPath(folder), sections, session->backend()));
  state.head_classes = session->head() != nullptr ? session->head()->num_classes() : 0;
  state.prototypes = session->prototypes() != nullptr;
  if (state.prototypes) {
    state.unindexed = session->prototypes()->unindexed();
    PROTOPAGE_RETURN_IF_ERROR(session->prototypes()->SaveCheckpoint(folder));
  }
  // A resumed run truncates the metrics to those of the checkpoint, so they must be on the disk.
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> metrics,
                               fs->Open(directory->File(kMetricsFile), OpenMode::kReadWrite));
    PROTOPAGE_RETURN_IF_ERROR(metrics->Sync());
    PROTOPAGE_ASSIGN_OR_RETURN(state.metrics_bytes, metrics->Size());
  }
  PROTOPAGE_RETURN_IF_ERROR(fs->SyncDirectory(directory->path()));
  PROTOPAGE_RETURN_IF_ERROR(directory->CommitCheckpoint(number, ToJson(state), keep));
  return folder;
}

absl::Status CheckNoneLost(const RunDirectory& run) {
  const absl::StatusOr<MetricsContent> metrics =
      ReadReadableMetrics(run.file_system(), run.File(kMetricsFile), run.seal_rule());
  if (!metrics.ok()) return absl::OkStatus();  // Nothing is known.
  for (const nlohmann::ordered_json& line : metrics->lines) {
    if (line.value("kind", "") != "checkpoint") continue;
    return absl::DataLossError(
        absl::StrCat(run.path(), " has no checkpoint, but ", kMetricsFile, " tells of one at step ",
                     line.value("step", int64_t{0}), ": they were lost; put back ",
                     run.File("checkpoints"), ", or begin a new run with another --out"));
  }
  return absl::OkStatus();
}

absl::Status RestoreSession(const CheckpointState& state, const RunDirectory& run,
                            const std::string& folder, Session* session) {
  PROTOPAGE_RETURN_IF_ERROR(MakeHead(state, session));
  if (state.position.stage_step == 0) {
    PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(run.file_system(), ModelPath(folder),
                                             session->Sections(), session->backend()));
  }
  if (!state.prototypes) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto prototypes,
      PrototypeSet::Restore(run.path(), folder, session->prototype_options(), &session->pool()));
  prototypes->set_unindexed(state.unindexed);
  session->set_prototypes(std::move(prototypes));
  return absl::OkStatus();
}

absl::Status LoadForReading(const CheckpointState& state, const RunDirectory& run,
                            const std::string& folder, Session* session) {
  PROTOPAGE_RETURN_IF_ERROR(MakeHead(state, session));
  PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(run.file_system(), ModelPath(folder),
                                           session->Sections(), session->backend()));
  if (!state.prototypes) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto prototypes, PrototypeSet::OpenReadOnly(run.path(), folder, session->prototype_options(),
                                                  &session->pool()));
  session->set_prototypes(std::move(prototypes));
  return absl::OkStatus();
}

}  // namespace protopage
