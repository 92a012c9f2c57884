// ForwardingFileSystem and ForwardingFile pass every call on to another one. Tests and benchmarks
// derive from them and override the calls that they change.
//
//   class NoSyncFile : public ForwardingFile {
//    public:
//     using ForwardingFile::ForwardingFile;
//     absl::Status Sync() override { return absl::OkStatus(); }
//   };
#ifndef PROTOPAGE_BASE_FORWARDING_FILE_SYSTEM_H_
#define PROTOPAGE_BASE_FORWARDING_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"

namespace protopage {

class ForwardingFile : public File {
 public:
  explicit ForwardingFile(std::unique_ptr<File> base) : base_(std::move(base)) {}

  absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
    return base_->ReadAt(offset, data, size);
  }
  absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
    return base_->WriteAt(offset, data, size);
  }
  absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
    return base_->ReadPieces(pieces);
  }
  absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
    return base_->WritePieces(pieces);
  }
  absl::StatusOr<int64_t> Size() override { return base_->Size(); }
  absl::Status Truncate(int64_t size) override { return base_->Truncate(size); }
  absl::Status Sync() override { return base_->Sync(); }
  absl::Status Lock() override { return base_->Lock(); }
  absl::StatusOr<ByteRange> NextData(int64_t offset) override { return base_->NextData(offset); }
  void ExpectScatteredReads() override { base_->ExpectScatteredReads(); }

 protected:
  File* base() { return base_.get(); }

 private:
  const std::unique_ptr<File> base_;
};

class ForwardingFileSystem : public FileSystem {
 public:
  explicit ForwardingFileSystem(FileSystem* base = DefaultFileSystem()) : base_(base) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    return base_->Open(path, mode);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return base_->Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    return base_->Link(from, to);
  }
  absl::Status Remove(const std::string& path) override { return base_->Remove(path); }
  absl::Status CreateDirectories(const std::string& path) override {
    return base_->CreateDirectories(path);
  }
  absl::Status RemoveDirectory(const std::string& path) override {
    return base_->RemoveDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return base_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return base_->List(path);
  }
  bool Exists(const std::string& path) override { return base_->Exists(path); }
  bool IsDirectory(const std::string& path) override { return base_->IsDirectory(path); }
  absl::StatusOr<PathInfo> Info(const std::string& path) override { return base_->Info(path); }
  absl::Status TakeAccess(const std::string& from, const std::string& to) override {
    return base_->TakeAccess(from, to);
  }
  std::string FollowLinks(const std::string& path) override { return base_->FollowLinks(path); }

 protected:
  FileSystem* base() { return base_; }

 private:
  FileSystem* const base_;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FORWARDING_FILE_SYSTEM_H_
