// Configs and runs as the command line names them: with --set changes, and with relative paths that
// start where the user stands.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadUserConfig("a.json", {"seed=2"}));
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto session, OpenRun("runs/a", {"threads=1"}));
#ifndef PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_
#define PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// The largest config.
inline constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

// The text of the file, or pipe, that --config names. Errors: those of ReadFileOrPipe.
absl::StatusOr<std::string> ReadConfigFile(const std::string& path);

// The config in `text`, validated; `source` names it in errors. Errors: InvalidArgument.
absl::StatusOr<TrainConfig> ParseUserConfig(const std::string& text, absl::string_view source,
                                            const std::vector<std::string>& set);
// The config in the file that --config names. Errors: as above, those of reading it.
absl::StatusOr<TrainConfig> ReadUserConfig(const std::string& path,
                                           const std::vector<std::string>& set);

// The model of a checkpoint of the run in `directory`, -1 for the newest; the run's config is
// changed by `set`. Errors: those of ReadRunConfig and LoadRun.
absl::StatusOr<std::unique_ptr<Session>> OpenRun(const std::string& directory,
                                                 const std::vector<std::string>& set,
                                                 const ReadRunOptions& options = {});
// Calls read(session) with it, as ReadRun.
absl::Status ReadUserRun(const std::string& directory, const std::vector<std::string>& set,
                         const ReadRunOptions& options,
                         absl::FunctionRef<absl::Status(std::unique_ptr<Session> session)> read);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_
