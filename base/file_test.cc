#include "protopage/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/file_test_", getpid(), "_", name);
}

absl::Status Example(const std::string& path) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(auto file, fs->Open(path, OpenMode::kCreate));
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, "hello", 5));
  PROTOPAGE_RETURN_IF_ERROR(file->Sync());
  PROTOPAGE_RETURN_IF_ERROR(fs->SyncDirectory(DirectoryOf(path)));  // The name is durable too.
  return absl::OkStatus();
}

TEST(FileTest, TheExampleOfTheHeader) {
  const std::string path = TempPath("example");
  PROTOPAGE_ASSERT_OK(Example(path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(DefaultFileSystem(), path));
  EXPECT_EQ(content, "hello");
}

class NoSyncFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  absl::Status Sync() override { return absl::OkStatus(); }
};

TEST(ForwardingFileTest, TheExampleOfTheHeader) {
  class NoSync : public ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    absl::Status Sync() override { return absl::DataLossError("sync"); }
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto file,
                                 DefaultFileSystem()->Open(TempPath("no_sync"), OpenMode::kCreate));
  // The calls that are not overridden reach the file below.
  NoSyncFile outer(std::make_unique<NoSync>(std::move(file)));
  PROTOPAGE_EXPECT_OK(outer.Sync());
  PROTOPAGE_EXPECT_OK(outer.WriteAt(0, "abc", 3));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, outer.Size());
  EXPECT_EQ(size, 3);
}

TEST(FileTest, PiecesGoWhereTheyBelong) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("pieces");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kCreate));
  // Two pieces that touch, and one apart.
  PROTOPAGE_ASSERT_OK(file->WritePieces({{0, "ab", 2}, {2, "cd", 2}, {8, "ef", 2}}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  EXPECT_EQ(size, 10);
  std::string a(3, ' '), b(1, ' '), c(2, ' ');
  PROTOPAGE_ASSERT_OK(file->ReadPieces({{0, &a[0], 3}, {3, &b[0], 1}, {8, &c[0], 2}}));
  EXPECT_EQ(a + b + c, "abcdef");
  EXPECT_THAT(file->ReadAt(9, &c[0], 2), StatusIs(absl::StatusCode::kOutOfRange, "1 bytes short"));
}

TEST(FileTest, FindsDataBetweenHoles) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(TempPath("holes"), OpenMode::kCreate));
  constexpr int64_t kSize = int64_t{64} << 20, kAt = int64_t{16} << 20;
  PROTOPAGE_ASSERT_OK(file->Truncate(kSize));
  PROTOPAGE_ASSERT_OK(file->WriteAt(kAt, "data", 4));
  file->ExpectScatteredReads();
  // File systems differ in where a hole begins, none may lose the data.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ByteRange data, file->NextData(0));
  EXPECT_LE(data.begin, kAt);
  EXPECT_GE(data.end, kAt + 4);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ByteRange none, file->NextData(kSize));
  EXPECT_EQ(none.begin, kSize);
  EXPECT_EQ(none.end, kSize);
}

TEST(FileTest, CopiesWithHoles) {
  FileSystem* fs = DefaultFileSystem();
  const std::string from = TempPath("copy_from"), to = TempPath("copy_to");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(from, OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK(file->Truncate(40000000));
  PROTOPAGE_ASSERT_OK(file->WriteAt(20000000, "data", 4));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, to, "old content"));
  PROTOPAGE_ASSERT_OK(CopyFileAtomically(fs, from, to));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string a, ReadFile(fs, from));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string b, ReadFile(fs, to));
  EXPECT_TRUE(a == b);
  struct stat info;
  ASSERT_EQ(stat(to.c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 20000000);
  EXPECT_THAT(CopyFileAtomically(fs, from + ".missing", to),
              StatusIs(absl::StatusCode::kNotFound, ".missing"));
}

TEST(FileTest, MoreTouchingPiecesThanOneSystemCallTakes) {
  const std::string path = TempPath("many");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(path, OpenMode::kCreate));
  std::string data(5000, 'x');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>('a' + i % 26);
  std::vector<WritePiece> pieces;
  for (int64_t i = 0; i < 5000; ++i) pieces.push_back({i, &data[i], 1});
  PROTOPAGE_ASSERT_OK(file->WritePieces(pieces));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string read, ReadFile(DefaultFileSystem(), path));
  EXPECT_EQ(read, data);
}

TEST(FileTest, PiecesAreReadWhetherOrNotThePageCacheHasThem) {
  const std::string path = TempPath("cold");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(path, OpenMode::kCreate));
  std::string data(1 << 20, 'x');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + (i >> 12));
  PROTOPAGE_ASSERT_OK(file->WriteAt(0, data.data(), static_cast<int64_t>(data.size())));
  PROTOPAGE_ASSERT_OK(file->Sync());
  const int fd = open(path.c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  char byte;
  ASSERT_EQ(pread(fd, &byte, 1, 500000), 1);  // Some pages are there again.
  close(fd);
  std::string read(data.size(), ' ');
  std::vector<ReadPiece> pieces;
  for (int64_t at = 0; at + 100 < 1 << 20; at += 9001) pieces.push_back({at, &read[at], 100});
  PROTOPAGE_ASSERT_OK(file->ReadPieces(pieces));
  for (const ReadPiece& piece : pieces) {
    ASSERT_EQ(read.substr(piece.offset, 100), data.substr(piece.offset, 100)) << piece.offset;
  }
  std::string last(100, ' ');
  pieces.push_back({(1 << 20) - 50, &last[0], 100});
  EXPECT_THAT(file->ReadPieces(pieces), StatusIs(absl::StatusCode::kOutOfRange, "50 bytes short"));
}

TEST(FileTest, ALinkKeepsTheFileWhenItsFirstNameGoes) {
  FileSystem* fs = DefaultFileSystem();
  const std::string first = TempPath("first"), second = TempPath("second");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, first, "content"));
  PROTOPAGE_ASSERT_OK(fs->Link(first, second));
  EXPECT_THAT(fs->Link(first, second), StatusIs(absl::StatusCode::kAlreadyExists, second));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, first, "another file of that name"));
  PROTOPAGE_ASSERT_OK(fs->Remove(first));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, second));
  EXPECT_EQ(content, "content");
  EXPECT_THAT(fs->Link(first, TempPath("third")), StatusIs(absl::StatusCode::kNotFound, first));
}

TEST(FileTest, InfoTellsWhatAPathIs) {
  FileSystem* const fs = DefaultFileSystem();
  const std::string dir = TempPath("info");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, dir + "/file", "x"));
  ASSERT_EQ(mkfifo((dir + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(symlink("file", (dir + "/link").c_str()), 0);
  ASSERT_EQ(symlink("gone", (dir + "/dangling").c_str()), 0);
  ASSERT_EQ(symlink("loop", (dir + "/loop").c_str()), 0);
  ForwardingFileSystem forwarding(fs);
  for (FileSystem* const each : {fs, static_cast<FileSystem*>(&forwarding)}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PathInfo folder, each->Info(dir));
    EXPECT_EQ(folder.kind, PathInfo::Kind::kDirectory);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PathInfo file, each->Info(dir + "/file"));
    EXPECT_EQ(file.kind, PathInfo::Kind::kFile);
    EXPECT_NE(file.inode, folder.inode);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PathInfo link, each->Info(dir + "/link"));
    EXPECT_EQ(link.kind, PathInfo::Kind::kFile);
    EXPECT_EQ(link.inode, file.inode);
    EXPECT_EQ(link.device, file.device);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PathInfo pipe, each->Info(dir + "/pipe"));
    EXPECT_EQ(pipe.kind, PathInfo::Kind::kOther);
    EXPECT_THAT(each->Info(dir + "/dangling"), StatusIs(absl::StatusCode::kNotFound, "dangling"));
    EXPECT_THAT(each->Info(dir + "/none"), StatusIs(absl::StatusCode::kNotFound, "none"));
    EXPECT_THAT(each->Info(dir + "/loop"), StatusIs(absl::StatusCode::kUnavailable, "loop"));
  }
}

TEST(FileTest, ErrorsNameTheFile) {
  FileSystem* fs = DefaultFileSystem();
  EXPECT_THAT(fs->Open("/nowhere/x", OpenMode::kRead),
              StatusIs(absl::StatusCode::kNotFound, "open /nowhere/x: No such file"));
  const std::string path = TempPath("exclusive");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kCreateExclusive));
  EXPECT_THAT(fs->Open(path, OpenMode::kCreateExclusive),
              StatusIs(absl::StatusCode::kAlreadyExists, path));
  EXPECT_THAT(fs->List("/nowhere"), StatusIs(absl::StatusCode::kNotFound, "/nowhere"));
}

TEST(FileTest, ADirectoryThatCannotBeMadeSaysWhy) {
  FileSystem* fs = DefaultFileSystem();
  const std::string link = TempPath("dangling");
  ASSERT_EQ(symlink("/nowhere/x", link.c_str()), 0);
  // Looking whether the directory is there fails for another reason.
  EXPECT_THAT(fs->CreateDirectories(link),
              StatusIs(absl::StatusCode::kAlreadyExists, link + ": File exists"));
}

TEST(FileTest, FilesWithoutASizeAreReadToTheirEnd) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string status,
                                 ReadFile(DefaultFileSystem(), "/proc/self/status"));
  EXPECT_THAT(status, testing::HasSubstr("\nPid:"));
}

TEST(FileTest, APipeIsReadToItsEndWhereOneIsAllowed) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  // Without a writer, opening and reading do not wait.
  EXPECT_THAT(ReadFile(fs, path),
              StatusIs(absl::StatusCode::kInvalidArgument, path + ": it is a pipe"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kRead));
  char byte;
  EXPECT_THAT(file->ReadAt(0, &byte, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, "it is a pipe, not a plain file"));
  const std::string text(1000000, 'x');  // More than a pipe holds at a time.
  std::thread writer([&] {
    const int fd = open(path.c_str(), O_WRONLY);
    for (size_t at = 0; at < text.size();) {
      const ssize_t count = write(fd, text.data() + at, text.size() - at);
      if (count <= 0) break;
      at += count;
    }
    close(fd);
  });
  const absl::StatusOr<std::string> content = ReadFileOrPipe(fs, path, 1000000);
  writer.join();
  PROTOPAGE_ASSERT_OK(content);
  EXPECT_EQ(*content, text);
}

TEST(FileTest, ReadingHasALimit) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("limit");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "12345"));
  PROTOPAGE_EXPECT_OK(ReadFileOrPipe(fs, path, 5));
  EXPECT_THAT(ReadFileOrPipe(fs, path, 4),
              StatusIs(absl::StatusCode::kInvalidArgument, "more than the 4 bytes allowed"));
  // Sizes of files in /proc are not known before.
  EXPECT_THAT(ReadFileOrPipe(fs, "/proc/self/status", 4),
              StatusIs(absl::StatusCode::kInvalidArgument, "more than the 4 bytes allowed"));
}

TEST(FileTest, DevicesAndDirectoriesAreNotRead) {
  FileSystem* fs = DefaultFileSystem();
  for (const std::string path : {"/dev/zero", "/dev/null"}) {
    EXPECT_THAT(ReadFile(fs, path),
                StatusIs(absl::StatusCode::kInvalidArgument, path + ": it is a device"));
    EXPECT_THAT(ReadFileOrPipe(fs, path, 1000),
                StatusIs(absl::StatusCode::kInvalidArgument, path + ": it is a device"));
  }
  EXPECT_THAT(ReadFile(fs, testing::TempDir()),
              StatusIs(absl::StatusCode::kInvalidArgument, "Is a directory"));
}

TEST(FileTest, SecondLockIsRefused) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("lock");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto first, fs->Open(path, OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto second, fs->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_EXPECT_OK(first->Lock());
  EXPECT_THAT(second->Lock(), StatusIs(absl::StatusCode::kFailedPrecondition, "another process"));
  first.reset();
  PROTOPAGE_EXPECT_OK(second->Lock());
}

TEST(FileTest, DirectoriesAndAtomicWrite) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = JoinPath(TempPath("dir"), "a/b");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  EXPECT_TRUE(fs->IsDirectory(dir));
  const std::string path = JoinPath(dir, "f");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "one"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "two"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, path));
  EXPECT_EQ(content, "two");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(dir));
  EXPECT_EQ(names, std::vector<std::string>{"f"});
  EXPECT_THAT(fs->CreateDirectories(JoinPath(path, "below")),
              StatusIs(absl::StatusCode::kAlreadyExists, "create directory"));
  PROTOPAGE_EXPECT_OK(fs->Remove(path));
  PROTOPAGE_EXPECT_OK(fs->RemoveDirectory(dir));
  EXPECT_FALSE(fs->Exists(dir));
}

TEST(FileTest, AFailedReplacementLeavesTheOldFileAndNothingElse) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("replace");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  const std::string path = JoinPath(dir, "f");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "old"));
  const auto fail = [](File* file, const std::string& temporary) -> absl::Status {
    EXPECT_EQ(BaseName(temporary), absl::StrCat("f.", getpid(), ".tmp"));
    EXPECT_TRUE(IsTemporaryName(BaseName(temporary), "f"));
    PROTOPAGE_EXPECT_OK(file->WriteAt(0, "half", 4));
    return absl::DataLossError("no more");
  };
  EXPECT_THAT(ReplaceFile(fs, path, fail), StatusIs(absl::StatusCode::kDataLoss, "no more"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, path));
  EXPECT_EQ(content, "old");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(dir));
  EXPECT_EQ(names, std::vector<std::string>{"f"});
}

TEST(FileTest, WritersOfOnePathHaveFilesOfTheirOwn) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("writers");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  const std::string path = JoinPath(dir, "f");
  // While one is written by this process, another process replaces the file, and so does this one.
  const auto write = [&](File* file, const std::string& temporary) -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, "fir", 3));
    const pid_t child = fork();
    if (child == 0) _exit(WriteFileAtomically(fs, path, "of the child").ok() ? 0 : 1);
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    PROTOPAGE_ASSIGN_OR_RETURN(std::string content, ReadFile(fs, path));
    EXPECT_EQ(content, "of the child");
    PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, path, "second"));
    EXPECT_TRUE(fs->Exists(temporary));
    return file->WriteAt(3, "st", 2);
  };
  PROTOPAGE_ASSERT_OK(ReplaceFile(fs, path, write));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, path));
  EXPECT_EQ(content, "first");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(dir));
  EXPECT_EQ(names, std::vector<std::string>{"f"});
}

TEST(FileTest, WhatDeadProcessesLeftIsRemoved) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("left");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  const std::string path = JoinPath(dir, "f");
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  ASSERT_EQ(waitpid(dead, nullptr, 0), dead);
  const std::string lock_path = absl::StrCat(path, ".", dead, "-2.tmp");
  for (const std::string& left :
       {absl::StrCat(path, ".", dead, ".tmp"), absl::StrCat(path, ".", dead, ".tmp.lock"),
        absl::StrCat(path, ".", getpid(), ".tmp"), lock_path, absl::StrCat(path, ".1.tmp"),
        path + ".tmp", path + ".old.tmp", absl::StrCat(path, "2.", dead, ".tmp")}) {
    PROTOPAGE_ASSERT_OK(fs->Open(left, OpenMode::kCreate).status());
  }
  // Of a process elsewhere, whose number is not known here.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto locked, fs->Open(lock_path, OpenMode::kReadWrite));
  PROTOPAGE_ASSERT_OK(locked->Lock());
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "x"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(dir));
  // Process 1 lives; the others are no temporary files of this path.
  EXPECT_THAT(
      names, testing::UnorderedElementsAre("f", "f.1.tmp", "f.tmp", "f.old.tmp",
                                           BaseName(lock_path), absl::StrCat("f2.", dead, ".tmp")));
}

TEST(FileTest, AReplacementKeepsALink) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("links"), other = JoinPath(dir, "other");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(other));
  const std::string first = JoinPath(dir, "first"), second = JoinPath(dir, "second");
  ASSERT_EQ(symlink("second", first.c_str()), 0);
  ASSERT_EQ(symlink(JoinPath(other, "f").c_str(), second.c_str()), 0);
  EXPECT_EQ(fs->FollowLinks(first), JoinPath(other, "f"));
  EXPECT_EQ(fs->FollowLinks(JoinPath(dir, "missing")), JoinPath(dir, "missing"));
  for (const char* text : {"new", "replaced"}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, first, text));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, JoinPath(other, "f")));
    EXPECT_EQ(content, text);
    struct stat info;
    ASSERT_EQ(lstat(first.c_str(), &info), 0);
    EXPECT_TRUE(S_ISLNK(info.st_mode));
  }
  const std::string loop = JoinPath(dir, "loop");
  ASSERT_EQ(symlink("loop", loop.c_str()), 0);
  EXPECT_EQ(fs->FollowLinks(loop), loop);
}

TEST(FileTest, AReplacementKeepsThePermissions) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("access");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  const std::string path = JoinPath(dir, "f");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "old"));
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "new"));
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  if (geteuid() == 0) return;  // Root may write every file.
  ASSERT_EQ(chmod(path.c_str(), 0444), 0);
  EXPECT_THAT(WriteFileAtomically(fs, path, "newer"),
              StatusIs(absl::StatusCode::kPermissionDenied, path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs, path));
  EXPECT_EQ(content, "new");
}

TEST(FileTest, NothingReplacesAPipeOrADevice) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = TempPath("no_files");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(dir));
  const std::string pipe = JoinPath(dir, "pipe"), link = JoinPath(dir, "link");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ASSERT_EQ(symlink("/dev/null", link.c_str()), 0);
  for (const std::string& path : {pipe, link}) {
    EXPECT_THAT(WriteFileAtomically(fs, path, "text"),
                StatusIs(absl::StatusCode::kInvalidArgument, "is a pipe, a socket or a device"));
  }
  struct stat info;
  ASSERT_EQ(lstat(pipe.c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(dir));
  EXPECT_EQ(names, (std::vector<std::string>{"link", "pipe"}));
}

TEST(FileTest, PathParts) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(DirectoryOf("a/b/c"), "a/b");
  EXPECT_EQ(DirectoryOf("c"), ".");
  EXPECT_EQ(DirectoryOf("/c"), "/");
  EXPECT_EQ(BaseName("a/b/c"), "c");
}

}  // namespace
}  // namespace protopage
