#include "protopage/trainer/observers/observer.h"

#include <iostream>
#include <memory>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using testing::ElementsAre;
using testing::Pair;

// Writes its name and the event to a shared list, and fails at one event.
class Recorder : public TrainObserver {
 public:
  Recorder(std::string name, std::vector<std::string>* events, std::string failing = "")
      : name_(std::move(name)), events_(events), failing_(std::move(failing)) {}

  absl::Status OnMessage(const MessageReport&) override { return Record("message"); }
  absl::Status OnProgress(const ProgressReport&) override { return Record("progress"); }
  absl::Status OnStageStart(const StageReport&) override { return Record("start"); }
  absl::Status OnStep(const StepReport&) override { return Record("step"); }
  absl::Status OnEpochEnd(const EpochReport&) override { return Record("epoch"); }
  absl::Status OnEvaluation(const EvaluationReport&) override { return Record("evaluation"); }
  absl::Status OnCheckpoint(const CheckpointReport&) override { return Record("checkpoint"); }
  absl::Status OnStageEnd(const StageReport&) override { return Record("end"); }

 private:
  absl::Status Record(const std::string& event) {
    events_->push_back(name_ + " " + event);
    if (event == failing_) return absl::ResourceExhaustedError("disk full");
    return absl::OkStatus();
  }
  const std::string name_;
  std::vector<std::string>* const events_;
  const std::string failing_;
};

TEST(ObserverListTest, CallsAllInOrder) {
  std::vector<std::string> events;
  ObserverList list;
  list.Add(std::make_unique<Recorder>("a", &events));
  Recorder b("b", &events);  // Not the list's.
  list.Add(&b);
  PROTOPAGE_EXPECT_OK(list.OnMessage({}));
  PROTOPAGE_EXPECT_OK(list.OnProgress({}));
  PROTOPAGE_EXPECT_OK(list.OnStageStart({}));
  PROTOPAGE_EXPECT_OK(list.OnStep({}));
  PROTOPAGE_EXPECT_OK(list.OnEpochEnd({}));
  PROTOPAGE_EXPECT_OK(list.OnEvaluation({}));
  PROTOPAGE_EXPECT_OK(list.OnCheckpoint({}));
  PROTOPAGE_EXPECT_OK(list.OnStageEnd({}));
  EXPECT_THAT(events,
              ElementsAre("a message", "b message", "a progress", "b progress", "a start",
                          "b start", "a step", "b step", "a epoch", "b epoch", "a evaluation",
                          "b evaluation", "a checkpoint", "b checkpoint", "a end", "b end"));
}

TEST(ObserverListTest, StopsAtTheFirstError) {
  std::vector<std::string> events;
  ObserverList list;
  list.Add(std::make_unique<Recorder>("a", &events, "step"));
  list.Add(std::make_unique<Recorder>("b", &events));
  EXPECT_THAT(list.OnStep({}), StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_THAT(events, ElementsAre("a step"));
}

TEST(ScalarsTest, LeaveOutWhatIsUnknown) {
  StepReport step;
  step.loss = 2.5;
  step.rows_paged = 7;
  step.extra = {{"queue_fill", 0.5}, {"unknown", kUnknown}};
  EXPECT_THAT(Scalars(step), ElementsAre(Pair("loss", 2.5), Pair("rows_paged", 7),
                                         Pair("skipped_steps", 0), Pair("queue_fill", 0.5)));
  EpochReport epoch;
  epoch.accuracy = 0.25;
  EXPECT_THAT(Scalars(epoch), ElementsAre(Pair("accuracy", 0.25)));
}

absl::Status PrintOneStep() {
  class Printer : public TrainObserver {
    absl::Status OnStep(const StepReport& report) override {
      std::cerr << report.step << ": " << report.loss << "\n";
      return absl::OkStatus();
    }
  };

  ObserverList observers;
  observers.Add(std::make_unique<Printer>());
  PROTOPAGE_RETURN_IF_ERROR(observers.OnStep({.stage = "source", .step = 1}));
  return absl::OkStatus();
}

TEST(ObserverListTest, TheExampleOfTheHeader) {
  testing::internal::CaptureStderr();
  PROTOPAGE_EXPECT_OK(PrintOneStep());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "1: nan\n");
}

// Integers stay integers, and the order is that of metrics.jsonl.
TEST(FiguresTest, AreVisitedInOrderWithTheirTypes) {
  class Names : public FigureVisitor {
   public:
    void Number(absl::string_view name, double) override { names.push_back(std::string(name)); }
    void Integer(absl::string_view name, int64_t) override {
      names.push_back(std::string(name) + " (integer)");
    }
    std::vector<std::string> names;
  };
  Names visited;
  StepReport step;
  step.extra = {{"queue_fill", 0.5}};
  step.Figures(visited);
  EXPECT_THAT(visited.names,
              ElementsAre("loss", "accuracy", "learning_rate", "row_learning_rate",
                          "images_per_second", "seconds", "wait_images_seconds",
                          "wait_rows_seconds", "wait_plan_seconds", "rows_paged (integer)",
                          "cache_hit_rate", "index_recall", "index_seconds", "queue_age_steps",
                          "loss_scale", "log_bytes", "skipped_steps (integer)", "queue_fill"));
}

}  // namespace
}  // namespace protopage
