#include "protopage/trainer/run/recovery.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::StatusOr<RunDirectory> NewRun(const std::string& name) {
  return RunDirectory::Create(
      DefaultFileSystem(), absl::StrCat(testing::TempDir(), "/recovery_", getpid(), "_", name), {});
}

TEST(RecoveryTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, NewRun("example"));
  TrainConfig config;
  config.stages.resize(2);
  config.stages[0].optimizer.learning_rate = 0.5;
  config.stages[1].rows.learning_rate = 2;
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(WriteRecovery(run, kRecoveryFactor, "loss was not finite"));
    PROTOPAGE_ASSIGN_OR_RETURN(const double factor, ReadRecovery(run));
    ScaleLearningRates(factor, &config);
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(config.stages[0].optimizer.learning_rate, 0.5 * kRecoveryFactor);
  EXPECT_EQ(config.stages[1].rows.learning_rate, 2 * kRecoveryFactor);
}

TEST(RecoveryTest, ARunThatNeverRecoveredKeepsItsRates) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, NewRun("never"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double factor, ReadRecovery(run));
  EXPECT_EQ(factor, 1);
}

TEST(RecoveryTest, AFileWithoutAFactorIsDamaged) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, NewRun("damaged"));
  for (const char* text : {"{}\n", "[]", R"({"learning_rate_factor": "low"})"}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(run.file_system(), run.File(kRecoveryFile), text));
    EXPECT_THAT(ReadRecovery(run), StatusIs(absl::StatusCode::kDataLoss, "recovery.json")) << text;
  }
  // A factor that was changed, or lost its seal.
  PROTOPAGE_ASSERT_OK(WriteRecovery(run, 0.1, "test"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::string text,
                                 ReadFile(run.file_system(), run.File(kRecoveryFile)));
  text[text.find("0.1") + 2] = '3';
  for (const std::string& changed : {text, std::string(R"({"learning_rate_factor": 0.1})")}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(run.file_system(), run.File(kRecoveryFile), changed));
    EXPECT_THAT(ReadRecovery(run), StatusIs(absl::StatusCode::kDataLoss, "recovery.json"));
  }
}

}  // namespace
}  // namespace protopage
