// LogFiles: the files of a log's segments, of which only a few are open at a time.
//
//   LogFiles files(fs, directory, LogFiles::kUsedLast, /*most_open=*/16);
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
//                              files.Open(sequence, path, [](File*) { return absl::OkStatus(); }));
//   PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, data, size));
//
// Of a log that is written, the files used last stay open. Of one that is read while another
// process writes it, the files opened first do: the writer removes the oldest segments, and these
// remain readable while they are open.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_LOG_FILES_H_
#define PROTOPAGE_PROTOTYPES_TABLE_LOG_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"

namespace protopage {

// Thread-safe.
class LogFiles {
 public:
  enum Kept { kUsedLast, kOpenedFirst };

  // Of the files that nobody uses, at most `most_open` stay open. `file_system` is not owned.
  LogFiles(FileSystem* file_system, std::string directory, Kept kept, int64_t most_open);
  LogFiles(const LogFiles&) = delete;
  LogFiles& operator=(const LogFiles&) = delete;

  FileSystem* file_system() const { return file_system_; }
  const std::string& directory() const { return directory_; }

  // The file of segment `sequence`, to read it. If it is not open, `path` is opened, and `check` is
  // called with it. The file stays open while the result lives. Errors: the file system's, those of
  // `check`.
  absl::StatusOr<std::shared_ptr<File>> Open(int64_t sequence, const std::string& path,
                                             absl::FunctionRef<absl::Status(File*)> check);
  // Adds an open file of segment `sequence`, in place of one that is there.
  void Add(int64_t sequence, std::shared_ptr<File> file);
  // Closes the file of segment `sequence`, if it is open, once nobody uses it.
  void Close(int64_t sequence);

  int64_t num_open() const;

 private:
  struct OpenFile {
    int64_t sequence;
    std::shared_ptr<File> file;
  };

  // Takes the file out of open_; null if it is not there.
  std::shared_ptr<File> Take(int64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const file_system_;
  const std::string directory_;
  const Kept kept_;
  const int64_t most_open_;
  mutable Mutex mutex_;  // Not held while files are opened or closed.
  std::vector<OpenFile> open_ ABSL_GUARDED_BY(mutex_);  // The last one was used last.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_LOG_FILES_H_
