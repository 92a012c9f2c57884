#include "protopage/prototypes/testing/faulty_file_system.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

std::string TestPath() {
  return absl::StrCat(testing::TempDir(), "/faulty_file_system_test_", getpid());
}

// Twelve calls: an open and eleven writes.
absl::Status Work(FileSystem* fs) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(TestPath(), OpenMode::kCreate));
  for (int i = 0; i < 11; ++i) PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(i, "x", 1));
  return absl::OkStatus();
}

TEST(FaultyFileSystemTest, TheExampleOfTheHeader) {
  FaultyFileSystem fs;
  fs.FailAt(12);  // The 12th call from now on fails, but none after it.
  EXPECT_FALSE(Work(&fs).ok());
  PROTOPAGE_EXPECT_OK(Work(&fs));
}

TEST(FaultyFileSystemTest, AFullDiskFailsWritesUntilThereIsRoom) {
  FaultyFileSystem fs;
  fs.FailWritesFrom(6);
  EXPECT_FALSE(Work(&fs).ok());
  EXPECT_FALSE(Work(&fs).ok());
  fs.FailWrites(false);
  PROTOPAGE_EXPECT_OK(Work(&fs));
}

}  // namespace
}  // namespace protopage
