#include "protopage/trainer/run/recovery.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::Status WriteRecovery(const RunDirectory& run, double factor, const std::string& because) {
  const nlohmann::ordered_json recovery = {{"learning_rate_factor", factor}, {"because", because}};
  return WriteFileAtomically(run.file_system(), run.File(kRecoveryFile),
                             SealJson(DumpJson(recovery)));
}

absl::StatusOr<double> ReadRecovery(const RunDirectory& run) {
  const std::string path = run.File(kRecoveryFile);
  if (!run.file_system()->Exists(path)) return 1.0;
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(run.file_system(), path));
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json json,
                             ParseSealedJson(text, path, run.seal_rule()));
  const auto factor = json.find("learning_rate_factor");
  if (!json.is_object() || factor == json.end() || !factor->is_number()) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: no learning_rate_factor"));
  }
  return factor->get<double>();
}

void ScaleLearningRates(double factor, TrainConfig* config) {
  for (StageConfig& stage : config->stages) {
    stage.optimizer.learning_rate *= factor;
    stage.rows.learning_rate *= factor;
  }
}

}  // namespace protopage
