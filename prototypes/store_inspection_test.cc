#include "protopage/prototypes/store_inspection.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 16;

class StoreInspectionTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/store_inspection_test_", getpid());
    std::filesystem::remove_all(dir_);
    PROTOPAGE_ASSERT_OK(DefaultFileSystem()->CreateDirectories(dir_));
  }

  std::string Path() const { return dir_ + "/w.h5"; }

  void Create(int64_t num_classes, PrototypeStoreOptions options = {}) {
    PrototypeStoreSpec spec;
    spec.num_classes = num_classes;
    spec.capacity = num_classes + 10;
    spec.dim = kDim;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(store_, PrototypeStore::Create(Path(), spec, options));
  }
  // Rows of norm 1 that are far from each other, as a training step writes them.
  void Train(const std::vector<ClassId>& ids, int64_t step) {
    StepRows rows;
    PROTOPAGE_ASSERT_OK(store_->GatherStep(ids, &rows));
    for (size_t i = 0; i < ids.size(); ++i) rows.rows.row(i) = Unit(ids[i]);
    PROTOPAGE_ASSERT_OK(store_->ScatterStep(ids, rows, step));
  }
  static RowMatrixXf Unit(ClassId id) {
    RowMatrixXf row(1, kDim);
    InitialPrototype(77, id, absl::MakeSpan(row.data(), kDim));
    return row;
  }
  // The row of `to`, turned so that it has this cosine to that of `from`.
  RowMatrixXf Near(ClassId from, float cosine) {
    const RowMatrixXf a = Unit(from);
    RowMatrixXf b = Unit(from + 100000);
    b -= a * a.row(0).dot(b.row(0));
    b /= b.norm();
    return a * cosine + b * std::sqrt(1 - cosine * cosine);
  }
  absl::StatusOr<StoreInspection> Inspect(const StoreInspectionOptions& options = {}) {
    return InspectStore(store_.get(), options, &pool_);
  }

  std::string dir_;
  ThreadPool pool_{2};
  std::unique_ptr<PrototypeStore> store_;
};

absl::Status Example(const std::unique_ptr<PrototypeStore>& store) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(const StoreInspection found, InspectStore(store.get(), {}, &pool));
  std::cout << found.never_written << " of " << found.num_classes << " were never written\n";
  for (const ClassPair& pair : found.pairs) {
    std::cout << pair.a << " and " << pair.b << ": cosine " << pair.cosine << "\n";
  }
  return absl::OkStatus();
}

TEST_F(StoreInspectionTest, TheExampleOfTheHeader) {
  Create(50);
  Train({1, 2, 3}, 9);
  PROTOPAGE_EXPECT_OK(Example(store_));
}

TEST_F(StoreInspectionTest, TellsWhatTheClassesAreAndWhichAreAlike) {
  Create(10000);
  std::vector<ClassId> trained;
  for (ClassId id = 0; id < 500; ++id) trained.push_back(id * 20);
  Train(trained, 1000);
  // Of 400 classes the newest step is another.
  for (int64_t i = 0; i < 4; ++i) {
    Train({trained.begin() + i * 100, trained.begin() + i * 100 + 100}, 1100 + i * 300);
  }
  // Imprinted, and in another block than what it is like.
  PROTOPAGE_ASSERT_OK(store_->WriteRange(9001, Near(20, 0.99f)));
  PROTOPAGE_ASSERT_OK(store_->WriteRange(41, 3 * Near(40, 0.97f)));  // Of norm 3.
  PROTOPAGE_ASSERT_OK(store_->WriteRange(7, 0.5 * Unit(60)));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect());
  EXPECT_EQ(found.path, Path());
  EXPECT_EQ(found.format_version, 2);
  EXPECT_EQ(found.num_classes, 10000);
  EXPECT_EQ(found.capacity, 10010);
  EXPECT_EQ(found.dim, kDim);
  EXPECT_EQ(found.dtype, "float32");
  EXPECT_EQ(found.row_state, "momentum");
  EXPECT_TRUE(found.clean);
  EXPECT_EQ(found.main_checkpoint, -1);
  EXPECT_GE(found.file_bytes, 10010 * kDim * 4 * 2);
  EXPECT_EQ(found.dropped, 0);
  EXPECT_EQ(found.never_written, 10000 - 503);
  EXPECT_EQ(found.imprinted, 3);
  EXPECT_EQ(found.trained, 500);
  // Ages 0, 300, 600, 900 of 100 classes each, and 1000 of the last 100.
  EXPECT_EQ(found.newest_step, 2000);
  EXPECT_EQ(found.age_median, 600);
  EXPECT_EQ(found.age_p90, 1000);
  EXPECT_EQ(found.age_p99, 1000);
  EXPECT_EQ(found.age_max, 1000);
  EXPECT_NEAR(found.norm_min, 0.5, 1e-6);
  EXPECT_NEAR(found.norm_max, 3, 1e-5);
  EXPECT_NEAR(found.norm_mean, (501 + 3 + 0.5) / 503, 1e-5);
  EXPECT_TRUE(found.pairs_complete);
  EXPECT_EQ(found.pair_classes, 503);
  ASSERT_EQ(found.pairs.size(), 20u);
  EXPECT_EQ(found.pairs[0].a, 7);
  EXPECT_EQ(found.pairs[0].b, 60);
  EXPECT_NEAR(found.pairs[0].cosine, 1, 1e-6);
  EXPECT_EQ(found.pairs[1].a, 20);
  EXPECT_EQ(found.pairs[1].b, 9001);
  EXPECT_NEAR(found.pairs[1].cosine, 0.99, 1e-6);
  EXPECT_EQ(found.pairs[2].a, 40);
  EXPECT_EQ(found.pairs[2].b, 41);
  EXPECT_NEAR(found.pairs[2].cosine, 0.97, 1e-6);
}

TEST_F(StoreInspectionTest, PairsAreThoseOfAPlainSearch) {
  constexpr int64_t kClasses = 300;
  Create(kClasses);
  RowMatrixXf rows(kClasses, kDim);
  for (ClassId id = 0; id < kClasses; ++id) rows.row(id) = Unit(id / 3 + 1000 * (id % 2));
  PROTOPAGE_ASSERT_OK(store_->WriteRange(0, rows));
  std::vector<ClassPair> want;
  for (ClassId a = 0; a < kClasses; ++a) {
    for (ClassId b = a + 1; b < kClasses; ++b) want.push_back({a, b, rows.row(a).dot(rows.row(b))});
  }
  // Equal rows make many pairs of one cosine, up to its rounding.
  std::sort(want.begin(), want.end(),
            [](const ClassPair& x, const ClassPair& y) { return x.cosine > y.cosine; });
  for (const int64_t pairs : {1, 30, 200}) {
    StoreInspectionOptions options;
    options.pairs = pairs;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect(options));
    ASSERT_EQ(found.pairs.size(), static_cast<size_t>(pairs));
    for (int64_t i = 0; i < pairs; ++i) {
      EXPECT_LT(found.pairs[i].a, found.pairs[i].b);
      EXPECT_NEAR(found.pairs[i].cosine, want[i].cosine, 1e-5);
      EXPECT_NEAR(rows.row(found.pairs[i].a).dot(rows.row(found.pairs[i].b)), found.pairs[i].cosine,
                  1e-5);
    }
  }
}

TEST_F(StoreInspectionTest, ManyClassesAreSampled) {
  Create(20000);  // Most blocks hold none that is sampled.
  for (ClassId first = 0; first < 2000; first += 500) {
    std::vector<ClassId> ids;
    for (ClassId id = first; id < first + 500; ++id) ids.push_back(id);
    Train(ids, 5);
  }
  RowMatrixXf copies(1000, kDim);
  for (ClassId id = 0; id < 1000; ++id) copies.row(id) = Unit(id);
  PROTOPAGE_ASSERT_OK(store_->WriteRange(1000, copies));
  PROTOPAGE_ASSERT_OK(store_->WriteRange(9000, Near(3, 0.1f)));
  PROTOPAGE_ASSERT_OK(store_->WriteRange(19000, Near(4, 0.1f)));
  StoreInspectionOptions options;
  options.max_products = 20000 * 100;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect(options));
  EXPECT_FALSE(found.pairs_complete);
  EXPECT_EQ(found.pair_classes, 100);
  // Each class that was looked up has a copy.
  ASSERT_EQ(found.pairs.size(), 20u);
  for (const ClassPair& pair : found.pairs) EXPECT_EQ(pair.b, pair.a + 1000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection again, Inspect(options));
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(again.pairs[i].a, found.pairs[i].a);
}

TEST_F(StoreInspectionTest, DroppedClassesCountForNothingElse) {
  Create(50);
  Train({1, 2, 3}, 9);
  PROTOPAGE_ASSERT_OK(store_->WriteRange(4, Unit(1)));
  PROTOPAGE_ASSERT_OK(store_->Drop({4, 20}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect());
  EXPECT_EQ(found.dropped, 2);
  EXPECT_EQ(found.trained, 3);
  EXPECT_EQ(found.imprinted, 0);
  EXPECT_EQ(found.never_written, 45);
  for (const ClassPair& pair : found.pairs) EXPECT_LT(pair.cosine, 0.9);
}

TEST_F(StoreInspectionTest, WhatIsInTheLogCounts) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto log,
                                 TableLog::Create(DefaultFileSystem(), dir_ + "/log", {}));
  PrototypeStoreOptions options;
  options.log = log.get();
  Create(50, options);
  Train({1, 2}, 3);
  PROTOPAGE_ASSERT_OK(store_->Flush());
  PROTOPAGE_ASSERT_OK(log->Commit(1));
  Train({2, 3}, 7);
  PROTOPAGE_ASSERT_OK(store_->Flush());
  PROTOPAGE_ASSERT_OK(log->Commit(2));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect());
  EXPECT_EQ(found.main_checkpoint, 1);
  EXPECT_EQ(found.trained, 3);
  EXPECT_EQ(found.newest_step, 7);
  EXPECT_EQ(found.age_max, 4);
  PROTOPAGE_ASSERT_OK(store_->ResetState());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection reset, Inspect());
  EXPECT_EQ(reset.trained, 0);
  EXPECT_EQ(reset.imprinted, 3);
  EXPECT_EQ(reset.newest_step, -1);
  store_.reset();
  // The file alone is older.
  options = {};
  options.read_only = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store_, PrototypeStore::Open(Path(), options));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection main, Inspect());
  EXPECT_EQ(main.trained, 2);
  EXPECT_EQ(main.newest_step, 3);
}

TEST_F(StoreInspectionTest, AnEmptyStoreIsAllHoles) {
  Create(1000000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoreInspection found, Inspect());
  EXPECT_EQ(found.never_written, 1000000);
  EXPECT_GT(found.file_bytes, int64_t{1000000} * kDim * 4);
  EXPECT_LT(found.allocated_bytes, 1 << 20);
  EXPECT_TRUE(found.pairs.empty());
  EXPECT_TRUE(found.pairs_complete);
  EXPECT_EQ(found.norm_max, 0);
}

TEST_F(StoreInspectionTest, RefusesBadOptionsAndDamage) {
  Create(50);
  StoreInspectionOptions options;
  options.pairs = -1;
  EXPECT_THAT(Inspect(options), StatusIs(absl::StatusCode::kInvalidArgument, "-1 pairs"));
  Train({1}, 1);
  PROTOPAGE_ASSERT_OK(store_->Flush());
  store_.reset();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(Path(), OpenMode::kReadWrite));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), Path()));
  PROTOPAGE_ASSERT_OK(file->WriteAt(layout.Find("prototypes")->offset + kDim * 4, "x", 1));
  PrototypeStoreOptions store_options;
  store_options.read_only = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store_, PrototypeStore::Open(Path(), store_options));
  EXPECT_THAT(Inspect(), StatusIs(absl::StatusCode::kDataLoss, "row 1 of 'prototypes'"));
}

}  // namespace
}  // namespace protopage
