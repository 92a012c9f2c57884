#include "protopage/prototypes/table/log_segment.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kBytes = 8;  // Of a record.

class LogSegmentTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/log_segment_test_", getpid(), "_",
                              testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_.CreateDirectories(directory_));
  }

  FaultyFileSystem fs_;
  std::string directory_;
};

absl::Status TheExampleOfTheHeader(FileSystem* fs, const std::string& directory,
                                   const LogParent& parent, const char* record,
                                   int64_t record_bytes) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto segment, LogSegment::Create(fs, directory, 1, parent));
  PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace place,
                             segment->AppendRows(/*table=*/0, {7}, {record}, record_bytes));
  PROTOPAGE_RETURN_IF_ERROR(segment->WriteCommit(/*checkpoint=*/120, /*tables=*/1,
                                                 {LogDirectoryEntry::Row(0, 7, place)}));
  PROTOPAGE_RETURN_IF_ERROR(segment->SyncCommit());
  return absl::OkStatus();
}

TEST_F(LogSegmentTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK(TheExampleOfTheHeader(&fs_, directory_, LogParent(), "seventh", kBytes));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto sequences, LogSegment::List(&fs_, directory_));
  EXPECT_EQ(sequences, std::vector<int64_t>{1});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Open(&fs_, directory_, 1, /*read_only=*/true));
  EXPECT_TRUE(segment->committed());
  EXPECT_EQ(segment->checkpoint(), 120);
  EXPECT_EQ(segment->tables(), 1u);
  EXPECT_EQ(segment->parent().checkpoint, -1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto entries, segment->ReadDirectory());
  ASSERT_EQ(entries.size(), 1u);
  char record[kBytes];
  const std::pair<LogPlace, size_t> wanted = {MakeLogPlace(1, entries[0].offset), 0};
  PROTOPAGE_ASSERT_OK(segment->ReadRecords(0, kBytes, {wanted}, {entries[0].row}, {record}));
  EXPECT_STREQ(record, "seventh");
}

TEST_F(LogSegmentTest, PlacesOrderBySegmentThenByOffset) {
  EXPECT_LT(MakeLogPlace(1, kMaxSegmentBytes - 1), MakeLogPlace(2, 0));
  EXPECT_LT(MakeLogPlace(2, 64), MakeLogPlace(2, 65));
  const LogPlace last = MakeLogPlace(kMaxLogSequence, kMaxSegmentBytes - 1);
  EXPECT_EQ(SequenceOf(last), kMaxLogSequence);
  EXPECT_EQ(OffsetOf(last), kMaxSegmentBytes - 1);
}

TEST_F(LogSegmentTest, AFailedAppendLeavesNoTraceInACommittedSegment) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(&fs_, directory_, 3, LogParent{40, 1}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace kept,
                                 segment->AppendRows(0, {5}, {"written"}, kBytes));
  const int64_t bytes = segment->bytes();
  // A part of these records is written, far beyond the end of what follows.
  std::vector<int64_t> many(100);
  std::iota(many.begin(), many.end(), 6);
  const std::vector<const char*> records(many.size(), "losing.");
  fs_.FailAt(1);
  EXPECT_THAT(segment->AppendRows(0, many, records, kBytes).status(),
              StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
  fs_.FailAt(0);
  EXPECT_EQ(segment->bytes(), bytes);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace clear, segment->AppendClear(0, 1));
  EXPECT_EQ(OffsetOf(clear), bytes);
  PROTOPAGE_ASSERT_OK(segment->WriteCommit(
      41, 1, {LogDirectoryEntry::Row(0, 5, kept), LogDirectoryEntry::Clear(0, 1, clear)}));
  PROTOPAGE_ASSERT_OK(segment->SyncCommit());

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened,
                                 LogSegment::Open(&fs_, directory_, 3, /*read_only=*/true));
  EXPECT_TRUE(opened->committed());
  EXPECT_EQ(opened->bytes(), segment->bytes());
  EXPECT_EQ(opened->parent().checkpoint, 40);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto entries, opened->ReadDirectory());
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].kind, LogDirectoryEntry::kClear);  // Sorted.
  EXPECT_EQ(entries[1].row, 5);
}

TEST_F(LogSegmentTest, AnUncommittedSegmentOpensWithoutACommit) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(&fs_, directory_, 1, LogParent{7, 3}));
  PROTOPAGE_ASSERT_OK(segment->AppendRows(0, {5}, {"written"}, kBytes).status());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened,
                                 LogSegment::Open(&fs_, directory_, 1, /*read_only=*/true));
  EXPECT_FALSE(opened->committed());
  EXPECT_EQ(opened->parent().checkpoint, 7);
  EXPECT_EQ(opened->parent().tables, 3u);
}

TEST_F(LogSegmentTest, ARecordOfAnotherRowIsDamage) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(&fs_, directory_, 1, LogParent()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place,
                                 segment->AppendRows(0, {5}, {"written"}, kBytes));
  char record[kBytes];
  const std::pair<LogPlace, size_t> wanted = {place, 0};
  EXPECT_THAT(segment->ReadRecords(0, kBytes, {wanted}, {6}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "row 6 of table 0"));
  EXPECT_THAT(segment->ReadRecords(1, kBytes, {wanted}, {5}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "row 5 of table 1"));
}

}  // namespace
}  // namespace protopage
