#include "protopage/trainer/verbs/user_config.h"

#include <utility>

#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
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
  PROTOPAGE_ASSIGN_OR_RETURN(TrainConfig config, ReadTrainConfig(std::move(json), set, source));
  ResolvePaths(&config);
  return config;
}

absl::StatusOr<TrainConfig> ReadUserConfig(const std::string& path,
                                           const std::vector<std::string>& set) {
  const absl::StatusOr<std::string> text = ReadFile(DefaultFileSystem(), path);
  if (!text.ok()) return WithContext(text.status(), "--config");
  return ParseUserConfig(*text, path, set);
}

absl::StatusOr<std::unique_ptr<Session>> OpenRun(const std::string& directory,
                                                 const std::vector<std::string>& set,
                                                 ClassPolicy class_policy) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(TrainConfig config, ReadRunConfig(fs, directory, set));
  ResolvePaths(&config);
  return LoadRun(fs, directory, config, class_policy);
}

}  // namespace protopage
