// The File seam: all durable state of the project goes through it, so that a test can replace the
// disk, count calls, inject faults and simulate a power loss.
//
//   FileSystem* fs = DefaultFileSystem();
//   PROTOPAGE_ASSIGN_OR_RETURN(auto file, fs->Open(path, OpenMode::kCreate));
//   PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, "hello", 5));
//   PROTOPAGE_RETURN_IF_ERROR(file->Sync());
//   PROTOPAGE_RETURN_IF_ERROR(fs->SyncDirectory(DirectoryOf(path)));  // The name is durable too.
#ifndef PROTOPAGE_BASE_FILE_H_
#define PROTOPAGE_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace protopage {

// One piece of a batched read or write: `size` bytes at `offset` of the file.
struct ReadPiece {
  int64_t offset;
  void* data;
  int64_t size;
};
struct WritePiece {
  int64_t offset;
  const void* data;
  int64_t size;
};

// Bytes [begin, end) of a file.
struct ByteRange {
  int64_t begin;
  int64_t end;
};

// Thread-safe; the caller must order calls on overlapping ranges. Every error names the file, the
// operation and the text of errno.
class File {
 public:
  virtual ~File() = default;  // Closes without syncing.

  // Reads exactly `size` bytes. Errors: OutOfRange (the file ends before).
  virtual absl::Status ReadAt(int64_t offset, void* data, int64_t size) = 0;
  virtual absl::Status WriteAt(int64_t offset, const void* data, int64_t size) = 0;
  // Pieces must be sorted by offset and disjoint; pieces that touch are moved by one system call.
  // On error any prefix may have been moved.
  virtual absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) = 0;
  virtual absl::Status WritePieces(absl::Span<const WritePiece> pieces) = 0;
  // Errors: InvalidArgument (a pipe, a terminal or a device).
  virtual absl::StatusOr<int64_t> Size() = 0;
  // All of the file, or all that comes through a pipe or a terminal until its end, which this call
  // waits for. Files whose size is shown as 0, as those of /proc, are read to their end too.
  // Errors: InvalidArgument (more than `max_bytes`; another device).
  virtual absl::StatusOr<std::string> ReadAll(int64_t max_bytes);
  virtual absl::Status Truncate(int64_t size) = 0;
  // Data and size are on the device when this returns (fdatasync).
  virtual absl::Status Sync() = 0;
  // Acquires an advisory exclusive lock, held until the file is closed or the process ends. Errors:
  // FailedPrecondition when another process holds it.
  virtual absl::Status Lock() = 0;

  // The first range at or after `offset` that may hold data: the bytes before it are a hole, which
  // reads as zeros. An empty range at the end of the file when there is none; [offset, size) where
  // the file system does not report holes.
  virtual absl::StatusOr<ByteRange> NextData(int64_t offset);
  // A hint that reads will be small and scattered: nothing is read ahead, and the page cache uses
  // single pages. (A small write into a large cached folio costs time in proportion to the folio,
  // because ext4 walks its buffers.)
  virtual void ExpectScatteredReads() {}
};

// What a path names, links followed.
struct PathInfo {
  enum class Kind { kFile, kDirectory, kOther };  // kOther: a pipe, a socket or a device.
  Kind kind = Kind::kFile;
  // Equal for two paths to one file or directory; both 0 where the file system has no numbers.
  uint64_t device = 0, inode = 0;
};

enum class OpenMode {
  kRead,            // Must exist.
  kReadWrite,       // Must exist.
  kCreate,          // Created, or truncated when it exists; read and write.
  kCreateExclusive  // Must not exist (AlreadyExists); read and write.
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // Never waits: of a pipe or a device only ReadAll can be called. Errors: NotFound, AlreadyExists,
  // PermissionDenied, ResourceExhausted (disk full, too many open files), InvalidArgument (a
  // directory), Unavailable for others.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // `to`, which must not exist, becomes another name of the file `from`. Errors: NotFound,
  // AlreadyExists, others where the file system has no hard links.
  virtual absl::Status Link(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;  // A file. NotFound when missing.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;  // Like mkdir -p.
  virtual absl::Status RemoveDirectory(const std::string& path) = 0;    // An empty one.
  // Makes creations, renames and removals of names in the directory durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // The sorted names in the directory.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  virtual bool IsDirectory(const std::string& path) = 0;
  // Errors: NotFound (also for a link to nothing), PermissionDenied, Unavailable (a loop of links).
  virtual absl::StatusOr<PathInfo> Info(const std::string& path);
  // Gives the file `to` the owner, where that is allowed, and the permissions of `from`, which it
  // is to replace. Errors: PermissionDenied (`from` must not be written).
  virtual absl::Status TakeAccess(const std::string& /*from*/, const std::string& /*to*/) {
    return absl::OkStatus();
  }
  // `path`, or the path that it stands for when it is a symbolic link, whose target need not exist.
  // A rename over the result leaves the link as it is.
  virtual std::string FollowLinks(const std::string& path) { return path; }
};

// The file system of the machine. Never null, never destroyed.
FileSystem* DefaultFileSystem();

// `file_system`, or the machine's own when it is null: options leave it null by default.
inline FileSystem* FileSystemOrDefault(FileSystem* file_system) {
  return file_system == nullptr ? DefaultFileSystem() : file_system;
}

// "dir/name" with exactly one slash; `name` alone when dir is empty.
std::string JoinPath(absl::string_view dir, absl::string_view name);
// The part before the last slash ("." when there is none), and the part after it.
std::string DirectoryOf(absl::string_view path);
std::string BaseName(absl::string_view path);

// The content of a file. Errors: those of Open; InvalidArgument (a pipe or a device).
absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path);
// The text that a user names by a path, which may be a pipe: /dev/stdin, or `<(...)` of a shell.
// Errors: those of Open; InvalidArgument (more than `max_bytes`, or a device).
absl::StatusOr<std::string> ReadFileOrPipe(FileSystem* fs, const std::string& path,
                                           int64_t max_bytes);

// Makes an empty file to be renamed to `path` when it is complete, PATH.PROCESS.tmp in the same
// folder, with the number of this process: no other writer of `path` has the same one. It is locked
// while it is open. Files of this form that dead processes left are removed first. Errors:
// InvalidArgument (`path` is a pipe, a socket or a device), PermissionDenied (it is there and must
// not be written), those of Open.
absl::StatusOr<std::unique_ptr<File>> OpenTemporary(FileSystem* fs, const std::string& path,
                                                    std::string* temporary);
// Whether `name` is one of a temporary file for `target`, both without folders.
bool IsTemporaryName(absl::string_view name, absl::string_view target);

// Replaces a file so that readers see the old content or the new, never a part: `write` fills a
// file of OpenTemporary, which is synced and renamed to `path`, whose directory is then synced. A
// symbolic link stays, and the file that it names is replaced. On error the temporary file is
// removed.
absl::Status ReplaceFile(
    FileSystem* fs, const std::string& path,
    absl::FunctionRef<absl::Status(File* file, const std::string& temporary)> write);

// Does the same with this content.
absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path,
                                 absl::string_view content);

// Copies `range` of a file to the bytes from `begin` on of another. Holes are not written.
absl::Status CopyData(File* from, const ByteRange& range, File* to, int64_t begin);
// Makes the content of `to` that of `from`, sparse where that is. Not synced.
absl::Status CopyContent(File* from, File* to);

// Copies the file `from` to `to` as WriteFileAtomically does. Holes stay holes.
absl::Status CopyFileAtomically(FileSystem* fs, const std::string& from, const std::string& to);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FILE_H_
