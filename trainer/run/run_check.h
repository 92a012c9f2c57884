// The check of a whole run: every file that a verb reads, compared with its checksums.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const RunCheck check, CheckRun(fs, "runs/a", &pool, {}));
//   for (const RunFinding& finding : check.findings) std::cout << finding.what << "\n";
//
// Not checked are report.html and TensorBoard's files, which nothing reads back; bytes of tables
// and of the log that no checkpoint uses; and foreign files.
#ifndef PROTOPAGE_TRAINER_RUN_RUN_CHECK_H_
#define PROTOPAGE_TRAINER_RUN_RUN_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"

namespace protopage {

struct RunFinding {
  std::string what;         // Names the file.
  std::string meaning;      // What cannot be done, and what can.
  int64_t checkpoint = -1;  // -1: not of one alone.
};

struct RunCheck {
  bool of_run = true;                // False: of a store by itself, without checkpoints.
  int64_t format = 0;                // Of the run; 0 when its config cannot be read.
  std::vector<int64_t> checkpoints;  // Those that were checked.
  std::vector<RunFinding> findings;  // None: the run is whole.
};

// Called now and then with the rows of a checkpoint that were read so far, of all.
using RunCheckProgress = std::function<void(int64_t checkpoint, int64_t done, int64_t total)>;

// Reads the run in `directory`, which may be training meanwhile, and changes nothing. Errors:
// NotFound (no run); damage is no error.
absl::StatusOr<RunCheck> CheckRun(FileSystem* fs, const std::string& directory, ThreadPool* pool,
                                  const RunCheckProgress& progress);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_CHECK_H_
