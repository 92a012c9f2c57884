#include "protopage/prototypes/testing/crash_file_system.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {

constexpr int64_t kSectorBytes = 512;

struct CrashFileSystem::Inode {
  struct Write {
    int64_t offset;
    std::string data;
    int64_t size_after;
    bool truncate;
  };

  bool directory = false;
  std::string content;
  std::string durable;
  std::vector<Write> pending;
  bool locked = false;

  static void Apply(const Write& write, std::string* bytes) {
    bytes->resize(write.size_after, '\0');
    if (!write.truncate) bytes->replace(write.offset, write.data.size(), write.data);
  }
  void Add(Write write) {
    Apply(write, &content);
    pending.push_back(std::move(write));
  }
  void Sync() {
    for (const Write& write : pending) Apply(write, &durable);
    pending.clear();
  }
  void KeepNewest() { Apply(pending.back(), &durable); }
  // Each sector, and the size, as of some moment since the last sync.
  void Mix(RandomStream& random) {
    std::set<int64_t> sectors;
    for (const Write& write : pending) {
      if (write.truncate) continue;
      const auto bytes = static_cast<int64_t>(write.data.size());
      for (int64_t s = write.offset / kSectorBytes; s * kSectorBytes < write.offset + bytes; ++s) {
        sectors.insert(s);
      }
    }
    // The newest moment is frequent, so that the last write sometimes survives without the earlier
    // ones.
    const auto moment = [&] {
      return random.Below(2) == 0 ? pending.size() : random.Below(pending.size() + 1);
    };
    const uint64_t size_moment = moment();
    const int64_t size = size_moment == 0 ? static_cast<int64_t>(durable.size())
                                          : pending[size_moment - 1].size_after;
    std::string mixed = durable;
    mixed.resize(size, '\0');
    for (const int64_t s : sectors) {
      const int64_t begin = s * kSectorBytes;
      const int64_t end = std::min(begin + kSectorBytes, size);
      if (begin >= end) continue;
      std::string sector(kSectorBytes, '\0');
      if (begin < static_cast<int64_t>(durable.size())) {
        durable.copy(&sector[0], kSectorBytes, begin);
      }
      const uint64_t last = moment();
      for (uint64_t i = 0; i < last; ++i) {
        const Write& write = pending[i];
        const int64_t from = std::max(begin, write.offset);
        const int64_t to =
            std::min(begin + kSectorBytes, write.offset + static_cast<int64_t>(write.data.size()));
        if (write.truncate) {
          const int64_t kept = std::clamp<int64_t>(write.size_after - begin, 0, kSectorBytes);
          std::fill(sector.begin() + kept, sector.end(), '\0');
        } else if (from < to) {
          write.data.copy(&sector[from - begin], to - from, from - write.offset);
        }
      }
      mixed.replace(begin, end - begin, sector, 0, end - begin);
    }
    durable = mixed;
  }
};

// Removes the name `from`, unless it is empty or no longer names `inode`; then makes `to` a name of
// `inode`, unless it is empty.
struct CrashFileSystem::NameChange {
  std::string from;
  std::string to;
  std::shared_ptr<Inode> inode;
};

class CrashFileSystem::SimulatedFile : public File {
 public:
  SimulatedFile(CrashFileSystem* fs, std::string path, std::shared_ptr<Inode> inode, bool writable,
                int64_t life)
      : fs_(fs),
        path_(std::move(path)),
        inode_(std::move(inode)),
        writable_(writable),
        life_(life) {}
  ~SimulatedFile() override {
    const MutexLock lock(fs_->mutex_);
    if (locked_) inode_->locked = false;
  }

  absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("read"));
    if (offset + size > static_cast<int64_t>(inode_->content.size())) {
      return absl::OutOfRangeError(
          absl::StrCat("read ", path_, ": the file ends at byte ", inode_->content.size()));
    }
    if (size > 0) std::memcpy(data, inode_->content.data() + offset, size);
    return absl::OkStatus();
  }
  absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("write"));
    if (!writable_) return absl::UnavailableError(absl::StrCat("write ", path_, ": read-only"));
    if (size == 0) return absl::OkStatus();
    const bool event = fs_->write_every_ > 0 && ++fs_->writes_ % fs_->write_every_ == 0;
    const absl::Status status = event ? fs_->Event("write " + path_) : absl::OkStatus();
    if (!status.ok()) {
      // The first half, in whole sectors.
      size = (offset + size / 2) / kSectorBytes * kSectorBytes - offset;
      if (size <= 0) return status;
    }
    Inode::Write write{offset, std::string(static_cast<const char*>(data), size), 0, false};
    write.size_after = std::max(offset + size, static_cast<int64_t>(inode_->content.size()));
    inode_->Add(std::move(write));
    return status;
  }
  absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
    for (const ReadPiece& piece : pieces) {
      PROTOPAGE_RETURN_IF_ERROR(ReadAt(piece.offset, piece.data, piece.size));
    }
    return absl::OkStatus();
  }
  absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
    for (const WritePiece& piece : pieces) {
      PROTOPAGE_RETURN_IF_ERROR(WriteAt(piece.offset, piece.data, piece.size));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<int64_t> Size() override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("size"));
    return static_cast<int64_t>(inode_->content.size());
  }
  absl::Status Truncate(int64_t size) override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("truncate"));
    PROTOPAGE_RETURN_IF_ERROR(fs_->Event("truncate " + path_));
    inode_->Add({0, "", size, true});
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("sync"));
    PROTOPAGE_RETURN_IF_ERROR(fs_->Event("sync " + path_));
    if (fs_->until_failure_ > 0 && --fs_->until_failure_ == 0) {
      fs_->sync_failed_ = true;
      inode_->pending.clear();
      return absl::UnavailableError(absl::StrCat("sync ", path_, ": injected failure"));
    }
    inode_->Sync();
    return absl::OkStatus();
  }
  absl::Status Lock() override {
    const MutexLock lock(fs_->mutex_);
    PROTOPAGE_RETURN_IF_ERROR(Check("lock"));
    if (inode_->locked) {
      return absl::FailedPreconditionError(
          absl::StrCat("lock ", path_, ": another process holds it"));
    }
    inode_->locked = locked_ = true;
    return absl::OkStatus();
  }

 private:
  absl::Status Check(absl::string_view operation) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(fs_->mutex_) {
    if (!fs_->crashed_ && life_ == fs_->life_) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(operation, " ", path_, ": the power is gone"));
  }

  CrashFileSystem* const fs_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
  const bool writable_;
  const int64_t life_;  // The restart since which the file is open.
  bool locked_ = false;
};

CrashFileSystem::CrashFileSystem() {
  auto root = std::make_shared<Inode>();
  root->directory = true;
  names_["/"] = durable_["/"] = root;
}

CrashFileSystem::~CrashFileSystem() = default;

void CrashFileSystem::CrashAt(int64_t event, int64_t write_every) {
  const MutexLock lock(mutex_);
  until_crash_ = event;
  write_every_ = write_every;
  events_ = writes_ = 0;
}

void CrashFileSystem::FailSyncAt(int64_t sync) {
  const MutexLock lock(mutex_);
  until_failure_ = sync;
  sync_failed_ = false;
}

bool CrashFileSystem::sync_failed() const {
  const MutexLock lock(mutex_);
  return sync_failed_;
}

bool CrashFileSystem::crashed() const {
  const MutexLock lock(mutex_);
  return crashed_;
}

int64_t CrashFileSystem::events() const {
  const MutexLock lock(mutex_);
  return events_;
}

absl::Status CrashFileSystem::Event(const std::string& what) {
  ++events_;
  if (until_crash_ > 0 && --until_crash_ == 0) crashed_ = true;
  if (!crashed_) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(what, ": the power is gone"));
}

void CrashFileSystem::Restart(Loss loss, uint64_t seed) {
  const MutexLock lock(mutex_);
  RandomStream random(seed, RandomPurpose::kTest, static_cast<uint64_t>(life_));
  // Names first: a change that survives may keep an inode that has another name as well.
  if (loss == kMix) {
    // Changes of one name stay in order, as they do in a block of a directory.
    for (const NameChange& change : changes_) {
      if (random.Below(2) == 0) Apply(change, &durable_);
    }
  } else if (loss == kKeepAll) {
    durable_ = names_;
  } else if (loss == kKeepNewest && !changes_.empty()) {
    Apply(changes_.back(), &durable_);
  }
  // A directory that is lost takes all below it along.
  for (auto name = durable_.begin(); name != durable_.end();) {
    const auto parent = durable_.find(DirectoryOf(name->first));
    const bool keep = parent != durable_.end() && parent->second->directory;
    name = keep ? std::next(name) : durable_.erase(name);
  }
  std::set<Inode*> done;
  for (auto& [path, inode] : durable_) {
    if (!done.insert(inode.get()).second) continue;
    if (loss == kMix && !inode->pending.empty()) inode->Mix(random);
    if (loss == kKeepNewest && !inode->pending.empty()) inode->KeepNewest();
    if (loss == kKeepAll) inode->durable = inode->content;
    inode->content = inode->durable;
    inode->pending.clear();
    inode->locked = false;
  }
  names_ = durable_;
  changes_.clear();
  crashed_ = false;
  until_crash_ = write_every_ = 0;
  ++life_;
}

void CrashFileSystem::Apply(const NameChange& change, Names* names) {
  if (!change.from.empty()) {
    const auto found = names->find(change.from);
    if (found != names->end() && found->second == change.inode) names->erase(found);
  }
  if (!change.to.empty()) (*names)[change.to] = change.inode;
}

void CrashFileSystem::Change(const NameChange& change) {
  Apply(change, &names_);
  changes_.push_back(change);
}

absl::Status CrashFileSystem::CheckParent(const std::string& path) const {
  if (crashed_) return absl::UnavailableError(absl::StrCat(path, ": the power is gone"));
  const auto parent = names_.find(DirectoryOf(path));
  if (parent != names_.end() && parent->second->directory) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, ": no such directory"));
}

absl::StatusOr<std::unique_ptr<File>> CrashFileSystem::Open(const std::string& path,
                                                            OpenMode mode) {
  std::shared_ptr<Inode> inode;
  int64_t life = 0;
  {
    const MutexLock lock(mutex_);
    PROTOPAGE_RETURN_IF_ERROR(CheckParent(path));
    const auto found = names_.find(path);
    if (found != names_.end()) {
      inode = found->second;
      if (inode->directory) {
        return absl::InvalidArgumentError(absl::StrCat("open ", path, ": a directory"));
      }
      if (mode == OpenMode::kCreateExclusive) {
        return absl::AlreadyExistsError(absl::StrCat("open ", path, ": exists"));
      }
      if (mode == OpenMode::kCreate && !inode->content.empty()) inode->Add({0, "", 0, true});
    } else {
      if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) {
        return absl::NotFoundError(absl::StrCat("open ", path, ": no such file"));
      }
      inode = std::make_shared<Inode>();
      Change({"", path, inode});
    }
    life = life_;
  }
  const bool writable = mode != OpenMode::kRead;
  return std::unique_ptr<File>(new SimulatedFile(this, path, inode, writable, life));
}

absl::Status CrashFileSystem::Rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(to));
  PROTOPAGE_RETURN_IF_ERROR(Event("rename " + from));
  const auto found = names_.find(from);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat("rename ", from));
  Change({from, to, found->second});
  return absl::OkStatus();
}

absl::Status CrashFileSystem::Link(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(to));
  PROTOPAGE_RETURN_IF_ERROR(Event("link " + from));
  const auto found = names_.find(from);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat("link ", from));
  if (names_.find(to) != names_.end()) return absl::AlreadyExistsError(absl::StrCat("link ", to));
  Change({"", to, found->second});
  return absl::OkStatus();
}

absl::Status CrashFileSystem::Remove(const std::string& path) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(path));
  const auto found = names_.find(path);
  if (found == names_.end() || found->second->directory) {
    return absl::NotFoundError(absl::StrCat("remove ", path, ": no such file"));
  }
  PROTOPAGE_RETURN_IF_ERROR(Event("remove " + path));
  Change({path, "", found->second});
  return absl::OkStatus();
}

absl::Status CrashFileSystem::CreateDirectories(const std::string& path) {
  const MutexLock lock(mutex_);
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (names_.find(prefix) == names_.end()) {
      PROTOPAGE_RETURN_IF_ERROR(CheckParent(prefix));
      auto inode = std::make_shared<Inode>();
      inode->directory = true;
      Change({"", prefix, inode});
    }
    if (end == std::string::npos) return absl::OkStatus();
  }
}

absl::Status CrashFileSystem::RemoveDirectory(const std::string& path) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(path));
  const auto found = names_.find(path);
  if (found == names_.end() || !found->second->directory) {
    return absl::NotFoundError(absl::StrCat("remove directory ", path));
  }
  for (const auto& [name, inode] : names_) {
    if (name != "/" && DirectoryOf(name) == path) {
      return absl::UnavailableError(absl::StrCat("remove directory ", path, ": not empty"));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(Event("remove directory " + path));
  Change({path, "", found->second});
  return absl::OkStatus();
}

absl::Status CrashFileSystem::SyncDirectory(const std::string& path) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(JoinPath(path, "x")));
  PROTOPAGE_RETURN_IF_ERROR(Event("sync directory " + path));
  std::vector<NameChange> left;
  for (const NameChange& change : changes_) {
    if (DirectoryOf(change.to.empty() ? change.from : change.to) == path) {
      Apply(change, &durable_);
    } else {
      left.push_back(change);
    }
  }
  changes_ = std::move(left);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CrashFileSystem::List(const std::string& path) {
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(CheckParent(JoinPath(path, "x")));
  std::vector<std::string> names;
  for (const auto& [name, inode] : names_) {
    if (name != "/" && DirectoryOf(name) == path) names.push_back(BaseName(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool CrashFileSystem::Exists(const std::string& path) {
  const MutexLock lock(mutex_);
  return names_.find(path) != names_.end();
}

bool CrashFileSystem::IsDirectory(const std::string& path) {
  const MutexLock lock(mutex_);
  const auto found = names_.find(path);
  return found != names_.end() && found->second->directory;
}

}  // namespace protopage
