#include "protopage/prototypes/testing/lax_file_system.h"

#include <array>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// What a write of a file of ours wrote, as far as a reader of the table of calls wants to know it.
std::string Describe(const std::string& path, int64_t offset, absl::string_view data) {
  if (absl::StrContains(path, ".h5") && offset > 0 && data.size() >= 32 && data.size() <= 64) {
    std::array<uint64_t, 2> words;  // Of a table's header.
    std::memcpy(words.data(), data.data(), sizeof(words));
    if (words[0] <= 1 && words[1] < 1000000) {
      return absl::StrCat("the header (", words[0], ", ", words[1] == 0 ? "0" : "N", ")");
    }
  }
  if (offset == 0 && data.size() == 8) return "the signature";
  if (absl::StartsWith(data, "{\"kind\"")) {
    return absl::StrCat("a line ", data.substr(8, data.find(',') - 8));
  }
  return "data";
}

// A store or queues, whose changes are all written by the same calls.
bool IsTable(const std::string& path) {
  return absl::EndsWith(path, ".h5") && !absl::EndsWith(path, "/model.h5");
}

}  // namespace

std::string WithoutNumbers(absl::string_view path) {
  std::string name;
  for (size_t i = 0; i < path.size(); ++i) {
    const bool digit = absl::ascii_isdigit(path[i]);
    if (!digit || (i > 0 && absl::ascii_isalpha(path[i - 1]))) {
      name += path[i];
    } else if (i == 0 || !absl::ascii_isdigit(path[i - 1])) {
      name += 'N';
    }
  }
  // A temporary file has the number of its process.
  return absl::StrReplaceAll(name, {{".N.tmp", ".tmp"}});
}

class LaxFileSystem::LaxFile : public File {
 public:
  LaxFile(LaxFileSystem* fs, std::string path, bool created, std::unique_ptr<File> file)
      : fs_(fs), path_(std::move(path)), file_(std::move(file)), created_(created) {
    const MutexLock lock(fs_->mutex_);
    fs_->open_.insert(this);
  }
  ~LaxFile() override {
    const MutexLock lock(fs_->mutex_);
    fs_->open_.erase(this);
  }

  absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
    return file_->ReadAt(offset, data, size);
  }
  absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
    Note(offset, {static_cast<const char*>(data), static_cast<size_t>(size)});
    return file_->WriteAt(offset, data, size);
  }
  absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
    return file_->ReadPieces(pieces);
  }
  absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
    if (!pieces.empty()) Note(pieces.back().offset, "");
    return file_->WritePieces(pieces);
  }
  absl::StatusOr<int64_t> Size() override { return file_->Size(); }
  absl::Status Truncate(int64_t size) override {
    Note(size, "");
    return file_->Truncate(size);
  }
  absl::Status Sync() override {
    // A merge of classes opens a temporary file as a table.
    const bool table = IsTable(path_) || (!created_ && absl::StrContains(path_, ".h5."));
    std::string after = newest_;
    if (first_sync_ && created_) absl::StrAppend(&after, ", the first");
    // When a table of a log is opened, what its header says is written again.
    if (first_sync_ && !created_ && absl::EndsWith(newest_, "N)")) after = "opening";
    const std::string call =
        absl::StrCat("sync ", table ? "TABLE" : WithoutNumbers(path_), " after ", after);
    first_sync_ = false;
    newest_ = "nothing";
    return fs_->IsLeftOut(call) ? absl::OkStatus() : file_->Sync();
  }
  absl::Status Lock() override { return file_->Lock(); }
  absl::StatusOr<ByteRange> NextData(int64_t offset) override { return file_->NextData(offset); }

  const std::string& path() const { return path_; }
  // The file goes on under another name.
  void MoveTo(std::string path, std::unique_ptr<File> file) {
    path_ = std::move(path);
    if (file != nullptr) file_ = std::move(file);
  }

 private:
  void Note(int64_t offset, absl::string_view data) { newest_ = Describe(path_, offset, data); }

  LaxFileSystem* const fs_;
  std::string path_;
  std::unique_ptr<File> file_;
  const bool created_;
  bool first_sync_ = true;
  std::string newest_ = "nothing";  // Write since the last sync.
};

void LaxFileSystem::LeaveOut(std::set<std::string> calls) {
  const MutexLock lock(mutex_);
  left_out_ = std::move(calls);
}

std::map<std::string, int64_t> LaxFileSystem::calls() const {
  const MutexLock lock(mutex_);
  return calls_;
}

void LaxFileSystem::ForgetCalls() {
  const MutexLock lock(mutex_);
  calls_.clear();
}

bool LaxFileSystem::IsLeftOut(const std::string& call) {
  {
    const MutexLock lock(mutex_);
    ++calls_[call];
    if (left_out_.count(call) == 0) return false;
  }
  if (on_left_out_) on_left_out_();
  return true;
}

void LaxFileSystem::NoteChange(absl::string_view change, const std::string& path) {
  const std::string folder = DirectoryOf(path);
  // A table and its lock are made by one call.
  const std::string file(absl::StripSuffix(path, ".lock"));
  std::string name = IsTable(file) && change == "making" ? "TABLE" : WithoutNumbers(BaseName(path));
  // One call writes all files of a checkpoint but its mark.
  if (WithoutNumbers(BaseName(folder)) == "N" && name != "DONE") name = "a file";
  const MutexLock lock(mutex_);
  changes_[folder] = absl::StrCat(change, " ", name);
}

absl::StatusOr<std::unique_ptr<File>> LaxFileSystem::Open(const std::string& path, OpenMode mode) {
  const bool create = mode == OpenMode::kCreate || mode == OpenMode::kCreateExclusive;
  const bool there = base()->Exists(path);
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, base()->Open(path, mode));
  if (!there) NoteChange("making", path);
  return std::unique_ptr<File>(new LaxFile(this, path, create, std::move(file)));
}

absl::Status LaxFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::string call =
      absl::StrCat("rename ", WithoutNumbers(from), " to ", WithoutNumbers(BaseName(to)));
  if (IsLeftOut(call)) {
    PROTOPAGE_RETURN_IF_ERROR(WriteInPlace(from, to));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(base()->Rename(from, to));
    const MutexLock lock(mutex_);
    for (LaxFile* file : open_) {
      if (file->path() == from) file->MoveTo(to, nullptr);
    }
  }
  NoteChange("the rename to", to);
  return absl::OkStatus();
}

absl::Status LaxFileSystem::WriteInPlace(const std::string& from, const std::string& to) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(base(), from));
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, base()->Open(to, OpenMode::kCreate));
  // In two halves, either of which may be lost.
  const auto size = static_cast<int64_t>(content.size()), half = size / 2;
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(half, content.data() + half, size - half));
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, content.data(), half));
  PROTOPAGE_RETURN_IF_ERROR(file->Sync());
  {
    const MutexLock lock(mutex_);
    for (LaxFile* open : open_) {
      if (open->path() == from) open->MoveTo(to, std::move(file));
    }
  }
  return base()->Remove(from);
}

absl::Status LaxFileSystem::Link(const std::string& from, const std::string& to) {
  PROTOPAGE_RETURN_IF_ERROR(base()->Link(from, to));
  NoteChange("the link to", to);
  return absl::OkStatus();
}

absl::Status LaxFileSystem::Remove(const std::string& path) {
  PROTOPAGE_RETURN_IF_ERROR(base()->Remove(path));
  NoteChange("the removal of", path);
  return absl::OkStatus();
}

absl::Status LaxFileSystem::CreateDirectories(const std::string& path) {
  for (std::string folder = path; !base()->Exists(folder); folder = DirectoryOf(folder)) {
    NoteChange("making", folder);
  }
  return base()->CreateDirectories(path);
}

absl::Status LaxFileSystem::RemoveDirectory(const std::string& path) {
  PROTOPAGE_RETURN_IF_ERROR(base()->RemoveDirectory(path));
  NoteChange("the removal of", path);
  return absl::OkStatus();
}

absl::Status LaxFileSystem::SyncDirectory(const std::string& path) {
  std::string change = "nothing";
  {
    const MutexLock lock(mutex_);
    if (const auto found = changes_.find(path); found != changes_.end()) {
      change = found->second;
      changes_.erase(found);
    }
  }
  const std::string call = absl::StrCat("sync directory ", WithoutNumbers(path), " after ", change);
  return IsLeftOut(call) ? absl::OkStatus() : base()->SyncDirectory(path);
}

}  // namespace protopage
