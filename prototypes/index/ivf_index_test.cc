#include "protopage/prototypes/index/ivf_index.h"

#include <gtest/gtest.h>
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
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/ivf_index_test_", getpid(), "_", name);
}

RowMatrixXf Rows(int64_t n, int64_t dim) {
  RowMatrixXf rows(n, dim);
  MixtureRows(n, dim, 7).Read(0, rows);
  return rows;
}

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildFrom(const RowMatrixXf& rows, ThreadPool* pool,
                                                      const ClassIndexOptions& options) {
  return BuildClassIndex(rows.rows(), rows.cols(), options, pool,
                         [&](ClassId first, RowMatrixRef block) {
                           block = rows.middleRows(first, block.rows());
                           return absl::OkStatus();
                         });
}

RowFetcher FetchFrom(const RowMatrixXf* rows) {
  return [rows](absl::Span<const ClassId> ids, RowMatrixRef out) {
    for (size_t i = 0; i < ids.size(); ++i) out.row(i) = rows->row(ids[i]);
    return absl::OkStatus();
  };
}

double Recall(const ClassIndex& index, const RowMatrixXf& rows, int64_t k,
              const RowFetcher& fetch) {
  ThreadPool pool(2);
  constexpr int64_t kQueries = 100;
  const int64_t stride = rows.rows() / kQueries;
  RowMatrixXf queries(kQueries, rows.cols());
  std::vector<ClassId> own;
  for (int64_t q = 0; q < kQueries; ++q) {
    own.push_back(q * stride);
    queries.row(q) = rows.row(own[q]);
  }
  ExactNeighbors exact(queries, k, own);
  exact.Add(0, rows, &pool);
  exact.Finish();
  NearestClasses nearest;
  PROTOPAGE_EXPECT_OK(index.Search(queries, k, own, fetch, &pool, &nearest));
  for (int64_t q = 0; q < kQueries; ++q) {
    for (int64_t j = 0; j < k; ++j) EXPECT_NE(nearest.ids[q * k + j], own[q]);
  }
  return RecallOf(exact, k, nearest.ids);
}

class IvfIndexTest : public testing::TestWithParam<std::string> {
 protected:
  ClassIndexOptions Options() const {
    ClassIndexOptions options;
    options.kind = GetParam();
    if (options.kind == "ivf_sq8") options.candidates = 1.5;  // By rows, which is not its default.
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, IvfIndexTest, testing::Values("ivf_sq8", "ivf_pq"),
                         [](const auto& info) { return info.param; });

TEST_P(IvfIndexTest, FindsTheNearestOfClusteredRows) {
  const RowMatrixXf rows = Rows(6000, 32);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, Options()));
  const ClassIndexStats stats = index->stats();
  EXPECT_EQ(stats.kind, GetParam());
  EXPECT_EQ(stats.lists, 309);  // 4 sqrt(6000)
  for (const int64_t k : {1, 5, 20}) {
    EXPECT_GE(Recall(*index, rows, k, FetchFrom(&rows)), 0.95) << k;
  }
  EXPECT_GE(Recall(*index, rows, 50, FetchFrom(&rows)), 0.95);
  EXPECT_GT(index->stats().rows_fetched, 0);
  // What Build says of itself, on its own sample.
  EXPECT_EQ(stats.recall_k, 50);
  EXPECT_NEAR(stats.recall, Recall(*index, rows, 50, FetchFrom(&rows)), 0.05);
  EXPECT_GE(Recall(*index, rows, 50, {}), GetParam() == "ivf_sq8" ? 0.93 : 0.7);
}

TEST(IvfIndexDefaults, EightBitCodesReadNoRows) {
  const RowMatrixXf rows = Rows(6000, 64);
  ThreadPool pool(2);
  ClassIndexOptions options;
  options.kind = "ivf_sq8";
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  const double recall = Recall(*index, rows, 50, FetchFrom(&rows));
  EXPECT_EQ(index->stats().rows_fetched, 0);
  EXPECT_GE(recall, 0.95);
  EXPECT_NEAR(index->stats().recall, recall, 0.05);
}

TEST_P(IvfIndexTest, RecallOfRowsWithoutStructureIsKnownToBeLow) {
  // Of the nearest of a random vector most lie in other lists than it.
  RowMatrixXf rows(3000, 32);
  for (int64_t i = 0; i < 3000; ++i) {
    InitialPrototype(1, i, absl::MakeSpan(rows.row(i).data(), 32));
  }
  ThreadPool pool(2);
  ClassIndexOptions options = Options();
  options.lists = 20;
  options.probes = 1;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  EXPECT_LT(Recall(*index, rows, 50, FetchFrom(&rows)), 0.6);
  EXPECT_LT(index->stats().recall, 0.6);
  // Left to itself, Build takes as many lists as are needed.
  options.probes = 0;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto better, BuildFrom(rows, &pool, options));
  EXPECT_GT(better->stats().probes, 8);
  EXPECT_GT(Recall(*better, rows, 50, FetchFrom(&rows)), 0.9);
}

TEST_P(IvfIndexTest, ProbesDoNotDependOnHowCoarseTheCodesAre) {
  const RowMatrixXf rows = Rows(6000, 32);
  ThreadPool pool(2);
  ClassIndexOptions options = Options();
  options.candidates = 1;  // So few that coarse codes miss the goal whatever is probed.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  options.kind = "ivf_sq8";
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto fine, BuildFrom(rows, &pool, options));
  EXPECT_EQ(index->stats().probes, fine->stats().probes);
}

TEST_P(IvfIndexTest, ScoresAreThoseOfTheRowsInOrder) {
  const RowMatrixXf rows = Rows(2000, 32);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, Options()));
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(20), 10, {}, FetchFrom(&rows), &pool, &nearest));
  for (int64_t q = 0; q < 20; ++q) {
    EXPECT_EQ(nearest.ids[q * 10], q);  // Nothing was excluded.
    for (int64_t j = 0; j < 10; ++j) {
      const float score = nearest.scores[q * 10 + j];
      EXPECT_EQ(score, FixedOrderDot(&rows(q, 0), &rows(nearest.ids[q * 10 + j], 0), 32));
      if (j > 0) {
        EXPECT_LE(score, nearest.scores[q * 10 + j - 1]);
      }
    }
  }
}

TEST_P(IvfIndexTest, TheSameBitsForAnyThreadsAndQueriesACall) {
  const RowMatrixXf rows = Rows(3000, 24);
  ThreadPool one(1), three(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto a, BuildFrom(rows, &one, Options()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto b, BuildFrom(rows, &three, Options()));
  RowMatrixXf moved = Rows(3000, 24).topRows(500).rowwise().reverse();
  std::vector<ClassId> ids(500);
  for (int64_t i = 0; i < 500; ++i) ids[i] = (i * 7) % 3000;
  PROTOPAGE_ASSERT_OK(a->Update(ids, moved, &one).status());
  PROTOPAGE_ASSERT_OK(b->Update(ids, moved, &three).status());
  std::vector<ClassId> own(300);
  std::iota(own.begin(), own.end(), 0);
  for (const RowFetcher& fetch : {RowFetcher(), FetchFrom(&rows)}) {
    NearestClasses all, other, some;
    PROTOPAGE_ASSERT_OK(a->Search(rows.topRows(300), 10, own, fetch, &one, &all));
    PROTOPAGE_ASSERT_OK(b->Search(rows.topRows(300), 10, own, fetch, &three, &other));
    EXPECT_EQ(all.ids, other.ids);
    EXPECT_EQ(all.scores, other.scores);
    for (int64_t q = 0; q < 300; q += 13) {
      PROTOPAGE_ASSERT_OK(b->Search(rows.row(q), 10, {own[q]}, fetch, &one, &some));
      EXPECT_TRUE(std::equal(some.ids.begin(), some.ids.end(), all.ids.begin() + q * 10)) << q;
      EXPECT_TRUE(std::equal(some.scores.begin(), some.scores.end(), all.scores.begin() + q * 10));
    }
  }
}

TEST_P(IvfIndexTest, AMovedRowIsFoundWhereItIsNow) {
  RowMatrixXf rows = Rows(3000, 32);
  ThreadPool pool(2);
  ClassIndexOptions options = Options();
  options.probes = 4;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  // 40 rows go to where class 2999 is, beyond doubt another list for most.
  std::vector<ClassId> ids;
  RowMatrixXf moved(40, 32);
  for (int64_t i = 0; i < 40; ++i) {
    ids.push_back(39 * 31 - i * 31);  // Not ascending.
    moved.row(i) = (rows.row(2999) + 0.001f * rows.row(ids[i])).normalized();
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t count, index->Update(ids, moved, &pool));
  EXPECT_EQ(count, 40);
  for (int64_t i = 0; i < 40; ++i) rows.row(ids[i]) = moved.row(i);
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(2999), 40, {2999}, FetchFrom(&rows), &pool, &nearest));
  std::sort(nearest.ids.begin(), nearest.ids.end());
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(nearest.ids, ids);
  EXPECT_EQ(index->stats().rows_reencoded, 40);
  // And back again to many lists.
  rows = Rows(3000, 32);
  for (int64_t i = 0; i < 40; ++i) moved.row(i) = rows.row(ids[i]);
  PROTOPAGE_ASSERT_OK(index->Update(ids, moved, &pool).status());
  PROTOPAGE_ASSERT_OK(index->Search(moved, 1, {}, FetchFrom(&rows), &pool, &nearest));
  EXPECT_EQ(nearest.ids, ids);
}

TEST_P(IvfIndexTest, OnlyRowsThatMovedAreReencoded) {
  const RowMatrixXf rows = Rows(2000, 64);
  ThreadPool pool(2);
  ClassIndexOptions options = Options();
  options.reencode_below = 0.99f;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  std::vector<ClassId> ids(2000);
  std::iota(ids.begin(), ids.end(), 0);
  // The same rows: none, however lossy their codes are.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(int64_t count, index->Update(ids, rows, &pool));
  EXPECT_EQ(count, 0);
  EXPECT_EQ(index->stats().rows_kept, 2000);
  // A cosine of .9999 to where they were, then of .95.
  const RowMatrixXf away = Rows(4000, 64).bottomRows(2000);
  for (const float cosine : {0.9999f, 0.95f}) {
    RowMatrixXf moved = rows;
    for (int64_t i = 0; i < 2000; ++i) {
      Eigen::RowVectorXf side = away.row(i) - away.row(i).dot(rows.row(i)) * rows.row(i);
      moved.row(i) = cosine * rows.row(i) + std::sqrt(1 - cosine * cosine) * side.normalized();
    }
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(count, index->Update(ids, moved, &pool));
    if (cosine > 0.99f) {
      EXPECT_LT(count, 100);
    } else {
      EXPECT_GT(count, 1900);
    }
  }
  // Above 1: always.
  options.reencode_below = 1.1f;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto eager, BuildFrom(rows, &pool, options));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(count, eager->Update({4, 2}, rows.topRows(2), &pool));
  EXPECT_EQ(count, 2);
  EXPECT_THAT(index->Update({3, 3}, rows.topRows(2), &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "id 3 is given twice"));
  EXPECT_THAT(index->Update({3, 2000}, rows.topRows(2), &pool),
              StatusIs(absl::StatusCode::kOutOfRange, "id 2000 at position 1"));
}

TEST_P(IvfIndexTest, AFileOfChangesBringsASavedIndexUpToDate) {
  const RowMatrixXf rows = Rows(2000, 32);
  ThreadPool pool(2);
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath(absl::StrCat(GetParam(), "_whole"));
  const std::string changes = TempPath(absl::StrCat(GetParam(), "_changes"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, Options()));
  EXPECT_EQ(index->num_changed(), 0);
  PROTOPAGE_ASSERT_OK(index->Update({5}, rows.row(900), &pool).status());
  PROTOPAGE_ASSERT_OK(index->Save(fs, path));
  EXPECT_EQ(index->num_changed(), 0);
  // Nothing changed, some, and some of these again with others.
  for (const int64_t first : {0, 300, 350}) {
    std::vector<ClassId> ids(100);
    std::iota(ids.begin(), ids.end(), first);
    if (first > 0) {
      PROTOPAGE_ASSERT_OK(index->Update(ids, rows.bottomRows(100), &pool).status());
    }
    EXPECT_EQ(index->num_changed(), first == 0 ? 0 : first == 300 ? 100 : 150);
    PROTOPAGE_ASSERT_OK(index->SaveChanges(fs, changes));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loaded, LoadClassIndex(fs, path, Options()));
    PROTOPAGE_ASSERT_OK(loaded->LoadChanges(fs, changes));
    EXPECT_EQ(loaded->num_changed(), index->num_changed());
    NearestClasses want, found;
    PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(50), 20, {}, FetchFrom(&rows), &pool, &want));
    PROTOPAGE_ASSERT_OK(loaded->Search(rows.topRows(50), 20, {}, FetchFrom(&rows), &pool, &found));
    EXPECT_EQ(found.ids, want.ids);
    EXPECT_EQ(found.scores, want.scores);
    // By the copies alone, which the rows do not correct.
    PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(50), 20, {}, {}, &pool, &want));
    PROTOPAGE_ASSERT_OK(loaded->Search(rows.topRows(50), 20, {}, {}, &pool, &found));
    EXPECT_EQ(found.ids, want.ids);
    EXPECT_EQ(found.scores, want.scores);
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(changes, OpenMode::kReadWrite));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), changes));
    PROTOPAGE_ASSERT_OK(file->WriteAt(layout.Find("copies")->offset + 70, "damage", 6));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loaded, LoadClassIndex(fs, path, Options()));
  EXPECT_THAT(loaded->LoadChanges(fs, changes),
              StatusIs(absl::StatusCode::kDataLoss, "do not match their checksum"));
  EXPECT_THAT(loaded->LoadChanges(fs, path),
              StatusIs(absl::StatusCode::kDataLoss, "expected 'class_index_changes'"));
}

TEST_P(IvfIndexTest, ASavedIndexIsTheSameAndDamageIsNamed) {
  const RowMatrixXf rows = Rows(2000, 32);
  ThreadPool pool(2);
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath(GetParam());
  const ClassIndexOptions options = Options();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  std::vector<ClassId> ids(100);
  std::iota(ids.begin(), ids.end(), 50);
  PROTOPAGE_ASSERT_OK(index->Update(ids, rows.bottomRows(100), &pool).status());
  PROTOPAGE_ASSERT_OK(index->Save(fs, path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loaded, LoadClassIndex(fs, path, options));
  EXPECT_EQ(loaded->stats().probes, index->stats().probes);
  EXPECT_NEAR(loaded->stats().recall, index->stats().recall, 1e-5);
  // They also stay the same.
  for (int round = 0; round < 2; ++round) {
    NearestClasses a, b;
    PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(200), 10, {}, &pool, &a));
    PROTOPAGE_ASSERT_OK(loaded->Search(rows.topRows(200), 10, {}, &pool, &b));
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.scores, b.scores);
    for (ClassIndex* each : {index.get(), loaded.get()}) {
      PROTOPAGE_ASSERT_OK(each->Update(ids, rows.middleRows(900, 100), &pool).status());
    }
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(fs, path));
  std::vector<std::string> names = {"groups",  "group_begin", "centroids",
                                    "list_of", "quality",     "codes"};
  if (GetParam() == "ivf_pq") names.push_back("codebook");
  for (const std::string& name : names) {
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kReadWrite));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
      const Hdf5Dataset* dataset = layout.Find(name);
      ASSERT_NE(dataset, nullptr);
      const int64_t at = dataset->offset + dataset->bytes() / 2;
      char byte;
      PROTOPAGE_ASSERT_OK(file->ReadAt(at, &byte, 1));
      byte = static_cast<char>(byte ^ 4);
      PROTOPAGE_ASSERT_OK(file->WriteAt(at, &byte, 1));
    }
    EXPECT_THAT(LoadClassIndex(fs, path, options),
                StatusIs(absl::StatusCode::kDataLoss, absl::StrCat("dataset '", name, "'")));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, good));
  }
  ClassIndexOptions small = options;
  small.index_bytes = 1000;
  EXPECT_THAT(LoadClassIndex(fs, path, small),
              StatusIs(absl::StatusCode::kResourceExhausted, "index_bytes allows 1000"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, good.substr(0, good.size() / 2)));
  EXPECT_THAT(LoadClassIndex(fs, path, options), StatusIs(absl::StatusCode::kDataLoss, path));
}

TEST_P(IvfIndexTest, FewRows) {
  ThreadPool pool(2);
  for (const int64_t n : {1, 2, 10, 60}) {
    const RowMatrixXf rows = Rows(n, 8);
    ClassIndexOptions options = Options();
    options.lists = std::max<int64_t>(1, n - 1);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
    NearestClasses nearest;
    PROTOPAGE_ASSERT_OK(index->Search(rows, n + 3, {}, FetchFrom(&rows), &pool, &nearest));
    for (int64_t q = 0; q < n; ++q) {
      // All are found, however few lists are scanned; then come empty places.
      std::vector<ClassId> ids(&nearest.ids[q * (n + 3)], &nearest.ids[q * (n + 3)] + n);
      std::sort(ids.begin(), ids.end());
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(ids[i], i);
      EXPECT_EQ(nearest.ids[q * (n + 3) + n], kNoClass);
      EXPECT_EQ(nearest.scores[q * (n + 3) + n + 2], -std::numeric_limits<float>::infinity());
    }
    PROTOPAGE_ASSERT_OK(index->Search(rows.topRows(1), 2, {0}, FetchFrom(&rows), &pool, &nearest));
    EXPECT_NE(nearest.ids[0], 0);
    options.lists = n + 1;
    EXPECT_THAT(BuildFrom(rows, &pool, options), StatusIs(absl::StatusCode::kInvalidArgument,
                                                          absl::StrCat(n + 1, " lists for ", n)));
  }
}

TEST_P(IvfIndexTest, OddRowsAndQueries) {
  // Equal rows, zero rows and rows of other norms are indexed; what is not finite is refused.
  RowMatrixXf rows = Rows(1500, 16);
  for (int64_t i = 100; i < 400; ++i) rows.row(i) = rows.row(100);
  for (int64_t i = 500; i < 520; ++i) rows.row(i).setZero();
  rows.row(600) *= 30;
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, Options()));
  NearestClasses nearest;
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(600), 1, {}, FetchFrom(&rows), &pool, &nearest));
  EXPECT_EQ(nearest.ids[0], 600);
  // Of equal rows the lowest ids come first.
  PROTOPAGE_ASSERT_OK(index->Search(rows.row(100), 5, {600}, FetchFrom(&rows), &pool, &nearest));
  EXPECT_EQ(nearest.ids, (std::vector<ClassId>{100, 101, 102, 103, 104}));
  RowMatrixXf query = rows.topRows(2);
  query(0, 3) = std::numeric_limits<float>::infinity();
  PROTOPAGE_ASSERT_OK(index->Search(query, 2, {}, FetchFrom(&rows), &pool, &nearest));
  EXPECT_EQ(nearest.ids[0], kNoClass);
  EXPECT_EQ(nearest.ids[2], 1);
  RowMatrixXf bad = rows.topRows(1);
  bad.setConstant(1e30f);  // Its norm overflows.
  EXPECT_THAT(index->Update({3}, bad, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "the row of id 3"));
  rows(1234, 3) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(BuildFrom(rows, &pool, Options()),
              StatusIs(absl::StatusCode::kInvalidArgument, "the row of class 1234 is not finite"));
}

TEST_P(IvfIndexTest, ErrorsOfReadersAndOfFetchersArePassedOn) {
  const RowMatrixXf rows = Rows(200, 8);
  ThreadPool pool(1);
  EXPECT_THAT(BuildClassIndex(200, 8, Options(), &pool,
                              [](ClassId, RowMatrixRef) { return absl::DataLossError("torn"); }),
              StatusIs(absl::StatusCode::kDataLoss, "torn"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, Options()));
  NearestClasses nearest;
  EXPECT_THAT(index->Search(
                  rows.topRows(1), 1, {},
                  [](absl::Span<const ClassId>, RowMatrixRef) {
                    return absl::DataLossError("row 5 is torn");
                  },
                  &pool, &nearest),
              StatusIs(absl::StatusCode::kDataLoss, "row 5 is torn"));
}

TEST_P(IvfIndexTest, MemoryIsWhatThePlanSays) {
  const RowMatrixXf rows = Rows(5000, 64);
  ThreadPool pool(2);
  ClassIndexOptions options = Options();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassIndexPlan plan, PlanClassIndex(5000, 64, options));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, BuildFrom(rows, &pool, options));
  EXPECT_NEAR(index->stats().bytes, plan.bytes, 0.03 * plan.bytes);
  EXPECT_LE(index->stats().bytes, options.index_bytes);
}

}  // namespace
}  // namespace protopage
