#include "protopage/trainer/stages/stage_kinds.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/stages/open_stages.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

// The example of stage_kind.h.
class WarmUpStage : public StageKind {
 public:
  WarmUpStage() : StageKind("warm_up") {}
  absl::Status Check(Session&, int64_t, const ImageSource&, ClassifierSizes*) const override {
    return absl::OkStatus();
  }
};

TEST(StageKindsTest, AKindNeedsASpecOfItsName) { EXPECT_DEATH(WarmUpStage(), "spec"); }

TEST(StageKindsTest, EverySpecHasItsKind) {
  std::vector<std::string> kinds;
  for (const StageKind* kind : StageKinds()) kinds.push_back(kind->spec().name);
  EXPECT_EQ(kinds, StageNames());
  for (const std::string& name : StageNames()) EXPECT_EQ(GetStageKind(name).spec().name, name);
}

absl::Status NewFirstTrainer(Session* session, const TrainConfig& config) {
  const StageKind& kind = GetStageKind(config.stages[0].name);
  PROTOPAGE_ASSIGN_OR_RETURN(auto trainer, kind.NewTrainer(session, 0, 0, "runs/a", false));
  return trainer->Settle();
}

TEST(StageKindsTest, TheExampleOfTheHeader) {
  const std::string dir = absl::StrCat(testing::TempDir(), "/stage_kinds_", getpid());
  PROTOPAGE_ASSERT_OK(WriteTinyLists(dir));
  const TrainConfig config = TinyListTrainConfig(dir);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Session::Create(config));
  PROTOPAGE_ASSERT_OK(OpenStages(*session, 0));
  PROTOPAGE_EXPECT_OK(NewFirstTrainer(session.get(), config));
}

// Exactly the kinds that train make trainers, and exactly the others run as a whole.
TEST(StageKindsTest, AKindTrainsOrRuns) {
  const std::string dir = absl::StrCat(testing::TempDir(), "/stage_kinds_", getpid());
  PROTOPAGE_ASSERT_OK(WriteTinyLists(dir));
  const TrainConfig config = TinyListTrainConfig(dir);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Session::Create(config));
  PROTOPAGE_ASSERT_OK(OpenStages(*session, 0));
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageKind& kind = GetStageKind(config.stages[i].name);
    const int64_t stage = static_cast<int64_t>(i);
    if (kind.spec().trains) {
      EXPECT_THAT(kind.Run({session.get(), stage, dir}),
                  StatusIs(absl::StatusCode::kInternal, "only trains"));
      PROTOPAGE_EXPECT_OK(kind.NewTrainer(session.get(), stage, 0, dir, false));
    } else {
      EXPECT_THAT(kind.NewTrainer(session.get(), stage, 0, dir, false),
                  StatusIs(absl::StatusCode::kInternal, "does not train"));
      PROTOPAGE_EXPECT_OK(kind.Run({session.get(), stage, dir}));
    }
  }
}

// The example of stage_totals.h.
[[maybe_unused]] absl::StatusOr<double> SecondsWaited(StageTrainer* trainer,
                                                      const StepPosition& position) {
  const StageTotals before = trainer->totals();
  PROTOPAGE_RETURN_IF_ERROR(trainer->Step(position, 1).status());
  const StageTotals now = trainer->totals();
  const double waited = now.wait_images_seconds - before.wait_images_seconds;
  return waited;
}

}  // namespace
}  // namespace protopage
