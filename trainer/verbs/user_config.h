// Configs and runs as the command line names them: with --set changes, and with relative paths that
// start where the user stands.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadUserConfig("a.json", {"seed=2"}));
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto session, OpenRun("runs/a", {"threads=1"}));
#ifndef PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_
#define PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// The config in `text`, validated; `source` names it in errors. Errors: InvalidArgument.
absl::StatusOr<TrainConfig> ParseUserConfig(const std::string& text, absl::string_view source,
                                            const std::vector<std::string>& set);
// The config in the file that --config names. Errors: as above, those of reading it.
absl::StatusOr<TrainConfig> ReadUserConfig(const std::string& path,
                                           const std::vector<std::string>& set);

// The model of the newest checkpoint of the run in `directory`, whose config is changed by `set`.
// Errors: those of ReadRunConfig and LoadRun.
absl::StatusOr<std::unique_ptr<Session>> OpenRun(const std::string& directory,
                                                 const std::vector<std::string>& set,
                                                 ClassPolicy class_policy = ClassPolicy::kExact);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_USER_CONFIG_H_
