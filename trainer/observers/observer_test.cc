#include "protopage/trainer/observers/observer.h"

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
  list.Add(std::make_unique<Recorder>("b", &events));
  PROTOPAGE_EXPECT_OK(list.OnStageStart({}));
  PROTOPAGE_EXPECT_OK(list.OnStep({}));
  PROTOPAGE_EXPECT_OK(list.OnEpochEnd({}));
  PROTOPAGE_EXPECT_OK(list.OnEvaluation({}));
  PROTOPAGE_EXPECT_OK(list.OnCheckpoint({}));
  PROTOPAGE_EXPECT_OK(list.OnStageEnd({}));
  EXPECT_THAT(events, ElementsAre("a start", "b start", "a step", "b step", "a epoch", "b epoch",
                                  "a evaluation", "b evaluation", "a checkpoint", "b checkpoint",
                                  "a end", "b end"));
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

}  // namespace
}  // namespace protopage
