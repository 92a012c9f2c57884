#include "protopage/prototypes/table/table_blocks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kRows = 10'000;
constexpr int kWide = 0, kNarrow = 1;

// A file of `kRows` rows with a wide column, a narrow one of 8 bytes, and their checksums.
class TableBlocksTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path =
        absl::StrCat(testing::TempDir(), "/table_blocks_test_", getpid(), "_",
                     testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(file_, fs_.Open(path, OpenMode::kCreate));
    layout_.capacity = kRows;
    layout_.columns = {{0, 128}, {kRows * 128, 8}};
    layout_.checksums_offset = kRows * 136;
    PROTOPAGE_ASSERT_OK(file_->Truncate(kRows * 152));
  }

  absl::Status Write(TableBlocks* blocks, int64_t row, int64_t value) {
    return blocks->Update(row, [&](const TableBlocks::Row& r) {
      r.checksums[kNarrow] = value + 1;
      std::memcpy(r.Cell(kNarrow), &value, 8);
    });
  }
  // The value of each row, checked against its checksum; -1 where none was written.
  absl::StatusOr<std::vector<int64_t>> Read(TableBlocks* blocks, const std::vector<int64_t>& rows) {
    std::vector<int64_t> values(rows.size(), -1);
    PROTOPAGE_RETURN_IF_ERROR(blocks->Read(rows, [&](size_t i, const TableBlocks::Row& r) {
      if (r.checksums[kNarrow] == 0) return;
      std::memcpy(&values[i], r.Cell(kNarrow), 8);
      EXPECT_EQ(r.checksums[kNarrow], static_cast<uint64_t>(values[i] + 1));
    }));
    return values;
  }

  FaultyFileSystem fs_;
  std::unique_ptr<File> file_;
  TableBlocksLayout layout_;
};

TEST_F(TableBlocksTest, TheExampleOfTheHeader) {
  File* const file = file_.get();
  const TableBlocksLayout& layout = layout_;
  const int column = kNarrow;
  const uint64_t checksum = 5;
  const char* const cell = "8 bytes";
  const auto example = [&]() -> absl::Status {
    TableBlocks blocks(file, layout, /*cache_bytes=*/1 << 20);
    PROTOPAGE_RETURN_IF_ERROR(blocks.Update(7, [&](const TableBlocks::Row& row) {
      row.checksums[column] = checksum;
      std::memcpy(row.Cell(column), cell, 8);
    }));
    PROTOPAGE_RETURN_IF_ERROR(blocks.Flush());
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  char read[8];
  PROTOPAGE_ASSERT_OK(file_->ReadAt(kRows * 128 + 7 * 8, read, 8));
  EXPECT_STREQ(read, "8 bytes");
  uint64_t stored = 0;
  PROTOPAGE_ASSERT_OK(file_->ReadAt(kRows * 136 + 7 * 16 + 8, &stored, 8));
  EXPECT_EQ(stored, checksum);
}

TEST_F(TableBlocksTest, RowsSurviveEviction) {
  TableBlocks blocks(file_.get(), layout_, /*cache_bytes=*/0);  // 16 of 79 blocks.
  EXPECT_FALSE(blocks.IsNarrow(kWide));
  EXPECT_TRUE(blocks.IsNarrow(kNarrow));
  for (int64_t row = 0; row < kRows; row += 3) PROTOPAGE_ASSERT_OK(Write(&blocks, row, row));
  std::vector<int64_t> rows(kRows);
  std::iota(rows.begin(), rows.end(), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, Read(&blocks, rows));
  for (int64_t row = 0; row < kRows; ++row) ASSERT_EQ(values[row], row % 3 == 0 ? row : -1);
  EXPECT_GT(blocks.bytes_written(), 0);
}

TEST_F(TableBlocksTest, OnlyAFlushOrAFullCacheWrites) {
  TableBlocks blocks(file_.get(), layout_, /*cache_bytes=*/0);
  for (int64_t block = 0; block < 16; ++block) {
    PROTOPAGE_ASSERT_OK(Write(&blocks, block * TableBlocks::kBlockRows, block));
  }
  EXPECT_EQ(blocks.bytes_written(), 0);
  PROTOPAGE_ASSERT_OK(Write(&blocks, 16 * TableBlocks::kBlockRows, 16));
  const int64_t written = blocks.bytes_written();
  EXPECT_EQ(written, 16 * TableBlocks::kBlockRows * 24);  // All 16, together.
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  EXPECT_EQ(blocks.bytes_written(), written + TableBlocks::kBlockRows * 24);
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  EXPECT_EQ(blocks.bytes_written(), written + TableBlocks::kBlockRows * 24);
}

TEST_F(TableBlocksTest, ABlockThatCouldNotBeReadIsReadAgain) {
  {
    TableBlocks blocks(file_.get(), layout_, 0);
    PROTOPAGE_ASSERT_OK(Write(&blocks, 300, 5));
    PROTOPAGE_ASSERT_OK(blocks.Flush());
  }
  TableBlocks blocks(file_.get(), layout_, 0);
  fs_.FailAt(1);
  EXPECT_THAT(Read(&blocks, {300}).status(),
              StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
  fs_.FailAt(0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, Read(&blocks, {300}));
  EXPECT_EQ(values[0], 5);
}

TEST_F(TableBlocksTest, AClearedColumnIsWrittenOnlyWhereItChanges) {
  TableBlocks blocks(file_.get(), layout_, int64_t{1} << 20);
  PROTOPAGE_ASSERT_OK(Write(&blocks, 300, 5));
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  const int64_t written = blocks.bytes_written();
  constexpr int64_t kBlockBytes = TableBlocks::kBlockRows * 24;
  PROTOPAGE_ASSERT_OK(blocks.ClearColumn(kWide, kRows, /*rewrite=*/false));
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  EXPECT_EQ(blocks.bytes_written(), written);
  // Again: the block with row 300 holds something, the others nothing.
  PROTOPAGE_ASSERT_OK(blocks.ClearColumn(kWide, kRows, /*rewrite=*/true));
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  EXPECT_EQ(blocks.bytes_written(), written + kBlockBytes);
  PROTOPAGE_ASSERT_OK(blocks.ClearColumn(kNarrow, kRows, /*rewrite=*/false));
  PROTOPAGE_ASSERT_OK(blocks.Flush());
  EXPECT_EQ(blocks.bytes_written(), written + 2 * kBlockBytes);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, Read(&blocks, {299, 300}));
  EXPECT_EQ(values, (std::vector<int64_t>{-1, -1}));
}

}  // namespace
}  // namespace protopage
