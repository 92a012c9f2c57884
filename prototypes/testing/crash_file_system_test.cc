#include "protopage/prototypes/testing/crash_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

std::string ContentOf(FileSystem* fs, const std::string& path) {
  const absl::StatusOr<std::string> content = ReadFile(fs, path);
  return content.ok() ? *content : absl::StatusCodeToString(content.status().code());
}

absl::Status Write(FileSystem* fs, const std::string& path, const std::string& content, bool sync) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kCreate));
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, content.data(), content.size()));
  return sync ? file->Sync() : absl::OkStatus();
}

// Writes 20 files of one byte: a sync and a rename each.
absl::Status Work(FileSystem* fs) {
  for (int i = 0; i < 20; ++i) {
    PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, "/file", std::string(1, 'a' + i)));
  }
  return absl::OkStatus();
}

// An older version of the file is there, or none.
absl::Status Recover(FileSystem* fs) {
  if (!fs->Exists("/file")) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, "/file"));
  return content.size() == 1 ? absl::OkStatus() : absl::DataLossError(content);
}

TEST(CrashFileSystemTest, TheExampleOfTheHeader) {
  CrashFileSystem fs;
  fs.CrashAt(17);                // The 17th sync, rename, removal or truncation fails, ...
  EXPECT_FALSE(Work(&fs).ok());  // ... and every call after it.
  fs.Restart(CrashFileSystem::kMix, /*seed=*/5);
  PROTOPAGE_EXPECT_OK(Recover(&fs));  // Sees what the device had.
}

TEST(CrashFileSystemTest, OnlyWhatWasSyncedIsCertain) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK(fs.CreateDirectories("/a"));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/a/both", "both", true));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/a/name", "name", false));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/a"));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/a/content", "content", true));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs, "/a/atomic", "old"));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/a/atomic.tmp", "new", true));
  PROTOPAGE_ASSERT_OK(fs.Rename("/a/atomic.tmp", "/a/atomic"));
  EXPECT_EQ(ContentOf(&fs, "/a/atomic"), "new");
  fs.Restart(CrashFileSystem::kDropAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/a/both"), "both");
  EXPECT_EQ(ContentOf(&fs, "/a/name"), "");
  // The atomic write synced its directory after it.
  EXPECT_EQ(ContentOf(&fs, "/a/content"), "content");
  EXPECT_EQ(ContentOf(&fs, "/a/atomic"), "old");
}

TEST(CrashFileSystemTest, TheCallFailsAndAllAfterItUntilARestart) {
  CrashFileSystem fs;
  fs.CrashAt(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK(file->Lock());
  PROTOPAGE_ASSERT_OK(file->WriteAt(0, "ab", 2));
  PROTOPAGE_ASSERT_OK(file->Sync());
  EXPECT_THAT(fs.SyncDirectory("/"), StatusIs(absl::StatusCode::kUnavailable, "power"));
  EXPECT_TRUE(fs.crashed());
  EXPECT_THAT(file->WriteAt(0, "c", 1), StatusIs(absl::StatusCode::kUnavailable, "power"));
  EXPECT_THAT(fs.Open("/g", OpenMode::kCreate), StatusIs(absl::StatusCode::kUnavailable, "power"));
  fs.Restart(CrashFileSystem::kKeepAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/f"), "ab");
  EXPECT_THAT(file->Sync(), StatusIs(absl::StatusCode::kUnavailable, "power"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto again, fs.Open("/f", OpenMode::kReadWrite));
  PROTOPAGE_EXPECT_OK(again->Lock());
}

TEST(CrashFileSystemTest, AWriteThatFailsHappensInPartBySectors) {
  const std::string old(2048, '0'), data(1500, '1');
  for (const int64_t offset : {0, 100}) {
    CrashFileSystem fs;
    PROTOPAGE_ASSERT_OK(Write(&fs, "/f", old, true));
    PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kReadWrite));
    fs.CrashAt(2, /*write_every=*/2);
    PROTOPAGE_ASSERT_OK(file->WriteAt(2000, "x", 1));
    PROTOPAGE_ASSERT_OK(file->WriteAt(2001, "y", 1));
    PROTOPAGE_ASSERT_OK(file->WriteAt(2002, "z", 1));
    EXPECT_THAT(file->WriteAt(offset, data.data(), static_cast<int64_t>(data.size())),
                StatusIs(absl::StatusCode::kUnavailable, "power"));
    fs.Restart(CrashFileSystem::kKeepAll, 0);
    std::string want = old;
    want.replace(2000, 3, "xyz");
    want.replace(offset, 512 - offset, 512 - offset, '1');
    EXPECT_EQ(ContentOf(&fs, "/f"), want);
  }
}

TEST(CrashFileSystemTest, AWriteInsideOfASectorHappensOrDoesNot) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK(Write(&fs, "/f", "0000", true));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kReadWrite));
  fs.CrashAt(1, /*write_every=*/1);
  EXPECT_THAT(file->WriteAt(0, "1111", 4), StatusIs(absl::StatusCode::kUnavailable, "power"));
  fs.Restart(CrashFileSystem::kKeepAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/f"), "0000");
}

// As POSIX allows: neither a name nor what a directory holds is durable by the sync of a file in
// it.
TEST(CrashFileSystemTest, ADirectoryIsAsDurableAsItsOwnName) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK(fs.CreateDirectories("/a/b"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs, "/a/b/f", "f"));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/a"));
  fs.Restart(CrashFileSystem::kDropAll, 0);
  EXPECT_FALSE(fs.Exists("/a"));

  PROTOPAGE_ASSERT_OK(fs.CreateDirectories("/a/b"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs, "/a/b/f", "f"));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/a"));
  fs.Restart(CrashFileSystem::kDropAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/a/b/f"), "f");

  // Removals, links, and truncations are no more durable.
  PROTOPAGE_ASSERT_OK(fs.Link("/a/b/f", "/a/b/g"));
  PROTOPAGE_ASSERT_OK(fs.Remove("/a/b/f"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/a/b/g", OpenMode::kCreate));
  fs.Restart(CrashFileSystem::kDropAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/a/b/f"), "f");
  EXPECT_FALSE(fs.Exists("/a/b/g"));
}

TEST(CrashFileSystemTest, ASyncThatFailsDropsTheDataUntilItIsWrittenAgain) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK(file->WriteAt(0, "abcd", 4));
  fs.FailSyncAt(1);
  EXPECT_THAT(file->Sync(), StatusIs(absl::StatusCode::kUnavailable, "injected failure"));
  EXPECT_TRUE(fs.sync_failed());
  EXPECT_EQ(ContentOf(&fs, "/f"), "abcd");
  PROTOPAGE_ASSERT_OK(file->WriteAt(2, "xy", 2));
  PROTOPAGE_ASSERT_OK(file->Sync());
  fs.Restart(CrashFileSystem::kDropAll, 0);
  EXPECT_EQ(ContentOf(&fs, "/f"), std::string("\0\0xy", 4));
}

TEST(CrashFileSystemTest, TheNewestWriteAndNameMaySurviveWithoutThoseBefore) {
  CrashFileSystem fs;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
  PROTOPAGE_ASSERT_OK(file->WriteAt(0, "aaaa", 4));
  PROTOPAGE_ASSERT_OK(file->Sync());
  PROTOPAGE_ASSERT_OK(file->WriteAt(0, "bb", 2));
  PROTOPAGE_ASSERT_OK(file->WriteAt(3, "c", 1));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/x", "x", true));
  PROTOPAGE_ASSERT_OK(Write(&fs, "/y", "y", true));
  fs.Restart(CrashFileSystem::kKeepNewest, 0);
  EXPECT_EQ(ContentOf(&fs, "/f"), "aaac");
  EXPECT_FALSE(fs.Exists("/x"));
  EXPECT_EQ(ContentOf(&fs, "/y"), "y");
}

// Of base/file.h, which this file system is the test of.
TEST(CrashFileSystemTest, AFileWrittenAtomicallyIsTheOldOneOrTheNew) {
  for (const auto loss : {CrashFileSystem::kDropAll, CrashFileSystem::kKeepAll,
                          CrashFileSystem::kKeepNewest, CrashFileSystem::kMix}) {
    for (int64_t event = 1; event <= 4; ++event) {
      SCOPED_TRACE(testing::Message() << "loss " << loss << ", event " << event);
      CrashFileSystem fs;
      PROTOPAGE_ASSERT_OK(WriteFileAtomically(&fs, "/f", "old"));
      fs.CrashAt(event);
      const absl::Status status = WriteFileAtomically(&fs, "/f", "new");
      fs.Restart(loss, event);
      if (status.ok()) {
        EXPECT_EQ(event, 4);  // After it: a sync, a rename, and a sync of the directory.
        EXPECT_EQ(ContentOf(&fs, "/f"), "new");
      } else {
        EXPECT_THAT(ContentOf(&fs, "/f"), testing::AnyOf("old", "new"));
      }
    }
  }
}

TEST(CrashFileSystemTest, AMixTearsAtSectorsAndReordersNames) {
  std::set<std::string> contents;
  std::set<std::pair<bool, bool>> names;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CrashFileSystem fs;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open("/f", OpenMode::kCreate));
    PROTOPAGE_ASSERT_OK(file->WriteAt(0, std::string(1024, '0').data(), 1024));
    PROTOPAGE_ASSERT_OK(file->Sync());
    PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
    PROTOPAGE_ASSERT_OK(file->WriteAt(100, std::string(800, '1').data(), 800));
    PROTOPAGE_ASSERT_OK(file->WriteAt(0, std::string(1024, '2').data(), 1024));
    PROTOPAGE_ASSERT_OK(Write(&fs, "/x", "x", true));
    PROTOPAGE_ASSERT_OK(Write(&fs, "/y", "y", true));
    fs.Restart(CrashFileSystem::kMix, seed);
    const std::string content = ContentOf(&fs, "/f");
    ASSERT_EQ(content.size(), 1024u);
    const std::string first = content.substr(0, 512), second = content.substr(512);
    const std::string old(512, '0'), newest(512, '2');
    EXPECT_TRUE(first == old || first == newest ||
                first == std::string(100, '0') + std::string(412, '1'));
    EXPECT_TRUE(second == old || second == newest ||
                second == std::string(388, '1') + std::string(124, '0'));
    contents.insert(std::string{first[511], second[0]});
    names.insert({fs.Exists("/x"), fs.Exists("/y")});
  }
  EXPECT_EQ(contents.size(), 9u);
  EXPECT_EQ(names.size(), 4u);
}

}  // namespace
}  // namespace protopage
