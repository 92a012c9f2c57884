#include "protopage/trainer/verbs/user_config.h"

#include <utility>

#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/verbs/command_line.h"

namespace protopage {
namespace {

void ResolvePaths(TrainConfig* config) {
  ForEachPath(*config, [](std::string& path) { path = ResolveUserPath(path); });
}

}  // namespace

absl::StatusOr<TrainConfig> ParseUserConfig(const std::string& text, absl::string_view source,
                                            const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, source));
  RemoveFileFields(&json);  // Of the config of a run.
  PROTOPAGE_ASSIGN_OR_RETURN(TrainConfig config, ReadTrainConfig(std::move(json), set, source));
  ResolvePaths(&config);
  return config;
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  const absl::StatusOr<std::string> text =
      ReadFileOrPipe(DefaultFileSystem(), path, kMaxConfigBytes);
  if (!text.ok()) return WithContext(text.status(), "--config");
  return text;
}

absl::StatusOr<TrainConfig> ReadUserConfig(const std::string& path,
                                           const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(path));
  return ParseUserConfig(text, path, set);
}

absl::StatusOr<std::unique_ptr<Session>> OpenRun(const std::string& directory,
                                                 const std::vector<std::string>& set,
                                                 const ReadRunOptions& options) {
  std::unique_ptr<Session> result;
  PROTOPAGE_RETURN_IF_ERROR(
      ReadUserRun(directory, set, options, [&](std::unique_ptr<Session> session) {
        result = std::move(session);
        return absl::OkStatus();
      }));
  return result;
}

absl::Status ReadUserRun(const std::string& directory, const std::vector<std::string>& set,
                         const ReadRunOptions& options,
                         absl::FunctionRef<absl::Status(std::unique_ptr<Session> session)> read) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(TrainConfig config, ReadRunConfig(fs, directory, set));
  ResolvePaths(&config);
  return ReadRun(fs, directory, config, options, read);
}

}  // namespace protopage
