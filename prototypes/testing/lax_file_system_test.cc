#include "protopage/prototypes/testing/lax_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

constexpr char kSync[] = "sync /f.tmp after data, the first";
constexpr char kRename[] = "rename /f.tmp to f";
constexpr char kSyncDirectory[] = "sync directory / after the rename to f";

absl::Status Work(FileSystem* fs) { return WriteFileAtomically(fs, "/f", "0123456789"); }

std::string ContentOf(FileSystem* fs) { return ReadFile(fs, "/f").value_or("none"); }

TEST(LaxFileSystemTest, TheExampleOfTheHeader) {
  CrashFileSystem disk;
  LaxFileSystem fs(&disk);
  PROTOPAGE_EXPECT_OK(Work(&fs));
  int calls = 0;
  for (const auto& [call, times] : fs.calls()) {
    fs.LeaveOut({call});  // A test of Work that loses power should fail.
    EXPECT_EQ(times, 1);
    ++calls;
  }
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(fs.calls(),
              testing::UnorderedElementsAre(testing::Pair(kSync, 1), testing::Pair(kRename, 1),
                                            testing::Pair(kSyncDirectory, 1)));
}

TEST(LaxFileSystemTest, ASyncThatIsLeftOutDoesNothing) {
  for (const char* call : {"", kSync, kSyncDirectory}) {
    CrashFileSystem disk;
    int left_out = 0;
    LaxFileSystem fs(&disk, [&] { ++left_out; });
    fs.LeaveOut({call});
    PROTOPAGE_EXPECT_OK(Work(&fs));
    EXPECT_EQ(left_out, std::string(call).empty() ? 0 : 1);
    disk.Restart(CrashFileSystem::kDropAll, 0);
    const std::string name = call;
    EXPECT_EQ(ContentOf(&disk), name == kSync            ? ""
                                : name == kSyncDirectory ? "none"
                                                         : "0123456789");
  }
}

TEST(LaxFileSystemTest, ARenameThatIsLeftOutWritesInPlace) {
  CrashFileSystem disk;
  LaxFileSystem fs(&disk, [&] { disk.CrashAt(1); });
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(&disk, "/f", "abcdefghij"));
  fs.LeaveOut({kRename});
  EXPECT_FALSE(Work(&fs).ok());
  disk.Restart(CrashFileSystem::kKeepNewest, 0);
  EXPECT_EQ(ContentOf(&disk), "01234fghij");

  LaxFileSystem whole(&disk);
  whole.LeaveOut({kRename});
  PROTOPAGE_EXPECT_OK(Work(&whole));
  EXPECT_EQ(ContentOf(&disk), "0123456789");
  EXPECT_FALSE(disk.Exists("/f.tmp"));
}

TEST(LaxFileSystemTest, NumbersOfNamesDoNotCount) {
  EXPECT_EQ(WithoutNumbers("/run/log/0000000012.segment.tmp"), "/run/log/N.segment.tmp");
  EXPECT_EQ(WithoutNumbers("/run/prototypes-2.h5"), "/run/prototypes-N.h5");
  EXPECT_EQ(WithoutNumbers("/run/state.json.4711.tmp"), "/run/state.json.tmp");
}

}  // namespace
}  // namespace protopage
