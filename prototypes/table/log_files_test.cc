#include "protopage/prototypes/table/log_files.h"

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

class LogFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/log_files_test_", getpid(), "_",
                              testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(directory_));
    for (int64_t sequence = 1; sequence <= 9; ++sequence) {
      PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, PathOf(sequence), absl::StrCat(sequence)));
    }
  }
  std::string PathOf(int64_t sequence) const {
    return absl::StrCat(directory_, "/segment", sequence);
  }
  // The file's only byte; opens_ counts the files that were opened.
  absl::StatusOr<std::string> Read(LogFiles& files, int64_t sequence) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                               files.Open(sequence, PathOf(sequence), [this](File*) {
                                 ++opens_;
                                 return absl::OkStatus();
                               }));
    std::string data(1, ' ');
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &data[0], 1));
    return data;
  }

  FileSystem* const fs_ = DefaultFileSystem();
  std::string directory_;
  int64_t opens_ = 0;
};

TEST_F(LogFilesTest, TheExampleOfTheHeader) {
  FileSystem* const fs = fs_;
  const std::string directory = directory_, path = PathOf(3);
  constexpr int64_t sequence = 3, size = 1;
  char data[size];
  const auto example = [&]() -> absl::Status {
    LogFiles files(fs, directory, LogFiles::kUsedLast, /*most_open=*/16);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                               files.Open(sequence, path, [](File*) { return absl::OkStatus(); }));
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, data, size));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(data[0], '3');
}

TEST_F(LogFilesTest, TheFilesUsedLastStayOpen) {
  LogFiles files(fs_, directory_, LogFiles::kUsedLast, 3);
  for (const int64_t sequence : {1, 2, 3, 1, 4}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string data, Read(files, sequence));
    EXPECT_EQ(data, absl::StrCat(sequence));
    EXPECT_LE(files.num_open(), 3);
  }
  EXPECT_EQ(opens_, 4);
  for (const int64_t sequence : {1, 3, 4}) PROTOPAGE_ASSERT_OK(Read(files, sequence).status());
  EXPECT_EQ(opens_, 4);
  PROTOPAGE_ASSERT_OK(Read(files, 2).status());
  EXPECT_EQ(opens_, 5);
}

TEST_F(LogFilesTest, TheFilesOpenedFirstStayOpen) {
  LogFiles files(fs_, directory_, LogFiles::kOpenedFirst, 2);
  for (const int64_t sequence : {1, 2, 3, 4, 3}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string data, Read(files, sequence));
    EXPECT_EQ(data, absl::StrCat(sequence));
    EXPECT_LE(files.num_open(), 2);
  }
  EXPECT_EQ(opens_, 5);
  for (const int64_t sequence : {1, 2}) {
    PROTOPAGE_ASSERT_OK(fs_->Remove(PathOf(sequence)));
    PROTOPAGE_ASSERT_OK(Read(files, sequence).status());
  }
  EXPECT_EQ(opens_, 5);
}

TEST_F(LogFilesTest, AFileInUseStaysReadableWhenItIsClosedAndRemoved) {
  LogFiles files(fs_, directory_, LogFiles::kUsedLast, 1);
  const auto no_check = [](File*) { return absl::OkStatus(); };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, files.Open(5, PathOf(5), no_check));
  PROTOPAGE_ASSERT_OK(Read(files, 6).status());
  files.Close(6);
  EXPECT_EQ(files.num_open(), 0);
  PROTOPAGE_ASSERT_OK(fs_->Remove(PathOf(5)));
  char data;
  PROTOPAGE_EXPECT_OK(file->ReadAt(0, &data, 1));
  EXPECT_EQ(data, '5');
  EXPECT_THAT(Read(files, 5).status(), StatusIs(absl::StatusCode::kNotFound, "segment5"));
}

TEST_F(LogFilesTest, AFileThatFailsItsCheckIsNotKept) {
  LogFiles files(fs_, directory_, LogFiles::kUsedLast, 3);
  const auto status =
      files.Open(5, PathOf(5), [](File*) { return absl::DataLossError("another"); }).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "another"));
  EXPECT_EQ(files.num_open(), 0);
}

TEST_F(LogFilesTest, AnAddedFileReplacesTheOneOfItsNumber) {
  LogFiles files(fs_, directory_, LogFiles::kUsedLast, 3);
  PROTOPAGE_ASSERT_OK(Read(files, 5).status());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto other, fs_->Open(PathOf(7), OpenMode::kRead));
  files.Add(5, std::move(other));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string data, Read(files, 5));
  EXPECT_EQ(data, "7");
  EXPECT_EQ(files.num_open(), 1);
}

}  // namespace
}  // namespace protopage
