#include "protopage/trainer/verbs/output_path.h"

#include <cstdint>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// Whether a run writes a file or a folder of this name into its directory (run_directory.h).
bool IsOfRun(absl::string_view name) {
  for (const char* own : {"config.json", "metrics.jsonl", "results.json", "recovery.json",
                          "report.html", "lock", "log", "checkpoints", "classes"}) {
    if (name == own) return true;
  }
  if (absl::StartsWith(name, "events.")) return true;
  absl::ConsumeSuffix(&name, ".lock");
  if (!absl::ConsumeSuffix(&name, ".h5")) return false;
  int64_t generation;
  return (absl::ConsumePrefix(&name, "prototypes") || absl::ConsumePrefix(&name, "queues")) &&
         (name.empty() || (absl::ConsumePrefix(&name, "-") && absl::SimpleAtoi(name, &generation)));
}

}  // namespace

absl::Status CheckOutput(FileSystem* fs, const std::string& path) {
  std::error_code error;
  const std::filesystem::path file = std::filesystem::weakly_canonical(
      std::filesystem::absolute(fs->FollowLinks(path), error), error);
  // Of the folder below the one that is looked at, or of the file.
  std::string name = file.filename();
  for (std::filesystem::path folder = file.parent_path();; folder = folder.parent_path()) {
    const bool is_run =
        fs->Exists(folder / "config.json") && fs->IsDirectory(folder / "checkpoints");
    if (is_run && IsOfRun(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is a file of the run ", folder.string(), "; choose another"));
    }
    if (folder == folder.parent_path()) break;
    name = folder.filename();
  }
  const std::string lock_path = absl::StrCat(file.string(), ".lock");
  if (!fs->Exists(lock_path)) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const auto lock, fs->Open(lock_path, OpenMode::kReadWrite));
  if (!absl::IsFailedPrecondition(lock->Lock())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is being written (", lock_path, " is locked)"));
}

}  // namespace protopage
