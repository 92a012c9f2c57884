#include "protopage/trainer/run/checkpoint_state.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// The state that `json` holds. A key that is missing or of another type throws the library's
// exception.
absl::StatusOr<CheckpointState> ParseState(const nlohmann::json& json) {
  CheckpointState state;
  json.at("stage").get_to(state.position.stage);
  json.at("stage_step").get_to(state.position.stage_step);
  json.at("run_step").get_to(state.position.run_step);
  json.at("skipped_steps").get_to(state.position.skipped_steps);
  json.at("head_classes").get_to(state.head_classes);
  json.at("prototypes").get_to(state.prototypes);
  if (state.prototypes) json.at("unindexed").get_to(state.unindexed);
  for (const nlohmann::json& report : json.at("reports")) {
    PROTOPAGE_ASSIGN_OR_RETURN(EvalReport evaluation, EvalReportFromJson(report));
    state.reports.push_back(std::move(evaluation));
  }
  if (json.contains("metrics_bytes")) json.at("metrics_bytes").get_to(state.metrics_bytes);
  if (state.position.stage_step > 0) {
    state.trainer = json.at("trainer");
    json.at("epoch_loss_sum").get_to(state.epoch.loss);
    json.at("epoch_accuracy_sum").get_to(state.epoch.accuracy);
    json.at("epoch_steps").get_to(state.epoch.steps);
    if (json.contains("images")) {
      json.at("interval_loss_sum").get_to(state.interval.loss);
      json.at("interval_accuracy_sum").get_to(state.interval.accuracy);
      json.at("interval_steps").get_to(state.interval.steps);
      json.at("bad_steps").get_to(state.bad_steps);
      json.at("images").get_to(state.images.count);
      json.at("image_labels_xxh3").get_to(state.images.labels);
    }
  }
  return state;
}

}  // namespace

nlohmann::ordered_json ReportsToJson(const std::vector<EvalReport>& reports) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const EvalReport& report : reports) list.push_back(ToJson(report));
  return list;
}

nlohmann::ordered_json ToJson(const CheckpointState& state) {
  nlohmann::ordered_json json;
  json["stage"] = state.position.stage;
  json["stage_step"] = state.position.stage_step;
  json["run_step"] = state.position.run_step;
  json["skipped_steps"] = state.position.skipped_steps;
  json["head_classes"] = state.head_classes;
  json["prototypes"] = state.prototypes;
  if (state.prototypes) json["unindexed"] = state.unindexed;
  json["reports"] = ReportsToJson(state.reports);
  if (state.metrics_bytes >= 0) json["metrics_bytes"] = state.metrics_bytes;
  if (state.position.stage_step > 0) {
    json["trainer"] = state.trainer;
    json["epoch_loss_sum"] = state.epoch.loss;
    json["epoch_accuracy_sum"] = state.epoch.accuracy;
    json["epoch_steps"] = state.epoch.steps;
    json["interval_loss_sum"] = state.interval.loss;
    json["interval_accuracy_sum"] = state.interval.accuracy;
    json["interval_steps"] = state.interval.steps;
    json["bad_steps"] = state.bad_steps;
    json["images"] = state.images.count;
    json["image_labels_xxh3"] = state.images.labels;
  }
  return json;
}

absl::StatusOr<CheckpointState> ReadCheckpointState(const RunDirectory& run,
                                                    const std::string& folder, int64_t num_stages) {
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json json, run.ReadCheckpointState(folder));
  const auto damaged = [&](absl::string_view why) {
    return absl::DataLossError(absl::StrCat(folder, "/state.json is damaged: ", why));
  };
  absl::StatusOr<CheckpointState> state;
  try {
    state = ParseState(json);
  } catch (const nlohmann::json::exception& error) {
    return damaged(error.what());
  }
  PROTOPAGE_RETURN_IF_ERROR(state.status());
  const RunPosition& at = state->position;
  if (at.stage < 0 || at.stage > num_stages || at.stage_step < 0 || at.run_step < at.stage_step ||
      (at.stage == num_stages && at.stage_step > 0) || state->head_classes < 0 ||
      state->metrics_bytes < -1) {
    return damaged("a number is out of range");
  }
  return state;
}

}  // namespace protopage
