#include "protopage/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

absl::Status ErrnoStatus(int error, absl::string_view operation, absl::string_view path) {
  const std::string message = absl::StrCat(operation, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EISDIR:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::Status TooLarge(absl::string_view path, int64_t max_bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat("read ", path, ": it has more than the ", max_bytes, " bytes allowed here"));
}

class PosixFile : public File {
 public:
  // `kind`: the file's mode, of which only the type is used.
  PosixFile(int fd, std::string path, mode_t kind) : fd_(fd), path_(std::move(path)), kind_(kind) {}
  ~PosixFile() override { close(fd_); }

  absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
    const ReadPiece piece{offset, data, size};
    return ReadPieces(absl::MakeConstSpan(&piece, 1));
  }

  absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
    const WritePiece piece{offset, data, size};
    return WritePieces(absl::MakeConstSpan(&piece, 1));
  }

  // Copies the pieces that are in the page cache first, then requests all others from the device at
  // once: read one after the other, the rows of a step would each wait for the device.
  absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
    PROTOPAGE_RETURN_IF_ERROR(CheckIsPlain());
    const auto read = [this](const iovec* parts, int count, int64_t offset) {
      return preadv(fd_, parts, count, offset);
    };
    // Fails instead of waiting for the device.
    const auto read_cached = [this](const iovec* parts, int count, int64_t offset) {
      return preadv2(fd_, parts, count, offset, RWF_NOWAIT);
    };
    std::vector<absl::Span<const ReadPiece>> missing;
    PROTOPAGE_RETURN_IF_ERROR(ForEachRun(pieces, [&](absl::Span<const ReadPiece> run) {
      // Any other error of this attempt, for example where the file system does not support it,
      // is found again below.
      if (run.size() == pieces.size() || !MoveRun(run, "read", read_cached).ok()) {
        missing.push_back(run);
      }
      return absl::OkStatus();
    }));
    if (missing.size() > 1) {
      for (const absl::Span<const ReadPiece> run : missing) {
        posix_fadvise(fd_, run.front().offset, EndOf(run.back()) - run.front().offset,
                      POSIX_FADV_WILLNEED);
      }
    }
    for (const absl::Span<const ReadPiece> run : missing) {
      PROTOPAGE_RETURN_IF_ERROR(MoveRun(run, "read", read));
    }
    return absl::OkStatus();
  }

  absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
    return ForEachRun(pieces, [this](absl::Span<const WritePiece> run) {
      return MoveRun(run, "write", [this](const iovec* parts, int count, int64_t offset) {
        return pwritev(fd_, parts, count, offset);
      });
    });
  }

  absl::StatusOr<int64_t> Size() override {
    PROTOPAGE_RETURN_IF_ERROR(CheckIsPlain());
    struct stat info;
    if (fstat(fd_, &info) != 0) return ErrnoStatus(errno, "stat", path_);
    return static_cast<int64_t>(info.st_size);
  }

  absl::StatusOr<std::string> ReadAll(int64_t max_bytes) override {
    const bool waits = S_ISFIFO(kind_) || isatty(fd_) == 1;
    int64_t expected = 0;
    if (!waits) {
      PROTOPAGE_ASSIGN_OR_RETURN(expected, Size());
      if (expected > max_bytes) return TooLarge(path_, max_bytes);
    }
    constexpr int64_t kBlock = int64_t{64} << 10;
    std::string content;
    int64_t size = 0;
    while (true) {
      if (size == static_cast<int64_t>(content.size())) {
        // One byte more than expected shows the end.
        content.resize(size == 0 && expected > 0 ? expected + 1 : size + std::max(kBlock, size));
      }
      if (waits) {
        pollfd readable = {fd_, POLLIN, 0};
        poll(&readable, 1, /*timeout=*/-1);
      }
      const ssize_t count = read(fd_, &content[size], content.size() - size);
      if (count < 0 && errno != EINTR && errno != EAGAIN) return ErrnoStatus(errno, "read", path_);
      if (count > 0) size += count;
      if (size > max_bytes) return TooLarge(path_, max_bytes);
      if (count == 0) {
        content.resize(size);
        return content;
      }
    }
  }

  absl::Status Truncate(int64_t size) override {
    if (ftruncate(fd_, size) != 0) return ErrnoStatus(errno, "truncate", path_);
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (fdatasync(fd_) != 0) return ErrnoStatus(errno, "sync", path_);
    return absl::OkStatus();
  }

  absl::Status Lock() override {
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(
          absl::StrCat("lock ", path_, ": another process holds it"));
    }
    return ErrnoStatus(errno, "lock", path_);
  }

  absl::StatusOr<ByteRange> NextData(int64_t offset) override {
    PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, Size());
    if (offset >= size) return ByteRange{size, size};
    const off_t begin = lseek(fd_, offset, SEEK_DATA);
    if (begin < 0) {
      if (errno == ENXIO) return ByteRange{size, size};     // A hole up to the end.
      if (errno == EINVAL) return ByteRange{offset, size};  // Not supported here.
      return ErrnoStatus(errno, "seek", path_);
    }
    const off_t end = lseek(fd_, begin, SEEK_HOLE);
    if (end < 0) return ErrnoStatus(errno, "seek", path_);
    return ByteRange{begin, end};
  }

  void ExpectScatteredReads() override { posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM); }

 private:
  absl::Status CheckIsPlain() const {
    if (S_ISREG(kind_)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "read ", path_, ": it is ", S_ISFIFO(kind_) ? "a pipe" : "a device", ", not a plain file"));
  }

  template <typename Piece>
  static int64_t EndOf(const Piece& piece) {
    return piece.offset + piece.size;
  }

  // Calls `move_run` for each run of pieces that touch.
  template <typename Piece, typename MoveRunFunction>
  absl::Status ForEachRun(absl::Span<const Piece> pieces, MoveRunFunction move_run) {
    size_t first = 0;
    while (first < pieces.size()) {
      size_t last = first + 1;
      while (last < pieces.size() && last - first < IOV_MAX &&
             pieces[last].offset == EndOf(pieces[last - 1])) {
        ++last;
      }
      PROTOPAGE_CHECK(last == pieces.size() || pieces[last].offset >= EndOf(pieces[last - 1]));
      PROTOPAGE_RETURN_IF_ERROR(move_run(pieces.subspan(first, last - first)));
      first = last;
    }
    return absl::OkStatus();
  }

  // Moves the bytes of a run by `move`, which reads or writes a vector of buffers at an offset and
  // returns the number of bytes moved, as preadv does.
  template <typename Piece, typename Move>
  absl::Status MoveRun(absl::Span<const Piece> run, absl::string_view operation, Move move) {
    std::vector<iovec> parts;
    parts.reserve(run.size());
    int64_t left = 0;
    for (const Piece& piece : run) {
      parts.push_back({const_cast<void*>(static_cast<const void*>(piece.data)),
                       static_cast<size_t>(piece.size)});
      left += piece.size;
    }
    int64_t offset = run[0].offset;
    size_t part = 0;
    while (left > 0) {
      const ssize_t moved =
          move(parts.data() + part, static_cast<int>(parts.size() - part), offset);
      if (moved < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, operation, path_);
      }
      if (moved == 0) {
        return absl::OutOfRangeError(absl::StrCat(operation, " ", path_, ": the file ends at byte ",
                                                  offset, ", ", left, " bytes short"));
      }
      offset += moved;
      left -= moved;
      int64_t skip = moved;
      while (part < parts.size() && skip >= static_cast<int64_t>(parts[part].iov_len)) {
        skip -= parts[part].iov_len;
        ++part;
      }
      if (skip > 0) {
        parts[part].iov_base = static_cast<char*>(parts[part].iov_base) + skip;
        parts[part].iov_len -= skip;
      }
    }
    return absl::OkStatus();
  }

  const int fd_;
  const std::string path_;
  const mode_t kind_;
};

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY | O_NONBLOCK;  // Or a pipe would wait for a writer.
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT | O_TRUNC;
        break;
      case OpenMode::kCreateExclusive:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    const int fd = open(path.c_str(), flags, 0644);
    if (fd < 0) return ErrnoStatus(errno, "open", path);
    struct stat info;
    const int error = fstat(fd, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : 0;
    if (error != 0) {
      close(fd);
      return ErrnoStatus(error, "open", path);
    }
    // What is written may be a device, as /dev/full in tests.
    const mode_t kind = mode == OpenMode::kRead ? info.st_mode : mode_t{S_IFREG};
    return std::unique_ptr<File>(new PosixFile(fd, path, kind));
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus(errno, "rename", absl::StrCat(from, " to ", to));
    }
    return absl::OkStatus();
  }

  absl::Status Link(const std::string& from, const std::string& to) override {
    if (link(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus(errno, "link", absl::StrCat(from, " to ", to));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove", path);
    return absl::OkStatus();
  }

  absl::Status CreateDirectories(const std::string& path) override {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string prefix = path.substr(0, end);
      if (!prefix.empty() && mkdir(prefix.c_str(), 0755) != 0) {
        const int error = errno;  // IsDirectory sets it too.
        if (!IsDirectory(prefix)) return ErrnoStatus(error, "create directory", prefix);
      }
      if (end == std::string::npos) return absl::OkStatus();
    }
  }

  absl::Status RemoveDirectory(const std::string& path) override {
    if (rmdir(path.c_str()) != 0) return ErrnoStatus(errno, "remove directory", path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno, "open directory", path);
    const int result = fsync(fd);
    const int error = errno;
    close(fd);
    if (result != 0) return ErrnoStatus(error, "sync directory", path);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) return ErrnoStatus(errno, "list", path);
    std::vector<std::string> names;
    int error = 0;
    while (true) {
      errno = 0;
      const dirent* entry = readdir(directory);
      if (entry == nullptr) {
        error = errno;  // 0 at the end.
        break;
      }
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    if (error != 0) return ErrnoStatus(error, "list", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override {
    struct stat info;
    return stat(path.c_str(), &info) == 0;
  }

  bool IsDirectory(const std::string& path) override {
    struct stat info;
    return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  absl::StatusOr<PathInfo> Info(const std::string& path) override {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
    const PathInfo::Kind kind = S_ISREG(info.st_mode)   ? PathInfo::Kind::kFile
                                : S_ISDIR(info.st_mode) ? PathInfo::Kind::kDirectory
                                                        : PathInfo::Kind::kOther;
    return PathInfo{kind, info.st_dev, info.st_ino};
  }

  absl::Status TakeAccess(const std::string& from, const std::string& to) override {
    struct stat info;
    if (stat(from.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", from);
    if (access(from.c_str(), W_OK) != 0) return ErrnoStatus(errno, "write", from);
    // Only root may give files away, and a group only its members; then we keep the file.
    [[maybe_unused]] const int given = chown(to.c_str(), info.st_uid, info.st_gid);
    if (chmod(to.c_str(), info.st_mode & 0777) != 0) return ErrnoStatus(errno, "chmod", to);
    return absl::OkStatus();
  }

  std::string FollowLinks(const std::string& path) override {
    std::string at = path;
    for (int links = 0; links < 40; ++links) {  // As Linux does.
      char target[PATH_MAX];
      const ssize_t size = readlink(at.c_str(), target, sizeof(target));
      if (size < 0 || size == sizeof(target)) return at;
      const absl::string_view name(target, static_cast<size_t>(size));
      at = absl::StartsWith(name, "/") ? std::string(name) : JoinPath(DirectoryOf(at), name);
    }
    return path;  // A loop, which opening it reports.
  }
};

// The process that a temporary file for `target` is of; 0: it is none.
pid_t ProcessOf(absl::string_view name, absl::string_view target) {
  if (!absl::ConsumePrefix(&name, target) || !absl::ConsumePrefix(&name, ".") ||
      !absl::ConsumeSuffix(&name, ".tmp")) {
    return 0;
  }
  pid_t process = 0;
  return absl::SimpleAtoi(name.substr(0, name.find('-')), &process) ? process : 0;
}

void RemoveLeftTemporaries(FileSystem* fs, const std::string& path) {
  const absl::StatusOr<std::vector<std::string>> names = fs->List(DirectoryOf(path));
  if (!names.ok()) return;  // Whatever it is, opening the temporary file tells.
  for (const std::string& name : *names) {
    const pid_t process = ProcessOf(absl::StripSuffix(name, ".lock"), BaseName(path));
    if (process == 0) continue;
    // A process of this number may run elsewhere, with its own numbers: then it holds the lock.
    if (process != getpid() && (kill(process, 0) == 0 || errno != ESRCH)) continue;
    const std::string left = JoinPath(DirectoryOf(path), name);
    const auto file = fs->Open(left, OpenMode::kReadWrite);
    if (file.ok() && (*file)->Lock().ok()) fs->Remove(left).IgnoreError();
  }
}

}  // namespace

absl::StatusOr<std::string> File::ReadAll(int64_t max_bytes) {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, Size());
  if (size > max_bytes) return TooLarge("a file", max_bytes);
  std::string content(size, '\0');
  PROTOPAGE_RETURN_IF_ERROR(ReadAt(0, &content[0], size));
  return content;
}

absl::StatusOr<ByteRange> File::NextData(int64_t offset) {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, Size());
  return ByteRange{std::min(offset, size), size};
}

absl::StatusOr<PathInfo> FileSystem::Info(const std::string& path) {
  if (!Exists(path)) return ErrnoStatus(ENOENT, "stat", path);
  return PathInfo{IsDirectory(path) ? PathInfo::Kind::kDirectory : PathInfo::Kind::kFile};
}

FileSystem* DefaultFileSystem() {
  static FileSystem* file_system = new PosixFileSystem;
  return file_system;
}

std::string JoinPath(absl::string_view dir, absl::string_view name) {
  if (dir.empty()) return std::string(name);
  return absl::StrCat(dir, dir.back() == '/' ? "" : "/", name);
}

std::string DirectoryOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return std::string(path.substr(0, std::max<size_t>(slash, 1)));
}

std::string BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == absl::string_view::npos ? path : path.substr(slash + 1));
}

absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_RETURN_IF_ERROR(file->Size().status());  // It is a plain file.
  return file->ReadAll(std::numeric_limits<int64_t>::max());
}

absl::StatusOr<std::string> ReadFileOrPipe(FileSystem* fs, const std::string& path,
                                           int64_t max_bytes) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs->Open(path, OpenMode::kRead));
  return file->ReadAll(max_bytes);
}

absl::StatusOr<std::unique_ptr<File>> OpenTemporary(FileSystem* fs, const std::string& path,
                                                    std::string* temporary) {
  const absl::StatusOr<PathInfo> info = fs->Info(path);
  if (info.ok() && info->kind == PathInfo::Kind::kOther) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a pipe, a socket or a device, which no file can replace"));
  }
  RemoveLeftTemporaries(fs, path);
  constexpr int kAtOnce = 100;
  for (int i = 0;; ++i) {
    *temporary = absl::StrCat(path, ".", getpid(), i == 0 ? "" : absl::StrCat("-", i), ".tmp");
    absl::StatusOr<std::unique_ptr<File>> file = fs->Open(*temporary, OpenMode::kCreateExclusive);
    // Another thread, or a process elsewhere, writes the same file.
    if (absl::IsAlreadyExists(file.status()) && i < kAtOnce) continue;
    PROTOPAGE_RETURN_IF_ERROR(file.status());
    // Where locks are not supported, what another process leaves stays.
    (*file)->Lock().IgnoreError();
    if (!info.ok() || info->kind != PathInfo::Kind::kFile) return file;
    const absl::Status access = fs->TakeAccess(path, *temporary);
    if (access.ok()) return file;
    fs->Remove(*temporary).IgnoreError();
    return access;
  }
}

bool IsTemporaryName(absl::string_view name, absl::string_view target) {
  return ProcessOf(name, target) != 0;
}

absl::Status ReplaceFile(
    FileSystem* fs, const std::string& name,
    absl::FunctionRef<absl::Status(File* file, const std::string& temporary)> write) {
  const std::string path = fs->FollowLinks(name);
  std::string temporary;
  const auto write_and_sync = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                               OpenTemporary(fs, path, &temporary));
    PROTOPAGE_RETURN_IF_ERROR(write(file.get(), temporary));
    return file->Sync();
  };
  absl::Status status = write_and_sync();
  if (status.ok()) status = fs->Rename(temporary, path);
  if (!status.ok()) {
    fs->Remove(temporary).IgnoreError();
    return status;
  }
  return fs->SyncDirectory(DirectoryOf(path));
}

absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path,
                                 absl::string_view content) {
  return ReplaceFile(fs, path, [&](File* file, const std::string&) {
    return file->WriteAt(0, content.data(), content.size());
  });
}

absl::Status CopyData(File* from, const ByteRange& range, File* to, int64_t begin) {
  // Writes small pieces, so that the page cache uses small folios: see ExpectScatteredReads.
  constexpr int64_t kRead = int64_t{1} << 20, kWrite = int64_t{16} << 10;
  std::vector<char> block(std::min(kRead, range.end - range.begin));
  for (int64_t at = range.begin; at < range.end;) {
    PROTOPAGE_ASSIGN_OR_RETURN(const ByteRange data, from->NextData(at));
    const int64_t end = std::min(data.end, range.end);
    for (at = data.begin; at < end;) {
      const int64_t count = std::min(end - at, kRead);
      PROTOPAGE_RETURN_IF_ERROR(from->ReadAt(at, block.data(), count));
      for (int64_t i = 0; i < count; i += kWrite) {
        PROTOPAGE_RETURN_IF_ERROR(to->WriteAt(begin + at - range.begin + i, block.data() + i,
                                              std::min(kWrite, count - i)));
      }
      at += count;
    }
  }
  return absl::OkStatus();
}

absl::Status CopyContent(File* from, File* to) {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, from->Size());
  PROTOPAGE_RETURN_IF_ERROR(to->Truncate(size));
  return CopyData(from, {0, size}, to, 0);
}

absl::Status CopyFileAtomically(FileSystem* fs, const std::string& from, const std::string& to) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> source, fs->Open(from, OpenMode::kRead));
  return ReplaceFile(
      fs, to, [&](File* target, const std::string&) { return CopyContent(source.get(), target); });
}

}  // namespace protopage
