// CrashFileSystem: a disk in memory that loses power.
//
// What was written but not synced, and names that were made, changed or removed without a sync of
// their directory, are kept apart from what is durable. At a crash they are dropped, kept, or
// mixed: each sector of 512 bytes gets the content it had at some moment since the file's last
// sync, the file's size as well, and each change of a name happened or did not, whatever became of
// those before it. Or only the newest ones survive, which is what a sync that is missing before
// them is found by.
//
//   CrashFileSystem fs;
//   fs.CrashAt(17);                       // At the 17th sync, rename, removal or truncation from now on, ...
//   EXPECT_FALSE(Work(&fs).ok());         // ... from where on every call fails.
//   fs.Restart(CrashFileSystem::kMix, /*seed=*/5);
//   PROTOPAGE_EXPECT_OK(Recover(&fs));              // Sees what the device had.
//
// Paths are absolute; "/" exists. Thread-safe.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_
#define PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"

namespace protopage {

class CrashFileSystem : public FileSystem {
 public:
  // What becomes of all that was not synced.
  enum Loss {
    kDropAll,
    kKeepAll,
    kKeepNewest,  // The newest write of each file, and the newest change of a name.
    kMix,
  };

  CrashFileSystem();
  ~CrashFileSystem() override;

  // The power goes at the event-th event from now on, before it happens; 0: never. Every
  // write_every-th write is an event too, of which a part happens; 0: none is.
  void CrashAt(int64_t event, int64_t write_every = 0);
  // The sync-th sync of a file from now on fails, and once; 0: none does. As on Linux, what it
  // should have made durable is still read but will never be durable, unless it is written again.
  void FailSyncAt(int64_t sync);
  bool crashed() const;
  int64_t events() const;
  // After a crash, or as if there were one now. Files that are open stay dead.
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

  // These need mutex_.
  absl::Status Event(const std::string& what);
  absl::Status CheckParent(const std::string& path) const;
  void Change(const NameChange& change);
  static void Apply(const NameChange& change, Names* names);

  mutable std::mutex mutex_;
  Names names_;    // As programs see them.
  Names durable_;  // As a crash leaves them at least.
  std::vector<NameChange> changes_;
  int64_t events_ = 0;
  int64_t writes_ = 0;
  int64_t until_crash_ = 0;
  int64_t write_every_ = 0;
  int64_t until_failure_ = 0;  // Syncs.
  bool crashed_ = false;
  int64_t life_ = 0;  // Restarts so far.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_CRASH_FILE_SYSTEM_H_
