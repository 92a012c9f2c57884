#include "protopage/prototypes/index/class_index_factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

// Stands for a PrototypeStore.
class Rows {
 public:
  Rows(int64_t num_classes, int64_t dim) : rows_(num_classes, dim) {
    MixtureRows(num_classes, dim, 1).Read(0, rows_);
  }
  int64_t num_classes() const { return rows_.rows(); }
  int64_t dim() const { return rows_.cols(); }
  absl::Status ReadRange(ClassId first, RowMatrixRef rows) const {
    rows = rows_.middleRows(first, rows.rows());
    return absl::OkStatus();
  }
  const RowMatrixXf& matrix() const { return rows_; }

 private:
  RowMatrixXf rows_;
};

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/class_index_factory_test_", getpid(), "_", name);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> MakeIndex(const Rows& source, const std::string& path) {
  const Rows* store = &source;
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto index, BuildClassIndex(store->num_classes(), store->dim(), {.index_bytes = 1 << 30},
                                  &pool, [&](ClassId first, RowMatrixRef rows) {
                                    return store->ReadRange(first, rows);
                                  }));
  PROTOPAGE_RETURN_IF_ERROR(index->Save(DefaultFileSystem(), path));
  PROTOPAGE_ASSIGN_OR_RETURN(index, LoadClassIndex(DefaultFileSystem(), path, {}));
  return index;
}

TEST(ClassIndexFactoryTest, TheExampleOfTheHeader) {
  const Rows rows(500, 16);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, MakeIndex(rows, TempPath("example")));
  EXPECT_EQ(index->num_classes(), 500);
  EXPECT_EQ(index->dim(), 16);
  EXPECT_EQ(index->stats().kind, "flat");
}

// The third nearest of query q.
absl::StatusOr<ClassId> Third(ClassIndex* index, const RowMatrixXf& queries,
                              const std::vector<ClassId>& own_ids, int64_t q,
                              const std::vector<ClassId>& ids, const RowMatrixXf& new_rows) {
  ThreadPool pool(2);
  NearestClasses nearest;
  PROTOPAGE_RETURN_IF_ERROR(index->Search(queries, 50, own_ids, &pool, &nearest));
  const ClassId third = nearest.ids[q * 50 + 2];  // Of query q; likewise nearest.scores.
  PROTOPAGE_RETURN_IF_ERROR(index->Update(ids, new_rows, &pool).status());
  return third;
}

TEST(ClassIndexTest, TheExampleOfTheHeader) {
  const Rows rows(500, 16);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, MakeIndex(rows, TempPath("interface")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const ClassId third,
      Third(index.get(), rows.matrix().topRows(4), {0, 1, 2, 3}, 3, {7}, -rows.matrix().row(7)));
  EXPECT_NE(third, 3);
  EXPECT_EQ(index->num_changed(), 1);
}

TEST(LoadClassIndexTest, NamesWhatItCannotRead) {
  const std::string path = TempPath("other");
  EXPECT_THAT(LoadClassIndex(DefaultFileSystem(), path, {}),
              StatusIs(absl::StatusCode::kNotFound, path));
  const Rows rows(50, 8);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto index, MakeIndex(rows, TempPath("whole")));
  PROTOPAGE_ASSERT_OK(index->SaveChanges(DefaultFileSystem(), path));
  EXPECT_THAT(
      LoadClassIndex(DefaultFileSystem(), path, {}),
      StatusIs(absl::StatusCode::kDataLoss, "'class_index_changes', expected 'class_index'"));
}

TEST(PlanClassIndexTest, TheKindFollowsFromClassesAndBytes) {
  ClassIndexOptions options;
  const auto kind = [&](int64_t n, int64_t dim, int64_t bytes) {
    options.index_bytes = bytes;
    const auto plan = PlanClassIndex(n, dim, options);
    if (!plan.ok()) return absl::StrCat("error ", plan.status().message());
    EXPECT_LE(plan->bytes, bytes);
    return absl::StrCat(plan->kind, " ", plan->code_bytes);
  };
  constexpr int64_t kMiB = int64_t{1} << 20;
  EXPECT_EQ(kind(65536, 512, 256 * kMiB), "flat 2048");
  EXPECT_EQ(kind(65537, 512, 256 * kMiB), "ivf_sq8 516");
  EXPECT_EQ(kind(50000, 512, 64 * kMiB), "ivf_sq8 516");
  EXPECT_EQ(kind(1000000, 512, 256 * kMiB), "ivf_pq 128");
  EXPECT_EQ(kind(1000000, 512, 1024 * kMiB), "ivf_sq8 516");
  EXPECT_EQ(kind(10000000, 512, 512 * kMiB), "ivf_pq 32");
  EXPECT_THAT(kind(10000000, 512, 256 * kMiB),
              testing::AllOf(testing::HasSubstr("ivf_pq with"),
                             testing::HasSubstr("codes of 16 bytes, the shortest there are"),
                             testing::HasSubstr("index_bytes allows 268435456"),
                             testing::HasSubstr("raise prototypes.index_bytes")));
  options.kind = "ivf_sq8";
  EXPECT_THAT(kind(1000000, 512, 256 * kMiB),
              testing::HasSubstr("or set prototypes.index to ivf_pq"));
  options.kind = "flat";
  EXPECT_THAT(kind(1000000, 512, 256 * kMiB), testing::HasSubstr("takes 2048000000 bytes"));
  EXPECT_EQ(kind(100000, 512, 256 * kMiB), "flat 2048");
  options.kind = "hnsw";
  EXPECT_THAT(kind(100000, 512, 256 * kMiB),
              testing::HasSubstr("'hnsw'; allowed are auto, flat, ivf_sq8, ivf_pq"));
  options.kind = "ivf_pq";
  EXPECT_THAT(kind(100000, 37, 256 * kMiB), testing::HasSubstr("divides the dim"));
}

TEST(PlanClassIndexTest, RefusesAnIndexOfNothing) {
  EXPECT_THAT(PlanClassIndex(0, 8, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "0 classes of dim 8"));
}

}  // namespace
}  // namespace protopage
