#include "protopage/prototypes/table/log_segment.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/nonce.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/faulty_file_system.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr int64_t kBytes = 8;  // Of a record.
constexpr uint64_t kNonce = 7;

class LogSegmentTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/log_segment_test_", getpid(), "_",
                              testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_.CreateDirectories(directory_));
    files_ = std::make_shared<LogFiles>(&fs_, directory_, LogFiles::kUsedLast, 1);
  }

  FaultyFileSystem fs_;
  std::string directory_;
  std::shared_ptr<LogFiles> files_;
};

absl::Status TheExampleOfTheHeader(FileSystem* fs, const std::string& directory,
                                   const LogParent& parent, const char* record,
                                   int64_t record_bytes) {
  const auto files = std::make_shared<LogFiles>(fs, directory, LogFiles::kUsedLast, 16);
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t nonce, RandomNonce());
  PROTOPAGE_ASSIGN_OR_RETURN(auto segment, LogSegment::Create(files, 1, parent, nonce));
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment, LogSegment::Open(files_, 1));
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
                                 LogSegment::Create(files_, 3, LogParent{40, 1}, kNonce));
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

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, LogSegment::Open(files_, 3));
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
                                 LogSegment::Create(files_, 1, LogParent{7, 3}, kNonce));
  PROTOPAGE_ASSERT_OK(segment->AppendRows(0, {5}, {"written"}, kBytes).status());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, LogSegment::Open(files_, 1));
  EXPECT_FALSE(opened->committed());
  EXPECT_EQ(opened->parent().checkpoint, 7);
  EXPECT_EQ(opened->parent().tables, 3u);
}

TEST_F(LogSegmentTest, ARecordOfAnotherRowIsDamage) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(files_, 1, LogParent(), kNonce));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place,
                                 segment->AppendRows(0, {5}, {"written"}, kBytes));
  char record[kBytes];
  const std::pair<LogPlace, size_t> wanted = {place, 0};
  EXPECT_THAT(segment->ReadRecords(0, kBytes, {wanted}, {6}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "row 6 of table 0"));
  EXPECT_THAT(segment->ReadRecords(1, kBytes, {wanted}, {5}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "row 5 of table 1"));
}

// The bytes of a file, and the same with `bytes` at `offset`.
std::string Bytes(FileSystem* fs, const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(fs, path);
  PROTOPAGE_EXPECT_OK(bytes.status());
  return bytes.value_or("");
}
template <typename T>
void Put(std::string& bytes, int64_t offset, T value) {
  std::memcpy(&bytes[offset], &value, sizeof(value));
}

// Written by code that knew version 1 only.
TEST_F(LogSegmentTest, ASegmentOfVersion1Opens) {
  PROTOPAGE_ASSERT_OK(CopyFileAtomically(&fs_, "prototypes/testdata/segment_1.segment",
                                         LogSegment::Path(directory_, 3)));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment, LogSegment::Open(files_, 3));
  EXPECT_EQ(segment->parent().checkpoint, 40);
  EXPECT_EQ(segment->parent().tables, 1u);
  ASSERT_TRUE(segment->committed());
  EXPECT_EQ(segment->checkpoint(), 41);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto entries, segment->ReadDirectory());
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].kind, LogDirectoryEntry::kClear);
  char records[2][kBytes];
  PROTOPAGE_ASSERT_OK(segment->ReadRecords(
      0, kBytes, {{MakeLogPlace(3, entries[1].offset), 0}, {MakeLogPlace(3, entries[2].offset), 1}},
      {5, 7}, {records[0], records[1]}));
  EXPECT_STREQ(records[0], "written");
  EXPECT_STREQ(records[1], "seventh");
}

// What an earlier attempt left behind the end of a segment is not taken for its own.
TEST_F(LogSegmentTest, RecordsOfAnEarlierAttemptOfASequenceNeverCount) {
  const auto attempt = [&](uint64_t nonce) -> absl::StatusOr<std::string> {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto segment,
                               LogSegment::Create(files_, 3, LogParent{40, 1}, nonce));
    PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace place,
                               segment->AppendRows(0, {5}, {"written"}, kBytes));
    PROTOPAGE_RETURN_IF_ERROR(segment->WriteCommit(41, 1, {LogDirectoryEntry::Row(0, 5, place)}));
    PROTOPAGE_RETURN_IF_ERROR(segment->SyncCommit());
    return Bytes(&fs_, segment->path());
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string first, attempt(1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string same, attempt(1));
  EXPECT_EQ(first, same);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::string mixed, attempt(2));
  mixed = mixed.substr(0, 64) + first.substr(64);
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs_, LogSegment::Path(directory_, 3), mixed));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, LogSegment::Open(files_, 3));
  EXPECT_FALSE(opened->committed());
  char record[kBytes];
  EXPECT_THAT(opened->ReadRecords(0, kBytes, {{MakeLogPlace(3, 64), 0}}, {5}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "does not match its checksum"));
}

// A segment's header with a right checksum, in a file of its own.
TEST_F(LogSegmentTest, HeadersOfOtherVersionsAndPartitionsAreRefused) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(files_, 3, LogParent{40, 1}, kNonce));
  const std::string header = Bytes(&fs_, segment->path());
  ASSERT_EQ(header.size(), 64u);
  uint64_t nonce;
  std::memcpy(&nonce, &header[40], 8);
  EXPECT_EQ(nonce, kNonce);
  const auto open = [&](int64_t offset, uint32_t value) {
    std::string changed = header;
    Put(changed, offset, value);
    Put(changed, 56, XXH3_64bits(changed.data(), 56));
    PROTOPAGE_EXPECT_OK(WriteFileAtomically(&fs_, segment->path(), changed));
    files_->Close(3);
    return LogSegment::Open(files_, 3).status();
  };
  PROTOPAGE_EXPECT_OK(open(8, 2));
  EXPECT_THAT(open(8, 3), StatusIs(absl::StatusCode::kFailedPrecondition, "format version 3"));
  EXPECT_THAT(open(48, 4), StatusIs(absl::StatusCode::kFailedPrecondition, "partition 0 of 4"));
  EXPECT_THAT(open(52, 1), StatusIs(absl::StatusCode::kFailedPrecondition, "partition 1 of 1"));
  EXPECT_THAT(open(16, 4), StatusIs(absl::StatusCode::kDataLoss, "header is damaged"));
}

TEST_F(LogSegmentTest, RecordsThatOverlapAreDamage) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(files_, 3, LogParent{40, 1}, kNonce));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place,
                                 segment->AppendRows(0, {5}, {"written"}, kBytes));
  for (const LogPlace other : {place, place + 8}) {
    char records[2][kBytes];
    EXPECT_THAT(
        segment->ReadRecords(0, kBytes, {{place, 0}, {other, 1}}, {5, 6}, {records[0], records[1]}),
        StatusIs(absl::StatusCode::kDataLoss, "rows 5 and 6 of table 0 overlap"));
  }
}

// Sizes in files that are made up, with right checksums.
TEST_F(LogSegmentTest, ImpossibleSizesAreRefused) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto segment,
                                 LogSegment::Create(files_, 3, LogParent{40, 1}, kNonce));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LogPlace place,
                                 segment->AppendRows(0, {5}, {"written"}, kBytes));
  PROTOPAGE_ASSERT_OK(segment->WriteCommit(41, 1, {LogDirectoryEntry::Row(0, 5, place)}));
  PROTOPAGE_ASSERT_OK(segment->SyncCommit());
  const std::string whole = Bytes(&fs_, segment->path());
  ASSERT_EQ(whole.size(), 64u + 40 + 24 + 64);
  uint64_t salt;
  std::memcpy(&salt, &whole[56], 8);
  constexpr int64_t kDirectory = 104, kCommit = 128;
  // Changes the file, makes its checksums right, and opens it.
  const auto open = [&](std::string changed) {
    Put(changed, kCommit + 48, XXH3_64bits_withSeed(&changed[kDirectory], 24, salt));
    Put(changed, kCommit + 56, XXH3_64bits_withSeed(&changed[kCommit], 56, salt));
    PROTOPAGE_EXPECT_OK(WriteFileAtomically(&fs_, segment->path(), changed));
    files_->Close(3);
    return *LogSegment::Open(files_, 3);
  };
  EXPECT_EQ(open(whole)->ReadDirectory()->size(), 1u);
  const int64_t huge = int64_t{1} << 60;
  // Of the commit record: the offset and the number of entries. 24 * (2^61 + 1) is 24.
  for (const auto& [offset, value] :
       std::vector<std::pair<int64_t, int64_t>>{{32, huge},
                                                {32, -huge},
                                                {32, kDirectory - 1},
                                                {32, 40},
                                                {40, huge},
                                                {40, -1},
                                                {40, 2},
                                                {40, (int64_t{1} << 61) + 1}}) {
    std::string changed = whole;
    Put(changed, kCommit + offset, value);
    EXPECT_FALSE(open(changed)->committed()) << offset << " " << value;
  }
  // Of the directory's entry: table, kind, row, offset.
  const std::pair<int64_t, int64_t> entries[] = {
      {8, -1}, {16, -1}, {16, 40}, {16, kDirectory - 31}, {16, huge}};
  for (const auto& [offset, value] : entries) {
    std::string changed = whole;
    Put(changed, kDirectory + offset, value);
    EXPECT_THAT(open(changed)->ReadDirectory().status(),
                StatusIs(absl::StatusCode::kDataLoss, "impossible entry"))
        << offset << " " << value;
  }
  for (const int64_t offset : {0, 4}) {
    std::string changed = whole;
    Put<uint32_t>(changed, kDirectory + offset, 9);
    EXPECT_THAT(open(changed)->ReadDirectory().status(),
                StatusIs(absl::StatusCode::kDataLoss, "impossible entry"));
  }
  // A record that would go on behind the file.
  char record[1000];
  EXPECT_THAT(open(whole)->ReadRecords(0, sizeof(record), {{place, 0}}, {5}, {record}),
              StatusIs(absl::StatusCode::kDataLoss, "truncated"));
}

TEST_F(LogSegmentTest, OnlyFilesWithASegmentsNameAreListed) {
  for (const char* name :
       {"0000000002.segment", "0000000010.segment", "0000000001.segment", "0000000000.segment",
        "00000000003.segment", "3.segment", "000000003.segment", "0000000003.segment.tmp",
        "000000000x.segment", "+000000003.segment", "0000000003.segment~", "best.segment",
        "0009999999.segment", "99999999999.segment", "lock", ".DS_Store", " 000000003.segment"}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs_, JoinPath(directory_, name), "x"));
  }
  PROTOPAGE_ASSERT_OK(fs_.CreateDirectories(JoinPath(directory_, "0000000005.segment")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto sequences, LogSegment::List(&fs_, directory_));
  EXPECT_EQ(sequences, (std::vector<int64_t>{1, 2, 10}));
  EXPECT_EQ(LogSegment::SequenceOfName("0008388607.segment"), kMaxLogSequence);
}

// The file of a committed segment is opened when it is needed: it may be gone or another one then.
TEST_F(LogSegmentTest, ARemovedOrReplacedFileIsNotFound) {
  std::vector<std::shared_ptr<LogSegment>> segments;
  std::vector<LogPlace> places;
  for (int64_t sequence = 3; sequence <= 5; ++sequence) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        segments.emplace_back(),
        LogSegment::Create(files_, sequence, LogParent{sequence, 1}, kNonce));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(places.emplace_back(),
                                   segments.back()->AppendRows(0, {5}, {"written"}, kBytes));
    PROTOPAGE_ASSERT_OK(segments.back()->WriteCommit(
        sequence + 1, 1, {LogDirectoryEntry::Row(0, 5, places.back())}));
    PROTOPAGE_ASSERT_OK(segments.back()->SyncCommit());
  }
  EXPECT_EQ(files_->num_open(), 1);
  char record[kBytes];
  const auto read = [&](size_t i) {
    return segments[i]->ReadRecords(0, kBytes, {{places[i], 0}}, {5}, {record});
  };
  for (size_t i = 0; i < 3; ++i) PROTOPAGE_EXPECT_OK(read(i));
  PROTOPAGE_ASSERT_OK(fs_.Remove(segments[0]->path()));
  PROTOPAGE_EXPECT_OK(read(2));  // It is open.
  EXPECT_THAT(read(0), StatusIs(absl::StatusCode::kNotFound, "0000000003.segment"));
  EXPECT_THAT(segments[0]->ReadDirectory().status(), StatusIs(absl::StatusCode::kNotFound, ""));
  const auto other_files = std::make_shared<LogFiles>(&fs_, directory_, LogFiles::kUsedLast, 1);
  PROTOPAGE_ASSERT_OK(LogSegment::Create(other_files, 4, LogParent{4, 1}, kNonce + 1).status());
  EXPECT_THAT(read(1), StatusIs(absl::StatusCode::kNotFound, "replaced"));
  const std::shared_ptr<LogSegment> last = std::move(segments.back());
  segments.clear();
  EXPECT_EQ(files_->num_open(), 1);
}

}  // namespace
}  // namespace protopage
