#include "protopage/trainer/observers/observer.h"

#include <cmath>
#include <utility>

#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

class ScalarCollector : public FigureVisitor {
 public:
  void Number(absl::string_view name, double value) override {
    if (!std::isnan(value)) scalars_.emplace_back(std::string(name), value);
  }
  void Integer(absl::string_view name, int64_t value) override {
    scalars_.emplace_back(std::string(name), static_cast<double>(value));
  }
  std::vector<std::pair<std::string, double>> Take() { return std::move(scalars_); }

 private:
  std::vector<std::pair<std::string, double>> scalars_;
};

// Calls `method` of each observer with `report`.
template <typename Report>
absl::Status Notify(const std::vector<TrainObserver*>& observers,
                    absl::Status (TrainObserver::*method)(const Report&), const Report& report) {
  for (TrainObserver* observer : observers) {
    PROTOPAGE_RETURN_IF_ERROR((observer->*method)(report));
  }
  return absl::OkStatus();
}

}  // namespace

void StepReport::Figures(FigureVisitor& v) const {
  v.Number("loss", loss);
  v.Number("accuracy", accuracy);
  v.Number("learning_rate", learning_rate);
  v.Number("row_learning_rate", row_learning_rate);
  v.Number("images_per_second", images_per_second);
  v.Number("seconds", seconds);
  v.Number("wait_images_seconds", wait_images_seconds);
  v.Number("wait_rows_seconds", wait_rows_seconds);
  v.Number("wait_plan_seconds", wait_plan_seconds);
  v.Integer("rows_paged", rows_paged);
  v.Number("cache_hit_rate", cache_hit_rate);
  v.Number("index_recall", index_recall);
  v.Number("index_seconds", index_seconds);
  v.Number("queue_age_steps", queue_age_steps);
  v.Number("loss_scale", loss_scale);
  v.Number("log_bytes", log_bytes > 0 ? static_cast<double>(log_bytes) : kUnknown);
  v.Integer("skipped_steps", skipped_steps);
  for (const auto& [name, value] : extra) v.Number(name, value);
}

void EpochReport::Figures(FigureVisitor& v) const {
  v.Number("loss", loss);
  v.Number("accuracy", accuracy);
  v.Number("images_per_second", images_per_second);
  v.Number("seconds", seconds);
}

absl::Status TrainObserver::OnMessage(const MessageReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnProgress(const ProgressReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnStageStart(const StageReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnStep(const StepReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnEpochEnd(const EpochReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnEvaluation(const EvaluationReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnCheckpoint(const CheckpointReport&) { return absl::OkStatus(); }
absl::Status TrainObserver::OnStageEnd(const StageReport&) { return absl::OkStatus(); }

void ObserverList::Add(std::unique_ptr<TrainObserver> observer) {
  observers_.push_back(observer.get());
  owned_.push_back(std::move(observer));
}

void ObserverList::Add(TrainObserver* observer) { observers_.push_back(observer); }

absl::Status ObserverList::OnMessage(const MessageReport& report) {
  return Notify(observers_, &TrainObserver::OnMessage, report);
}
absl::Status ObserverList::OnProgress(const ProgressReport& report) {
  return Notify(observers_, &TrainObserver::OnProgress, report);
}
absl::Status ObserverList::OnStageStart(const StageReport& report) {
  return Notify(observers_, &TrainObserver::OnStageStart, report);
}
absl::Status ObserverList::OnStep(const StepReport& report) {
  return Notify(observers_, &TrainObserver::OnStep, report);
}
absl::Status ObserverList::OnEpochEnd(const EpochReport& report) {
  return Notify(observers_, &TrainObserver::OnEpochEnd, report);
}
absl::Status ObserverList::OnEvaluation(const EvaluationReport& report) {
  return Notify(observers_, &TrainObserver::OnEvaluation, report);
}
absl::Status ObserverList::OnCheckpoint(const CheckpointReport& report) {
  return Notify(observers_, &TrainObserver::OnCheckpoint, report);
}
absl::Status ObserverList::OnStageEnd(const StageReport& report) {
  return Notify(observers_, &TrainObserver::OnStageEnd, report);
}

std::vector<std::pair<std::string, double>> Scalars(const StepReport& report) {
  ScalarCollector scalars;
  report.Figures(scalars);
  return scalars.Take();
}

std::vector<std::pair<std::string, double>> Scalars(const EpochReport& report) {
  ScalarCollector scalars;
  report.Figures(scalars);
  return scalars.Take();
}

}  // namespace protopage
