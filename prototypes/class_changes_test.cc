// Classes of a store are added, dropped and merged, and the power fails at each event in turn.
// Afterwards the store opens, each change is complete or absent, and changes that a call reported
// as done are there.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 150, kDim = 4;
constexpr char kPath[] = "/w.h5";

PrototypeStoreOptions Options(CrashFileSystem* fs) {
  PrototypeStoreOptions options;
  options.file_system = fs;
  return options;
}

RowMatrixXf NewRows(float value) { return RowMatrixXf::Constant(2, kDim, value); }

// The changes that were reported as done.
struct Done {
  int64_t classes = kClasses;
  bool dropped = false;
  bool merged = false;
};

// The classes that are dropped together: their marks lie in several sectors.
constexpr ClassId kDropped[] = {3, 70, 140};

// Adds two classes within the capacity and two beyond it, drops kDropped, and merges 2 into 0.
absl::Status Change(CrashFileSystem* fs, Done* done) {
  for (const float value : {1.0f, 2.0f}) {
    PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Reserve(kPath, done->classes + 2, fs));
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(fs)));
    PROTOPAGE_RETURN_IF_ERROR(store->AppendRows(NewRows(value)));
    PROTOPAGE_RETURN_IF_ERROR(store->AddAppended());
    done->classes += 2;
  }
  if (!done->dropped) {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(fs)));
    PROTOPAGE_RETURN_IF_ERROR(store->Drop(kDropped));
    done->dropped = true;
  }
  PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Merge(kPath, /*into=*/0, {2}, fs));
  done->merged = true;
  return absl::OkStatus();
}

TEST(ClassChangesTest, NoMomentOfAPowerLossHurtsAStore) {
  int64_t crashes = 0, between = 0, before_merge = 0;
  std::vector<CrashFileSystem::Loss> losses(16, CrashFileSystem::kMix);
  losses[0] = CrashFileSystem::kDropAll;
  losses[1] = CrashFileSystem::kKeepAll;
  losses[2] = CrashFileSystem::kKeepNewest;
  for (size_t trial = 0; trial < losses.size(); ++trial) {
    const CrashFileSystem::Loss loss = losses[trial];
    bool crashed = true;
    for (int64_t event = 1; crashed; ++event) {
      SCOPED_TRACE(absl::StrCat("loss ", loss, ", trial ", trial, ", event ", event));
      CrashFileSystem fs;
      RowMatrixXf old(kClasses, kDim);
      {
        PrototypeStoreSpec spec;
        spec.num_classes = kClasses;
        spec.capacity = kClasses + 2;
        spec.dim = kDim;
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                       PrototypeStore::Create(kPath, spec, Options(&fs)));
        PROTOPAGE_ASSERT_OK(store->WriteRange(0, NewRows(9)));
        PROTOPAGE_ASSERT_OK(store->Flush());
        PROTOPAGE_ASSERT_OK(store->ReadRange(0, old));
      }
      Done done;
      fs.CrashAt(event, /*write_every=*/3);
      const absl::Status status = Change(&fs, &done);
      crashed = fs.crashed();
      EXPECT_EQ(status.ok(), !crashed) << status;
      fs.Restart(loss, /*seed=*/1000 * trial + event);
      {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(kPath, Options(&fs)));
        EXPECT_TRUE(store->clean_when_opened());
        const int64_t classes = store->num_classes();
        ASSERT_TRUE(classes == done.classes || (crashed && classes == done.classes + 2)) << classes;
        const bool dropped = store->is_dropped(3), merged = store->is_dropped(2);
        EXPECT_EQ(store->num_dropped(), (dropped ? 3 : 0) + (merged ? 1 : 0));
        for (const ClassId id : kDropped) EXPECT_EQ(store->is_dropped(id), dropped) << id;
        EXPECT_GE(dropped, done.dropped);
        EXPECT_GE(merged, done.merged);
        RowMatrixXf rows(classes, kDim);
        PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
        if (dropped) {
          EXPECT_EQ(classes, kClasses + 4);
          for (const ClassId id : kDropped) old.row(id).setZero();
        }
        if (merged) {
          EXPECT_TRUE(dropped);
          const Eigen::RowVectorXf mean =
              (old.row(0).normalized() + old.row(2).normalized()).normalized();
          EXPECT_LT((rows.row(0) - mean).norm(), 1e-6f);
          old.row(0) = rows.row(0);
          old.row(2).setZero();
        }
        EXPECT_EQ(rows.topRows(kClasses), old);
        before_merge += dropped && !merged ? 1 : 0;
        for (int64_t first = kClasses; first < classes; first += 2) {
          EXPECT_EQ(rows.middleRows(first, 2), NewRows(first == kClasses ? 1 : 2));
        }
        between += classes == kClasses + 2 ? 1 : 0;
        crashes += crashed ? 1 : 0;
        done = {classes, dropped, merged};
      }
      // The remaining changes succeed.
      if (done.merged) continue;
      const int64_t classes = done.classes;
      PROTOPAGE_EXPECT_OK(Change(&fs, &done));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(kPath, Options(&fs)));
      EXPECT_EQ(store->num_classes(), classes + 4);
      EXPECT_TRUE(store->clean_when_opened());
    }
  }
  EXPECT_GT(crashes, 100);
  EXPECT_GT(between, 10);
  EXPECT_GT(before_merge, 10);
}

}  // namespace
}  // namespace protopage
