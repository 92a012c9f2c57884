// Single steps of the stage trainers, compared with steps put together by hand. Whole runs are in
// trainer/run/trainer_test.cc.
#include "protopage/trainer/stages/stage_trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/checkpoint.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/step/net_step.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

class StageTrainerTest : public testing::Test {
 protected:
  static constexpr int64_t kSource = 0, kDominant = 3;  // Stages of TinyListConfig.

  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/stage_trainer_test_", getpid());
    PROTOPAGE_ASSERT_OK(WriteTinyLists(dir_));
    config_ = TinyListTrainConfig(dir_);
  }

  std::string dir_;
  TrainConfig config_;
};

TEST_F(StageTrainerTest, SourceEpochsTakeEveryImageOnceInAnOrderOfTheirOwn) {
  constexpr int64_t kFirst = 30;  // The run's steps before the stage.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                 NewSourceTrainer(session.get(), kSource, kFirst, false));
  ASSERT_EQ(trainer->steps_per_epoch(), 2);  // 16 images, 8 a step.

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto hand, Session::Create(config_));
  PROTOPAGE_ASSERT_OK(hand->MakeHead(kTinySourceClasses));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto source, hand->images().Open(Split::kSourceTrain));
  Parameter* head = hand->head()->parameter();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto step, NetStep::Create(hand.get(), config_.stages[kSource], source.get(), {head}));
  for (int64_t t = 0; t < 4; ++t) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        const StepOutcome outcome,
        trainer->Step({.run_step = kFirst + t, .stage_step = t, .end = 4}, 0.5));
    EXPECT_FALSE(outcome.skipped);

    const int64_t epoch_start = kFirst + t / 2 * 2;
    RandomStream random(config_.seed, RandomPurpose::kImageSampler, epoch_start);
    const std::vector<int64_t> order = SampleWithoutReplacement(random, 16, 16);
    const std::vector<int64_t> records(order.begin() + t % 2 * 8, order.begin() + (t % 2 + 1) * 8);
    std::vector<int32_t> slots;
    for (const int64_t record : records) slots.push_back(static_cast<int32_t>(record / 4));
    step->loader().Submit(kFirst + t, records);
    PROTOPAGE_ASSERT_OK(step->QueueGradients(head->value, slots, kFirst + t));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetStep::Result result, step->AwaitGradients());
    PROTOPAGE_ASSERT_OK(hand->backend()->Copy(result.loss.d_rows, head->gradient));
    PROTOPAGE_ASSERT_OK(step->Update(0.5));
    EXPECT_EQ(outcome.loss, result.loss.loss) << t;
    EXPECT_EQ(outcome.accuracy, result.loss.accuracy) << t;
  }
  EXPECT_EQ(NetValues(*session), NetValues(*hand));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows, session->head()->Rows(session->backend()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf hand_rows, hand->head()->Rows(hand->backend()));
  EXPECT_EQ(rows, hand_rows);
}

TEST_F(StageTrainerTest, ADominantStepMovesTheRowsOfItsClassesOnly) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                 NewDominantTrainer(session.get(), kDominant, 0, dir_, false));
  // Without an imprint stage the rows start at random, as many as the split has classes.
  EXPECT_EQ(session->prototypes()->store().num_classes(), kTinyTargetClasses);
  const RowMatrixXf before = PrototypeRows(*session);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StepOutcome outcome,
                                 trainer->Step({.run_step = 0, .stage_step = 0, .end = 3}, 1));
  EXPECT_FALSE(outcome.skipped);
  const RowMatrixXf after = PrototypeRows(*session);
  std::vector<ClassId> all(kTinyTargetClasses);
  for (int c = 0; c < kTinyTargetClasses; ++c) all[c] = c;
  StepRows state;
  PROTOPAGE_ASSERT_OK(session->prototypes()->store().GatherStep(all, &state));
  int moved = 0;
  for (int c = 0; c < kTinyTargetClasses; ++c) {
    const bool trained = state.last_step[c] == 0;
    EXPECT_EQ(trained, before.row(c) != after.row(c)) << c;
    EXPECT_EQ(trained, !state.state.row(c).isZero(0)) << c;
    EXPECT_NEAR(after.row(c).norm(), 1, 1e-5) << c;
    moved += trained;
  }
  EXPECT_EQ(moved, config_.selection.classes_per_step);
}

TEST_F(StageTrainerTest, ASkippedDominantStepChangesNothing) {
  config_.model.input_scale = 1e38;  // Activations overflow.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                 NewDominantTrainer(session.get(), kDominant, 0, dir_, false));
  const RowMatrixXf before = PrototypeRows(*session);
  const auto net_before = NetValues(*session);
  for (int64_t t = 0; t < 3; ++t) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StepOutcome outcome,
                                   trainer->Step({.run_step = t, .stage_step = t, .end = 3}, 1));
    EXPECT_TRUE(outcome.skipped);
  }
  EXPECT_EQ(PrototypeRows(*session), before);
  EXPECT_EQ(NetValues(*session), net_before);
  EXPECT_TRUE(session->prototypes()->unindexed().empty());
}

TEST_F(StageTrainerTest, WithoutTrainNetTheRowsAloneAreTrained) {
  config_.stages[kDominant].train_net = false;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                 NewDominantTrainer(session.get(), kDominant, 0, dir_, false));
  const RowMatrixXf before = PrototypeRows(*session);
  const auto net_before = NetValues(*session);
  PROTOPAGE_ASSERT_OK(trainer->Step({.run_step = 0, .stage_step = 0, .end = 3}, 1));
  EXPECT_NE(PrototypeRows(*session), before);
  EXPECT_EQ(NetValues(*session), net_before);
}

TEST_F(StageTrainerTest, StagesOfDifferentDropoutResumeToTheSameBits) {
  constexpr int64_t kSourceSteps = 3, kSaved = 2, kSteps = 5;
  const TrainConfig config =
      TinyListTrainConfig(dir_, {"stages[0].dropout=0.25", "stages[3].dropout=0.5"});
  // The net and the rows at the end, of a run that is interrupted after step kSaved or not.
  struct End {
    NamedValues net;
    RowMatrixXf rows;
  };
  const auto train = [&](bool interrupted) -> absl::StatusOr<End> {
    FileSystem* const fs = DefaultFileSystem();
    const std::string directory = JoinPath(dir_, interrupted ? "interrupted" : "whole");
    const std::string folder = JoinPath(directory, "checkpoint");
    const std::string model = JoinPath(folder, "model.h5");
    PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(folder));
    PROTOPAGE_ASSIGN_OR_RETURN(auto session, Session::Create(config));
    {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto source,
                                 NewSourceTrainer(session.get(), kSource, 0, false));
      for (int64_t t = 0; t < kSourceSteps; ++t) {
        PROTOPAGE_RETURN_IF_ERROR(source->Step({t, t, kSourceSteps}, 1).status());
      }
      PROTOPAGE_RETURN_IF_ERROR(source->Settle());
    }
    PROTOPAGE_ASSIGN_OR_RETURN(
        auto trainer, NewDominantTrainer(session.get(), kDominant, kSourceSteps, directory, false));
    for (int64_t t = 0; t < kSteps; ++t) {
      if (interrupted && t == kSaved) {
        PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
        const auto sections = [&] {
          std::vector<CheckpointSection> all = session->Sections();
          for (CheckpointSection& section : trainer->Sections()) all.push_back(std::move(section));
          return all;
        };
        const nlohmann::json state = trainer->SaveState();
        const std::vector<ClassId> unindexed = session->prototypes()->unindexed();
        PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, model, sections(), session->backend()));
        PROTOPAGE_RETURN_IF_ERROR(session->prototypes()->SaveCheckpoint(folder));
        trainer.reset();
        session.reset();

        PROTOPAGE_ASSIGN_OR_RETURN(session, Session::Create(config));
        PROTOPAGE_RETURN_IF_ERROR(session->MakeHead(kTinySourceClasses));
        PROTOPAGE_ASSIGN_OR_RETURN(
            auto set, PrototypeSet::Restore(directory, folder, session->prototype_options(),
                                            &session->pool()));
        set->set_unindexed(unindexed);
        session->set_prototypes(std::move(set));
        PROTOPAGE_ASSIGN_OR_RETURN(
            trainer, NewDominantTrainer(session.get(), kDominant, kSourceSteps, directory, true));
        PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(fs, model, sections(), session->backend()));
        PROTOPAGE_RETURN_IF_ERROR(trainer->RestoreState(state));
      }
      PROTOPAGE_RETURN_IF_ERROR(trainer->Step({kSourceSteps + t, t, kSteps}, 1).status());
    }
    PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
    EXPECT_TRUE(trainer->TakeMessages().empty());
    return End{NetValues(*session), PrototypeRows(*session)};
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const End whole, train(false));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const End interrupted, train(true));
  EXPECT_EQ(interrupted.net, whole.net);
  EXPECT_EQ(interrupted.rows, whole.rows);
}

TEST_F(StageTrainerTest, APrototypeTableOfOtherClassesIsRefused) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto set, PrototypeSet::Create(dir_, 5, 16, session->prototype_options(), &session->pool()));
  session->set_prototypes(std::move(set));
  EXPECT_THAT(NewDominantTrainer(session.get(), kDominant, 0, dir_, false),
              StatusIs(absl::StatusCode::kInvalidArgument, "has 8 classes, the prototype table 5"));
}

TEST_F(StageTrainerTest, DroppedClassesAreNeverDrawn) {
  const std::string path = dir_ + "/dropped.h5";
  PrototypeStoreSpec spec;
  spec.num_classes = kTinyTargetClasses;
  spec.dim = 16;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Create(path, spec, {}));
    PROTOPAGE_ASSERT_OK(store->Drop({2, 5}));
  }
  const std::vector<std::string> kinds[] = {
      {"selection.mode=full", "prototypes.index=flat"},
      {"selection.mode=random", "prototypes.index=flat"},
      {"selection.mode=random", "selection.images_for=positives"},
      {"selection.mode=dominant", "selection.images_for=positives"},
      {"selection.mode=dominant", "selection.frozen_queues=true"},
      {"selection.mode=dominant", "prototypes.index=ivf_sq8"},
      {"selection.mode=mixed", "selection.class_order=shuffled"},
      {"selection.mode=nearest", "selection.images_for=positives"},
  };
  for (std::vector<std::string> set : kinds) {
    SCOPED_TRACE(set[0] + " " + set[1]);
    set.push_back("prototypes.init_from=" + path);
    set.push_back("selection.classes_per_step=5");
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session,
                                   Session::Create(TinyListTrainConfig(dir_, set)));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                   NewDominantTrainer(session.get(), kDominant, 0, dir_, false));
    for (int64_t t = 0; t < 12; ++t) {
      PROTOPAGE_ASSERT_OK(trainer->Step({.run_step = t, .stage_step = t, .end = 12}, 1));
    }
    PROTOPAGE_ASSERT_OK(trainer->Settle());
    std::vector<ClassState> states(kTinyTargetClasses);
    PROTOPAGE_ASSERT_OK(session->prototypes()->store().ReadStates(0, absl::MakeSpan(states)));
    for (int c = 0; c < kTinyTargetClasses; ++c) {
      EXPECT_EQ(states[c].last_step < 0, c == 2 || c == 5) << c;
    }
  }
}

}  // namespace
}  // namespace protopage
