#include "protopage/trainer/run/run_classes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/testing/crash_file_system.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"

namespace protopage {
namespace {

FileSystem* Fs() { return DefaultFileSystem(); }

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/run_classes_test_", getpid(), "_", name);
}

TEST(RunClassesTest, HeaderExample) {
  FileSystem* const fs = Fs();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(TrainConfig()));
  const std::shared_ptr<ClassIdentity> identity = NewLoggingIdentity(ClassPolicy::kExact);
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(UseRunClasses(fs, "runs/a", identity.get()));
    UseClassIdentity(identity, session.get());  // Before the first split is opened.
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
  EXPECT_EQ(identity->known(ClassRole::kTarget).names, nullptr);
  EXPECT_EQ(identity->known(ClassRole::kTarget).owner, "the run runs/a");
}

// Classes 0, 1, ... of synthetic images; the first stage trains the source classes.
absl::StatusOr<TrainConfig> Config(int64_t source_classes, int64_t target_classes) {
  return ReadTrainConfig(
      nlohmann::json::parse(absl::StrCat(
          R"({"data": {"type": "synthetic", "image_size": 20, "synthetic": {"source_classes": )",
          source_classes, R"(, "target_classes": )", target_classes, R"(}},
          "model": {"embedding_dim": 16}, "threads": 1,
          "stages": [{"name": "source", "steps": 1, "batch_size": 2}, {"name": "imprint"}]})")),
      {}, "config");
}

TEST(RunClassesTest, RecordsTheClassesOfEachRole) {
  const std::string run = TempPath("records");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config, Config(3, 100'000'000));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK(
      RecordRunClasses(Fs(), run, *NewLoggingIdentity(ClassPolicy::kExact), session.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto source,
                                 ClassNames::Open(Fs(), RunClassesPath(run, ClassRole::kSource)));
  EXPECT_EQ(source->num_classes(), 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto target,
                                 ClassNames::Open(Fs(), RunClassesPath(run, ClassRole::kTarget)));
  EXPECT_EQ(target->num_classes(), 100'000'000);
  EXPECT_TRUE(target->all_numbered());
}

TEST(RunClassesTest, ARecordOutlivesALossOfPowerOnceTheRunsFolderIsSynced) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK(fs.CreateDirectories("/run"));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config, Config(3, 5));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  PROTOPAGE_ASSERT_OK(
      RecordRunClasses(&fs, "/run", *NewLoggingIdentity(ClassPolicy::kExact), session.get()));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/run"));  // As the first checkpoint does.
  fs.Restart(CrashFileSystem::kDropAll, 1);
  for (const ClassRole role : kClassRoles) {
    PROTOPAGE_EXPECT_OK(ClassNames::Open(&fs, RunClassesPath("/run", role)).status());
  }
}

TEST(RunClassesTest, ClassesOfInitFromAreThoseOfTheRun) {
  const std::string file = TempPath("names.h5"), store_path = TempPath("init.h5");
  const std::string run = TempPath("init");
  const std::vector<std::string> all = {"4", "3", "2", "1", "0"};
  PROTOPAGE_ASSERT_OK(ClassNames::Create(
      Fs(), file, 5, [&](ClassId c) -> absl::StatusOr<std::string> { return all[c]; }));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::Open(Fs(), file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(TrainConfig config, Config(3, 5));
  config.prototypes.init_from = store_path;
  {
    PrototypeStoreSpec spec;
    spec.num_classes = 5;
    spec.dim = 16;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Create(store_path, spec, {}, names.get()));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(store->Drop({1}));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  const std::shared_ptr<ClassIdentity> identity = NewLoggingIdentity(ClassPolicy::kExact);
  PROTOPAGE_ASSERT_OK(UseInitFromClasses(Fs(), config, identity.get()));
  UseClassIdentity(identity, session.get());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto images, session->images().Open(Split::kTargetTrain));
  EXPECT_EQ(images->ClassName(0), "4");
  PROTOPAGE_ASSERT_OK(RecordRunClasses(Fs(), run, *identity, session.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto target,
                                 ClassNames::Open(Fs(), RunClassesPath(run, ClassRole::kTarget)));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto recorded, target->Names(0, 5));
  EXPECT_EQ(recorded, all);
}

}  // namespace
}  // namespace protopage
