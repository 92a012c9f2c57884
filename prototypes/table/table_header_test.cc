#include "protopage/prototypes/table/table_header.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr int64_t kOffset = 4096;

class TableHeaderTest : public testing::Test {
 protected:
  TableHeaderTest() : path_(absl::StrCat(testing::TempDir(), "/table_header_test_", getpid())) {
    auto file = DefaultFileSystem()->Open(path_, OpenMode::kCreate);
    PROTOPAGE_EXPECT_OK(file.status());
    file_ = std::move(*file);
    PROTOPAGE_EXPECT_OK(file_->Truncate(kOffset + kTableHeaderWords * 8));
  }

  static TableHeader Example() {
    TableHeader header;
    header.writing = true;
    header.point = {3, 17};
    header.merging = 5;
    header.num_rows = 1000;
    header.mark_changes = 2;
    header.num_marked = 7;
    return header;
  }

  const std::string path_;
  std::unique_ptr<File> file_;
};

TEST_F(TableHeaderTest, TheExampleOfTheHeader) {
  File* const file = file_.get();
  const std::string path = path_;
  const int64_t offset = kOffset;
  const auto example = [&]() -> absl::Status {
    TableHeader header;
    header.num_rows = 1000;
    PROTOPAGE_RETURN_IF_ERROR(WriteTableHeader(file, offset, /*version=*/2, header));
    PROTOPAGE_ASSIGN_OR_RETURN(header, ReadTableHeader(file, path, offset, /*version=*/2));
    EXPECT_EQ(header.num_rows, 1000);
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
}

TEST_F(TableHeaderTest, ReadsWhatWasWritten) {
  PROTOPAGE_ASSERT_OK(WriteTableHeader(file_.get(), kOffset, 2, Example()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TableHeader read,
                                 ReadTableHeader(file_.get(), path_, kOffset, 2));
  EXPECT_TRUE(read.writing);
  EXPECT_EQ(read.point.sequence, 3);
  EXPECT_EQ(read.point.checkpoint, 17);
  EXPECT_EQ(read.merging, 5);
  EXPECT_EQ(read.num_rows, 1000);
  EXPECT_EQ(read.mark_changes, 2);
  EXPECT_EQ(read.num_marked, 7);
}

TEST_F(TableHeaderTest, EachFlippedBitIsFound) {
  PROTOPAGE_ASSERT_OK(WriteTableHeader(file_.get(), kOffset, 2, Example()));
  for (int64_t bit = 0; bit < kTableHeaderWords * 64; ++bit) {
    char byte = 0;
    const int64_t at = kOffset + bit / 8;
    PROTOPAGE_ASSERT_OK(file_->ReadAt(at, &byte, 1));
    const char flipped = static_cast<char>(byte ^ (1 << bit % 8));
    PROTOPAGE_ASSERT_OK(file_->WriteAt(at, &flipped, 1));
    EXPECT_THAT(ReadTableHeader(file_.get(), path_, kOffset, 2),
                StatusIs(absl::StatusCode::kDataLoss, path_))
        << bit;
    PROTOPAGE_ASSERT_OK(file_->WriteAt(at, &byte, 1));
  }
}

TEST_F(TableHeaderTest, AHeaderOfZerosIsNoneOfVersion2) {
  EXPECT_THAT(ReadTableHeader(file_.get(), path_, kOffset, 2),
              StatusIs(absl::StatusCode::kDataLoss, "'header'"));
  PROTOPAGE_EXPECT_OK(ReadTableHeader(file_.get(), path_, kOffset, 1));
}

TEST_F(TableHeaderTest, Version1HasFourWords) {
  PROTOPAGE_ASSERT_OK(WriteTableHeader(file_.get(), kOffset, 1, Example()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TableHeader read,
                                 ReadTableHeader(file_.get(), path_, kOffset, 1));
  EXPECT_EQ(read.point.sequence, 3);
  EXPECT_EQ(read.merging, 5);
  EXPECT_EQ(read.num_rows, 0);
}

}  // namespace
}  // namespace protopage
