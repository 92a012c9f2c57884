// LaxFileSystem: a file system that leaves out some of the calls that make files durable.
//
// Each sync of a file, sync of a directory and rename has a name: what it is done to, and after
// which write or change. A call that is left out returns OK. A sync then does nothing, and a rename
// becomes what a program does that knows no temporary files: the target is truncated, written in
// place and synced, and the source is removed.
//
// In the names, N stands for numbers. Thread-safe.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_LAX_FILE_SYSTEM_H_
#define PROTOPAGE_PROTOTYPES_TESTING_LAX_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/mutex.h"

namespace protopage {

class LaxFileSystem : public ForwardingFileSystem {
 public:
  // `base` must outlive this. `left_out`, if set, is called before each call that is left out.
  explicit LaxFileSystem(FileSystem* base, std::function<void()> left_out = nullptr)
      : ForwardingFileSystem(base), on_left_out_(std::move(left_out)) {}

  void LeaveOut(std::set<std::string> calls);
  // How often each call was made since the last ForgetCalls.
  std::map<std::string, int64_t> calls() const;
  void ForgetCalls();

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Link(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status RemoveDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;

 private:
  class LaxFile;

  // Counts a call, and says whether it is left out.
  bool IsLeftOut(const std::string& call);
  // Notes a change of a name in its directory.
  void NoteChange(absl::string_view change, const std::string& path);
  absl::Status WriteInPlace(const std::string& from, const std::string& to);

  const std::function<void()> on_left_out_;
  mutable Mutex mutex_;
  std::set<std::string> left_out_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int64_t> calls_ ABSL_GUARDED_BY(mutex_);
  // The newest change of a name in a directory since its last sync.
  std::map<std::string, std::string> changes_ ABSL_GUARDED_BY(mutex_);
  std::set<LaxFile*> open_ ABSL_GUARDED_BY(mutex_);
};

// `path` with N in place of each number; digits that follow a letter, as in "prototypes.h5", stay.
std::string WithoutNumbers(absl::string_view path);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_LAX_FILE_SYSTEM_H_
