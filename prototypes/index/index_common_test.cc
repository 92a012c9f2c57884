#include "protopage/prototypes/index/index_common.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "protopage/base/status_matchers.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

TEST(CheckUpdateTest, GivesTheOrderOfTheIdsAndNamesWhatIsWrong) {
  RowMatrixXf rows = RowMatrixXf::Ones(3, 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> order,
                                 CheckUpdate({7, 2, 5}, rows, 8, 2));
  EXPECT_EQ(order, (std::vector<int64_t>{1, 2, 0}));
  EXPECT_THAT(CheckUpdate({7, 2}, rows, 8, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, "rows are [3, 2], expected [2, 2]"));
  EXPECT_THAT(CheckUpdate({7, 2, 8}, rows, 8, 2),
              StatusIs(absl::StatusCode::kOutOfRange, "id 8 at position 2"));
  EXPECT_THAT(CheckUpdate({7, 2, 7}, rows, 8, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, "id 7 is given twice"));
  rows(1, 0) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(CheckUpdate({7, 2, 5}, rows, 8, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, "the row of id 2"));
}

TEST(CheckSearchTest, NamesWhatIsWrong) {
  const RowMatrixXf queries = RowMatrixXf::Ones(3, 2);
  PROTOPAGE_EXPECT_OK(CheckSearch(queries, 1, {}, 2));
  EXPECT_THAT(CheckSearch(queries, 0, {}, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, "k is 0"));
  EXPECT_THAT(CheckSearch(queries, 1, {}, 3),
              StatusIs(absl::StatusCode::kInvalidArgument, "queries of dim 2"));
  EXPECT_THAT(CheckSearch(queries, 1, {4}, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 classes to exclude for 3 queries"));
}

TEST(ReadIndexShapeTest, NeedsBothSizes) {
  Hdf5Layout layout;
  layout.integers["num_classes"] = 5;
  EXPECT_THAT(ReadIndexShape("index.bin", layout),
              StatusIs(absl::StatusCode::kDataLoss, "index.bin: attribute 'dim' is missing"));
  layout.integers["dim"] = 0;
  EXPECT_THAT(ReadIndexShape("index.bin", layout),
              StatusIs(absl::StatusCode::kDataLoss, "attribute 'dim' is 0"));
  layout.integers["dim"] = 3;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const IndexShape shape, ReadIndexShape("index.bin", layout));
  EXPECT_EQ(shape.num_classes, 5);
  EXPECT_EQ(shape.dim, 3);
}

TEST(ReadRunsTest, ReadsNeighbouringIdsTogether) {
  std::vector<std::pair<ClassId, int64_t>> reads;
  RowMatrixXf rows(5, 1);
  PROTOPAGE_ASSERT_OK(ReadRuns(
      {2, 3, 4, 7, 9},
      [&](ClassId first, RowMatrixRef out) {
        reads.emplace_back(first, out.rows());
        for (int64_t i = 0; i < out.rows(); ++i) out(i, 0) = static_cast<float>(first + i);
        return absl::OkStatus();
      },
      rows));
  EXPECT_EQ(reads, (std::vector<std::pair<ClassId, int64_t>>{{2, 3}, {7, 1}, {9, 1}}));
  const std::vector<float> found(rows.data(), rows.data() + 5);
  EXPECT_EQ(found, (std::vector<float>{2, 3, 4, 7, 9}));
}

}  // namespace
}  // namespace protopage
