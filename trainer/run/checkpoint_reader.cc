#include "protopage/trainer/run/checkpoint_reader.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::Status ReadCheckpoint(const RunDirectory& run, int64_t number,
                            absl::FunctionRef<absl::Status(const std::string& folder)> read) {
  if (number >= 0) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, run.FindCheckpoint(number));
    return run.WithWayOut(read(folder), folder);
  }
  constexpr int kAttempts = 20;
  int64_t tried = -1;
  absl::Status status;  // Of reading checkpoint `tried`.
  absl::Status none;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const absl::StatusOr<int64_t> newest = run.LatestNumber();
    if (absl::IsAborted(newest.status()) || absl::IsNotFound(newest.status())) {
      // A run makes a newer checkpoint before it removes an older one, but a list that was made in
      // between may show neither.
      none = newest.status();
      continue;
    }
    PROTOPAGE_RETURN_IF_ERROR(newest.status());
    const std::string folder = run.CheckpointPath(*newest);
    // It is still there, so it was not removed while it was read.
    if (*newest == tried) return run.WithWayOut(status, folder);
    tried = *newest;
    status = run.CheckCheckpoint(folder, CheckDepth::kAll);
    if (status.ok()) status = read(folder);
    if (status.ok()) return status;
  }
  if (tried < 0 && absl::IsNotFound(none)) return none;
  return absl::AbortedError(absl::StrCat(
      run.path(), ": the run replaces its newest checkpoint faster than it can be read (",
      kAttempts,
      " attempts); nothing is damaged: try again, or let the run keep more (keep_checkpoints)"));
}

}  // namespace protopage
