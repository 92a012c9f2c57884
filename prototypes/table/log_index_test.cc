#include "protopage/prototypes/table/log_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr int64_t kBytes = 8;  // Of a record.
const int64_t kStep = LogSegment::RecordBytes(kBytes);

// A table of which only the name and the size of a record are asked.
class FakeTable : public LoggedTable {
 public:
  const std::string& path() const override { return path_; }
  int64_t record_bytes() const override { return kBytes; }
  int num_columns() const override { return 2; }
  int64_t capacity() const override { return 1000; }
  absl::Status FinishInPlace(const LogPoint&) override { return absl::OkStatus(); }
  absl::Status BeginMerge(int64_t) override { return absl::OkStatus(); }
  absl::Status MergeClear(int) override { return absl::OkStatus(); }
  absl::Status MergeRows(absl::Span<const int64_t>, absl::Span<const char* const>,
                         absl::Span<const uint32_t>) override {
    return absl::OkStatus();
  }
  absl::Status EndMerge(const LogPoint&) override { return absl::OkStatus(); }

 private:
  const std::string path_ = "table.h5";
};

class LogIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/log_index_test_", getpid(), "_",
                              testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(DefaultFileSystem()->CreateDirectories(directory_));
    files_ = std::make_shared<LogFiles>(DefaultFileSystem(), directory_, LogFiles::kUsedLast, 1);
    // Checkpoint 10 covers table 0, whose file is at it.
    index_.SetHead(LogPoint{1, 10}, 1);
    PROTOPAGE_ASSERT_OK(StartSegment(2));
    bool in_place = true;
    PROTOPAGE_ASSERT_OK(index_.Attach(0, &table_, LogPoint{1, 10}, 0, directory_, &in_place));
    EXPECT_FALSE(in_place);
  }

  absl::Status StartSegment(int64_t sequence) {
    PROTOPAGE_ASSIGN_OR_RETURN(current_,
                               LogSegment::Create(files_, sequence, LogParent(), /*nonce=*/7));
    index_.SetCurrent(current_);
    return absl::OkStatus();
  }

  absl::Status AppendRow(int64_t row, const char* record) {
    PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace place,
                               current_->AppendRows(0, {row}, {record}, kBytes));
    index_.AddRows(0, {row}, place, kStep);
    return absl::OkStatus();
  }

  absl::Status Commit(int64_t checkpoint) {
    PROTOPAGE_RETURN_IF_ERROR(current_->WriteCommit(checkpoint, 1, index_.CurrentDirectory()));
    PROTOPAGE_RETURN_IF_ERROR(current_->SyncCommit());
    index_.Commit(LogPoint{current_->sequence(), checkpoint}, 1);
    return StartSegment(current_->sequence() + 1);
  }

  FakeTable table_;
  std::string directory_;
  std::shared_ptr<LogFiles> files_;
  LogIndex index_;
  std::shared_ptr<LogSegment> current_;
};

TEST_F(LogIndexTest, TheExampleOfTheHeader) {
  LogIndex& index = index_;
  const std::vector<int64_t> rows = {4, 6};
  char four[kBytes] = "four", six[kBytes] = "six";
  const std::vector<char*> records = {four, six};
  const int64_t record_bytes = kStep;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place,
                                 current_->AppendRows(0, rows, {four, six}, kBytes));
  std::vector<LogFound> found;
  const auto example = [&]() -> absl::Status {
    index.AddRows(/*table=*/0, rows, place, record_bytes);  // After they were appended.
    const LogLookup lookup = index.Find(/*table=*/0, rows, &found);
    PROTOPAGE_RETURN_IF_ERROR(
        ReadLogRecords(lookup.segments, 0, lookup.bytes, lookup.wanted, rows, records));
    return absl::OkStatus();
  };
  four[0] = six[0] = '?';
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_STREQ(four, "four");
  EXPECT_STREQ(six, "six");
  EXPECT_TRUE(found[0].in_log && found[1].in_log);
}

TEST_F(LogIndexTest, TheNewestPlaceOfARowIsFoundInItsSegment) {
  PROTOPAGE_ASSERT_OK(AppendRow(4, "old...."));
  PROTOPAGE_ASSERT_OK(AppendRow(5, "older.."));
  PROTOPAGE_ASSERT_OK(Commit(11));
  PROTOPAGE_ASSERT_OK(AppendRow(4, "new...."));
  std::vector<LogFound> found;
  const LogLookup lookup = index_.Find(0, {4, 5, 6}, &found);
  EXPECT_EQ(lookup.segments.size(), 2u);
  EXPECT_TRUE(found[0].in_log && found[1].in_log);
  EXPECT_FALSE(found[2].in_log);
  char four[kBytes], five[kBytes], six[kBytes];
  PROTOPAGE_ASSERT_OK(ReadLogRecords(lookup.segments, 0, lookup.bytes, lookup.wanted, {4, 5, 6},
                                     {four, five, six}));
  EXPECT_STREQ(four, "new....");
  EXPECT_STREQ(five, "older..");
}

TEST_F(LogIndexTest, AClearingCountsForOlderRecordsAndForTheMainFile) {
  PROTOPAGE_ASSERT_OK(AppendRow(4, "before."));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace clear, current_->AppendClear(0, 2));
  index_.AddClear(0, 2, clear, LogSegment::RecordBytes(0));
  PROTOPAGE_ASSERT_OK(AppendRow(5, "after.."));
  std::vector<LogFound> found;
  index_.Find(0, {4, 5, 6}, &found);
  EXPECT_EQ(found[0].cleared, 4u);
  EXPECT_EQ(found[1].cleared, 0u);
  EXPECT_EQ(found[2].cleared, 4u);
  std::vector<int64_t> rows;
  EXPECT_EQ(index_.Overlay(0, &rows), 4u);
  EXPECT_EQ(rows, (std::vector<int64_t>{4, 5}));
  // Merged: the main file has it.
  index_.SetMain(0, LogPoint{2, 11});
  index_.Find(0, {6}, &found);
  EXPECT_EQ(found[0].cleared, 0u);
}

TEST_F(LogIndexTest, MergedRowsAreForgottenUnlessTheyHaveNewerPlaces) {
  PROTOPAGE_ASSERT_OK(AppendRow(4, "old...."));
  PROTOPAGE_ASSERT_OK(AppendRow(5, "old...."));
  PROTOPAGE_ASSERT_OK(Commit(11));
  PROTOPAGE_ASSERT_OK(AppendRow(5, "new...."));
  EXPECT_TRUE(index_.RetiredSegments().empty());
  index_.Retire(11);
  ASSERT_EQ(index_.RetiredSegments().size(), 1u);
  EXPECT_TRUE(index_.MergeIsDue(1000, /*merge_bytes=*/1, /*index_bytes=*/1 << 20));
  EXPECT_FALSE(index_.MergeIsDue(1000, /*merge_bytes=*/1 << 20, /*index_bytes=*/1 << 20));
  EXPECT_FALSE(index_.MergeIsDue(/*merge_segments=*/2, 1 << 20, 1 << 20));
  EXPECT_TRUE(index_.MergeIsDue(/*merge_segments=*/1, 1 << 20, 1 << 20));
  index_.EraseRows(0, {4, 5}, 2);
  index_.EraseSegments(2);
  std::vector<LogFound> found;
  index_.Find(0, {4, 5}, &found);
  EXPECT_FALSE(found[0].in_log);
  EXPECT_TRUE(found[1].in_log);
  EXPECT_TRUE(index_.RetiredSegments().empty());
  EXPECT_EQ(index_.stats().segments, 1);
}

// Rows that a table has no room for would be merged into what follows it in its file.
TEST_F(LogIndexTest, ATableOfRowsOrColumnsThatItHasNotIsRefused) {
  PROTOPAGE_ASSERT_OK(AppendRow(999, "last..."));
  PROTOPAGE_ASSERT_OK(Commit(11));
  index_.Detach(0);
  const auto attach = [&] {
    bool in_place;
    const absl::Status status =
        index_.Attach(0, &table_, LogPoint{1, 10}, 0, directory_, &in_place);
    if (status.ok()) index_.Detach(0);
    return status;
  };
  PROTOPAGE_EXPECT_OK(attach());
  PROTOPAGE_ASSERT_OK(AppendRow(1000, "none..."));
  EXPECT_THAT(attach(), StatusIs(absl::StatusCode::kDataLoss, "row 1000, it has room for 1000"));
  index_.EraseRows(0, {1000}, 100);
  PROTOPAGE_EXPECT_OK(attach());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place, current_->AppendClear(0, 2));
  index_.AddClear(0, 2, place, LogSegment::RecordBytes(0));
  EXPECT_THAT(attach(), StatusIs(absl::StatusCode::kDataLoss, "column 2, it has 2 columns"));
}

TEST_F(LogIndexTest, TheCurrentSegmentIsBoundedInRowsAndBytes) {
  PROTOPAGE_ASSERT_OK(AppendRow(4, "first.."));
  PROTOPAGE_ASSERT_OK(AppendRow(4, "again.."));  // Takes bytes, but no room in the index.
  EXPECT_EQ(index_.stats().index_rows, 1);
  EXPECT_EQ(index_.stats().rows_appended, 2);
  EXPECT_EQ(index_.stats().bytes, current_->bytes());
  EXPECT_FALSE(index_.WantsCheckpoint(kLogIndexBytesPerRow, current_->bytes()));
  EXPECT_TRUE(index_.WantsCheckpoint(kLogIndexBytesPerRow - 1, current_->bytes()));
  EXPECT_TRUE(index_.WantsCheckpoint(kLogIndexBytesPerRow, current_->bytes() - 1));
}

}  // namespace
}  // namespace protopage
