#include "protopage/prototypes/table/row_marks.h"

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

constexpr int64_t kCapacity = 100000;

class RowMarksTest : public testing::Test {
 protected:
  RowMarksTest() : path_(absl::StrCat(testing::TempDir(), "/row_marks_test_", getpid())) {
    auto file = DefaultFileSystem()->Open(path_, OpenMode::kCreate);
    PROTOPAGE_EXPECT_OK(file.status());
    file_ = std::move(*file);
    dataset_ = {"dropped", RowMarkType(2), {kCapacity}, 8192};
    PROTOPAGE_EXPECT_OK(file_->Truncate(dataset_.offset + dataset_.bytes()));
    header_.num_rows = kCapacity - 10;
  }

  absl::StatusOr<RowMarks> Read() { return ReadRowMarks(file_.get(), path_, dataset_, 2, header_); }

  const std::string path_;
  std::unique_ptr<File> file_;
  Hdf5Dataset dataset_;
  TableHeader header_;
};

TEST_F(RowMarksTest, TheExampleOfTheHeader) {
  File* const file = file_.get();
  const std::string path = path_;
  const Hdf5Dataset dataset = dataset_;
  TableHeader header = header_;
  const std::vector<int64_t> rows = {3, 17, 44};
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(const RowMarks marks,
                               ReadRowMarks(file, path, dataset, /*version=*/2, header));
    PROTOPAGE_RETURN_IF_ERROR(ClearRowMarks(file, dataset, marks.interrupted));
    PROTOPAGE_RETURN_IF_ERROR(WriteRowMarks(file, dataset, rows, header.mark_changes + 1));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

TEST_F(RowMarksTest, AChangeCountsFromTheHeaderOn) {
  const std::vector<int64_t> first = {0, 511, 512, kCapacity - 11}, second = {7};
  PROTOPAGE_ASSERT_OK(WriteRowMarks(file_.get(), dataset_, first, 1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RowMarks marks, Read());
  EXPECT_EQ(marks.rows, std::vector<int64_t>());
  EXPECT_EQ(marks.interrupted, first);
  header_.mark_changes = 1;
  header_.num_marked = 4;
  PROTOPAGE_ASSERT_OK(WriteRowMarks(file_.get(), dataset_, second, 2));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(marks, Read());
  EXPECT_EQ(marks.rows, first);
  EXPECT_EQ(marks.interrupted, second);
  PROTOPAGE_ASSERT_OK(ClearRowMarks(file_.get(), dataset_, marks.interrupted));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(marks, Read());
  EXPECT_EQ(marks.interrupted, std::vector<int64_t>());
}

TEST_F(RowMarksTest, AFlippedBitIsFoundInAMarkAndWhereThereIsNone) {
  PROTOPAGE_ASSERT_OK(WriteRowMarks(file_.get(), dataset_, {5}, 1));
  header_.mark_changes = 1;
  header_.num_marked = 1;
  for (const int64_t row : {5, 6, 70000}) {
    for (int64_t bit = 0; bit < 64; ++bit) {
      char byte = 0;
      const int64_t at = dataset_.offset + row * 8 + bit / 8;
      PROTOPAGE_ASSERT_OK(file_->ReadAt(at, &byte, 1));
      const char flipped = static_cast<char>(byte ^ (1 << bit % 8));
      PROTOPAGE_ASSERT_OK(file_->WriteAt(at, &flipped, 1));
      EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, absl::StrCat("row ", row, " of")))
          << bit;
      PROTOPAGE_ASSERT_OK(file_->WriteAt(at, &byte, 1));
    }
  }
  PROTOPAGE_EXPECT_OK(Read());
}

TEST_F(RowMarksTest, AMarkThatIsGoneIsFoundByTheirNumber) {
  PROTOPAGE_ASSERT_OK(WriteRowMarks(file_.get(), dataset_, {5, 6}, 1));
  header_.mark_changes = 1;
  header_.num_marked = 2;
  PROTOPAGE_ASSERT_OK(ClearRowMarks(file_.get(), dataset_, {6}));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, "marks 1 rows, and 'header' says 2"));
}

TEST_F(RowMarksTest, Version1HasBytes) {
  dataset_.type = RowMarkType(1);
  const char mark = 1;
  PROTOPAGE_ASSERT_OK(file_->WriteAt(dataset_.offset + 9999, &mark, 1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMarks marks,
                                 ReadRowMarks(file_.get(), path_, dataset_, 1, header_));
  EXPECT_EQ(marks.rows, (std::vector<int64_t>{9999}));
}

}  // namespace
}  // namespace protopage
