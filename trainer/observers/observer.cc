#include "protopage/trainer/observers/observer.h"

#include <cmath>
#include <utility>

#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

using Figures = std::vector<std::pair<std::string, double>>;

void AddKnown(const std::string& name, double value, Figures& figures) {
  if (!std::isnan(value)) figures.emplace_back(name, value);
}

}  // namespace

absl::Status TrainObserver::OnStageStart(const StageReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnStep(const StepReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnEpochEnd(const EpochReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnEvaluation(const EvaluationReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnCheckpoint(const CheckpointReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnStageEnd(const StageReport&) { return absl::OkStatus(); }

void ObserverList::Add(std::unique_ptr<TrainObserver> observer) {
  observers_.push_back(std::move(observer));
}

absl::Status ObserverList::OnStageStart(const StageReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnStageStart(report));
  }
  return absl::OkStatus();
}
absl::Status ObserverList::OnStep(const StepReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnStep(report));
  }
  return absl::OkStatus();
}
absl::Status ObserverList::OnEpochEnd(const EpochReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnEpochEnd(report));
  }
  return absl::OkStatus();
}
absl::Status ObserverList::OnEvaluation(const EvaluationReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnEvaluation(report));
  }
  return absl::OkStatus();
}
absl::Status ObserverList::OnCheckpoint(const CheckpointReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnCheckpoint(report));
  }
  return absl::OkStatus();
}
absl::Status ObserverList::OnStageEnd(const StageReport& report) {
  for (const auto& observer : observers_) {
    PROTOPAGE_RETURN_IF_ERROR(observer->OnStageEnd(report));
  }
  return absl::OkStatus();
}

Figures Scalars(const StepReport& report) {
  Figures figures;
  AddKnown("loss", report.loss, figures);
  AddKnown("accuracy", report.accuracy, figures);
  AddKnown("learning_rate", report.learning_rate, figures);
  AddKnown("row_learning_rate", report.row_learning_rate, figures);
  AddKnown("images_per_second", report.images_per_second, figures);
  AddKnown("seconds", report.seconds, figures);
  AddKnown("wait_images_seconds", report.wait_images_seconds, figures);
  AddKnown("wait_rows_seconds", report.wait_rows_seconds, figures);
  AddKnown("wait_plan_seconds", report.wait_plan_seconds, figures);
  AddKnown("rows_paged", static_cast<double>(report.rows_paged), figures);
  AddKnown("cache_hit_rate", report.cache_hit_rate, figures);
  AddKnown("index_recall", report.index_recall, figures);
  AddKnown("index_seconds", report.index_seconds, figures);
  AddKnown("queue_age_steps", report.queue_age_steps, figures);
  AddKnown("loss_scale", report.loss_scale, figures);
  if (report.log_bytes > 0) {
    AddKnown("log_bytes", static_cast<double>(report.log_bytes), figures);
  }
  AddKnown("skipped_steps", static_cast<double>(report.skipped_steps), figures);
  for (const auto& extra : report.extra) {
    AddKnown(extra.first, extra.second, figures);
  }
  return figures;
}

Figures Scalars(const EpochReport& report) {
  Figures figures;
  AddKnown("loss", report.loss, figures);
  AddKnown("accuracy", report.accuracy, figures);
  AddKnown("images_per_second", report.images_per_second, figures);
  AddKnown("seconds", report.seconds, figures);
  return figures;
}

}  // namespace protopage
