#include "protopage/prototypes/index/flat_index.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/flat_index_test_", getpid(), "_", name);
}

// Unit rows around 40 centers; every tenth is a copy of the one before, so that scores tie.
RowMatrixXf ClusteredRows(int64_t classes, int64_t dim, uint64_t seed) {
  RowMatrixXf centers(40, dim), rows(classes, dim);
  for (int64_t c = 0; c < 40; ++c) {
    InitialPrototype(seed, 1000000 + c, absl::MakeSpan(centers.row(c).data(), dim));
  }
  for (int64_t i = 0; i < classes; ++i) {
    InitialPrototype(seed, i, absl::MakeSpan(rows.row(i).data(), dim));
    rows.row(i) = (centers.row(i % 40) + 0.5f * rows.row(i)).normalized();
    if (i % 10 == 9) rows.row(i) = rows.row(i - 1);
  }
  return rows;
}

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildFrom(const RowMatrixXf& rows, ThreadPool* pool,
                                                      const ClassIndexOptions& options = {}) {
  return BuildClassIndex(rows.rows(), rows.cols(), options, pool,
                         [&](ClassId first, RowMatrixRef block) {
                           block = rows.middleRows(first, block.rows());
                           return absl::OkStatus();
                         });
}

// By sorting all classes.
void PlainSearch(const RowMatrixXf& rows, const float* query, int64_t k, ClassId exclude,
                 std::vector<ClassId>* ids) {
  std::vector<float> scores(rows.rows());
  for (int64_t i = 0; i < rows.rows(); ++i) {
    scores[i] = FixedOrderDot(query, rows.row(i).data(), rows.cols());
  }
  ids->resize(rows.rows());
  std::iota(ids->begin(), ids->end(), 0);
  std::sort(ids->begin(), ids->end(), [&](ClassId a, ClassId b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  ids->erase(std::remove(ids->begin(), ids->end(), exclude), ids->end());
  ids->resize(std::min<size_t>(k, ids->size()));
  ids->resize(k, kNoClass);
}

TEST(FlatIndexTest, FindsExactlyTheNearestWhateverTheCallAndTheThreads) {
  constexpr int64_t kClasses = 5000, kK = 20;
  const RowMatrixXf rows = ClusteredRows(kClasses, 64, 1);
  ThreadPool one(1), three(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &three));
  RowMatrixXf queries = rows.middleRows(100, 50);
  std::vector<ClassId> exclude(50);
  std::iota(exclude.begin(), exclude.end(), 100);
  NearestClasses all, some;
  PROTOPAGE_ASSERT_OK(index->Search(queries, kK, exclude, &three, &all));
  for (int64_t q = 0; q < 50; ++q) {
    std::vector<ClassId> want;
    PlainSearch(rows, queries.row(q).data(), kK, exclude[q], &want);
    EXPECT_EQ(std::vector<ClassId>(all.ids.begin() + q * kK, all.ids.begin() + (q + 1) * kK), want)
        << q;
  }
  // One query at a time (FAISS takes another path), the same bits.
  for (int64_t q = 0; q < 50; ++q) {
    PROTOPAGE_ASSERT_OK(index->Search(queries.middleRows(q, 1), kK, {exclude[q]}, &one, &some));
    for (int64_t j = 0; j < kK; ++j) {
      EXPECT_EQ(some.ids[j], all.ids[q * kK + j]);
      EXPECT_EQ(some.scores[j], all.scores[q * kK + j]);
    }
  }
}

TEST(FlatIndexTest, TiesBeyondWhatIsFetchedAreStillOrderedById) {
  // 300 equal rows: the k smallest ids win, though FAISS may fetch any of them first.
  RowMatrixXf rows = ClusteredRows(1000, 32, 2);
  for (int64_t i = 500; i < 800; ++i) rows.row(i) = rows.row(500);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool));
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(500), 5, {500}, &pool, &nearest));
  EXPECT_EQ(nearest.ids, (std::vector<ClassId>{501, 502, 503, 504, 505}));
}

// The most memory that the process has used, in bytes.
int64_t PeakBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} << 10;
}

TEST(FlatIndexTest, MassTiesTakeNoMemoryForEveryClass) {
  constexpr int64_t kClasses = 66000, kDim = 8, kQueries = 64, kK = 5;
  ThreadPool pool(2);
  ClassIndexOptions options;
  options.kind = "flat";
  for (const float value : {0.25f, 0.0f}) {
    RowMatrixXf rows = RowMatrixXf::Constant(kClasses, kDim, value);
    rows.row(40000).setConstant(0.5f);  // The nearest to all, of the second shard.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
    const RowMatrixXf queries = RowMatrixXf::Ones(kQueries, kDim);
    std::vector<ClassId> exclude(kQueries);
    std::iota(exclude.begin(), exclude.end(), 0);
    const int64_t before = PeakBytes();
    NearestClasses nearest;
    PROTOPAGE_ASSERT_OK(index->Search(queries, kK, exclude, &pool, &nearest));
    // A score and an id of each class and query would be 50 MB.
    EXPECT_LT(PeakBytes() - before, 16 << 20) << value;
    for (int64_t q = 0; q < kQueries; ++q) {
      std::vector<ClassId> want;
      PlainSearch(rows, queries.row(q).data(), kK, exclude[q], &want);
      EXPECT_EQ(
          std::vector<ClassId>(nearest.ids.begin() + q * kK, nearest.ids.begin() + (q + 1) * kK),
          want);
      EXPECT_EQ(nearest.scores[q * kK], 4);
      EXPECT_EQ(nearest.scores[q * kK + 1], 8 * value);
    }
  }
}

TEST(FlatIndexTest, FewerClassesThanAskedFor) {
  const RowMatrixXf rows = ClusteredRows(4, 16, 3);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool));
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(2), 5, {2}, &pool, &nearest));
  std::vector<ClassId> want;
  PlainSearch(rows, rows.row(2).data(), 5, 2, &want);
  EXPECT_EQ(nearest.ids, want);
  EXPECT_EQ(nearest.ids[3], kNoClass);
  EXPECT_EQ(nearest.scores[4], -std::numeric_limits<float>::infinity());
  PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(0), 5, {}, &pool, &nearest));
  EXPECT_TRUE(nearest.ids.empty());
}

TEST(FlatIndexTest, RowsAreReencodedOnlyWhenTheyMoved) {
  const RowMatrixXf rows = ClusteredRows(100, 32, 4);
  ThreadPool pool(2);
  ClassIndexOptions options;
  options.reencode_below = 0.99f;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  RowMatrixXf moved(2, 32);
  moved.row(0) = (rows.row(7) + 0.05f * rows.row(1)).normalized();  // A cosine of .998 or more.
  moved.row(1) = -rows.row(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t count, index->Update({7, 3}, moved, &pool));
  EXPECT_EQ(count, 1);
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(moved.row(1), 1, {}, &pool, &nearest));
  EXPECT_EQ(nearest.ids[0], 3);
  EXPECT_EQ(nearest.scores[0], FixedOrderDot(moved.row(1).data(), moved.row(1).data(), 32));
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(7), 1, {}, &pool, &nearest));
  EXPECT_EQ(nearest.scores[0], FixedOrderDot(rows.row(7).data(), rows.row(7).data(), 32));
  EXPECT_EQ(index->stats().rows_reencoded, 1);
  EXPECT_EQ(index->stats().rows_kept, 1);
  EXPECT_THAT(index->Update({3, 3}, moved, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "id 3 is given twice"));
  EXPECT_THAT(index->Update({3, 100}, moved, &pool),
              StatusIs(absl::StatusCode::kOutOfRange, "id 100 at position 1"));
}

TEST(FlatIndexTest, AFileOfChangesBringsASavedIndexUpToDate) {
  const RowMatrixXf rows = ClusteredRows(3000, 24, 5);
  ThreadPool pool(2);
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("whole"), changes = TempPath("changes");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool));
  PROTOPAGE_ASSERT_OK(index->Save(fs, path));
  PROTOPAGE_ASSERT_OK(index->Update({17, 2999}, -rows.topRows(2), &pool).status());
  EXPECT_EQ(index->num_changed(), 2);
  PROTOPAGE_ASSERT_OK(index->SaveChanges(fs, changes));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loaded, LoadClassIndex(fs, path, {}));
  NearestClasses a, b;
  const RowMatrixXf queries = -rows.topRows(30);
  PROTOPAGE_ASSERT_OK(index->Search(queries, 10, {}, &pool, &a));
  PROTOPAGE_ASSERT_OK(loaded->Search(queries, 10, {}, &pool, &b));
  EXPECT_NE(a.ids, b.ids);
  PROTOPAGE_ASSERT_OK(loaded->LoadChanges(fs, changes));
  PROTOPAGE_ASSERT_OK(loaded->Search(queries, 10, {}, &pool, &b));
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.scores, b.scores);
  EXPECT_EQ(loaded->num_changed(), 2);
}

TEST(FlatIndexTest, ASavedIndexIsTheSame) {
  const RowMatrixXf rows = ClusteredRows(3000, 24, 5);
  ThreadPool pool(2);
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("saved");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool));
  PROTOPAGE_ASSERT_OK(index->Update({17}, -rows.row(17), &pool).status());
  PROTOPAGE_ASSERT_OK(index->Save(fs, path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loaded, LoadClassIndex(fs, path, {}));
  NearestClasses a, b;
  PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(30), 10, {}, &pool, &a));
  PROTOPAGE_ASSERT_OK(loaded->Search(rows.topRows(30), 10, {}, &pool, &b));
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.scores, b.scores);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kReadWrite));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
    PROTOPAGE_ASSERT_OK(file->WriteAt(layout.Find("rows")->offset + 2000 * 24 * 4, "x", 1));
  }
  EXPECT_THAT(LoadClassIndex(fs, path, {}),
              StatusIs(absl::StatusCode::kDataLoss, "the rows from 1024 on"));
}

TEST(FlatIndexTest, RefusesWhatDoesNotFitOrIsNotFinite) {
  RowMatrixXf rows = ClusteredRows(100, 32, 6);
  ThreadPool pool(1);
  ClassIndexOptions options;
  options.index_bytes = 12799;
  EXPECT_THAT(BuildFrom(rows, &pool, options),
              StatusIs(absl::StatusCode::kResourceExhausted, "takes 12800 bytes"));
  rows(50, 3) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(BuildFrom(rows, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "the row of class 50 is not finite"));
}

}  // namespace
}  // namespace protopage
