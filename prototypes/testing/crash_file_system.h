// CrashFileSystem: a disk in memory that loses power.
//
// It keeps what is durable apart from what is not: writes since the last sync of their file, and
// changes of names since the last sync of their directory. A crash drops all of the latter, keeps
// it all, or mixes: each sector of 512 bytes, and the size of each file, is as it was at some
// moment since the file's last sync, and each change of a name happened or did not, whatever became
// of the earlier ones. Or only the newest ones survive, which shows that a sync is missing before
// them.
//
//   CrashFileSystem fs;
//   fs.CrashAt(17);                // The 17th sync, rename, removal or truncation fails, ...
//   EXPECT_FALSE(Work(&fs).ok());  // ... and every call after it.
//   fs.Restart(CrashFileSystem::kMix, /*seed=*/5);
//   PROTOPAGE_EXPECT_OK(Recover(&fs));  // Sees what the device had.
//
// Paths are absolute; "/" exists. Thread-safe.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_
#define PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"

namespace protopage {

class CrashFileSystem : public FileSystem {
 public:
  // What a crash does to all that was not synced.
  enum Loss {
    kDropAll,
    kKeepAll,
    kKeepNewest,  // The newest write of each file, and the newest change of a name.
    kMix,
  };

  CrashFileSystem();
  ~CrashFileSystem() override;

  // The power fails at the event-th event from now on, before that happens; 0: never. Every
  // write_every-th write is an event too, and happens in part, by whole sectors; 0: none is.
  void CrashAt(int64_t event, int64_t write_every = 0);
  // The sync-th sync of a file from now on fails, but none after it; 0: none fails. As on Linux,
  // the data that it should have made durable can still be read, but never becomes durable unless
  // it is written again.
  void FailSyncAt(int64_t sync);
  // Whether that sync has come, since the last FailSyncAt.
  bool sync_failed() const;
  bool crashed() const;
  int64_t events() const;
  // Starts the machine again, after a crash or as if there were one now. Files that are open fail
  // from then on.
  void Restart(Loss loss, uint64_t seed);

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Link(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status RemoveDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override;
  bool Exists(const std::string& path) override;
  bool IsDirectory(const std::string& path) override;

 private:
  struct Inode;
  struct NameChange;
  class SimulatedFile;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  // Counts an event; fails once the power has.
  absl::Status Event(const std::string& what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckParent(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Change(const NameChange& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Apply(const NameChange& change, Names* names);

  mutable Mutex mutex_;                    // Guards the inodes too.
  Names names_ ABSL_GUARDED_BY(mutex_);    // As programs see them.
  Names durable_ ABSL_GUARDED_BY(mutex_);  // The least that a crash leaves.
  std::vector<NameChange> changes_ ABSL_GUARDED_BY(mutex_);
  int64_t events_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t until_crash_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t write_every_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t until_failure_ ABSL_GUARDED_BY(mutex_) = 0;  // Syncs.
  bool sync_failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool crashed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t life_ ABSL_GUARDED_BY(mutex_) = 0;  // Restarts so far.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_
