// FaultyFileSystem: passes everything on to the machine's file system, and lets one call fail.
//
//   FaultyFileSystem fs;
//   fs.FailAt(12);                      // The 12th call from now on, and only that one.
//   ... EXPECT_FALSE(store->Flush().ok()) ...
//
// Calls counted are those that touch files' content: read, write, sync, truncate, rename, open.
#ifndef PROTOPAGE_PROTOTYPES_FAULTY_FILE_SYSTEM_H_
#define PROTOPAGE_PROTOTYPES_FAULTY_FILE_SYSTEM_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace protopage {

class FaultyFileSystem : public FileSystem {
 public:
  // 0: none.
  void FailAt(int64_t call) { until_failure_ = call; }
  // Every write from now on fails, or no more.
  void FailWrites(bool fail) { fail_writes_ = fail; }
  int64_t calls() const { return calls_; }
  int64_t writes() const { return writes_; }
  int64_t syncs() const { return syncs_; }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    RETURN_IF_ERROR(Call("open", path));
    ASSIGN_OR_RETURN(std::unique_ptr<File> file, base_->Open(path, mode));
    return std::unique_ptr<File>(new FaultyFile(this, path, std::move(file)));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(Call("rename", from));
    return base_->Rename(from, to);
  }
  absl::Status Remove(const std::string& path) override { return base_->Remove(path); }
  absl::Status CreateDirectories(const std::string& path) override {
    return base_->CreateDirectories(path);
  }
  absl::Status RemoveDirectory(const std::string& path) override {
    return base_->RemoveDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    RETURN_IF_ERROR(Call("sync directory", path));
    return base_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return base_->List(path);
  }
  bool Exists(const std::string& path) override { return base_->Exists(path); }
  bool IsDirectory(const std::string& path) override { return base_->IsDirectory(path); }

 private:
  class FaultyFile : public File {
   public:
    FaultyFile(FaultyFileSystem* fs, std::string path, std::unique_ptr<File> base)
        : fs_(fs), path_(std::move(path)), base_(std::move(base)) {}

    absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
      RETURN_IF_ERROR(fs_->Call("read", path_));
      return base_->ReadAt(offset, data, size);
    }
    absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
      RETURN_IF_ERROR(fs_->CallWrite(path_));
      return base_->WriteAt(offset, data, size);
    }
    absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
      if (pieces.empty()) return absl::OkStatus();
      RETURN_IF_ERROR(fs_->Call("read", path_));
      return base_->ReadPieces(pieces);
    }
    absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
      if (pieces.empty()) return absl::OkStatus();
      const absl::Status status = fs_->CallWrite(path_);
      if (!status.ok()) {
        // As a full disk does: some pieces are written, the next one in part.
        const size_t half = pieces.size() / 2;
        RETURN_IF_ERROR(base_->WritePieces(pieces.subspan(0, half)));
        RETURN_IF_ERROR(
            base_->WriteAt(pieces[half].offset, pieces[half].data, pieces[half].size / 2));
        return status;
      }
      return base_->WritePieces(pieces);
    }
    absl::StatusOr<int64_t> Size() override { return base_->Size(); }
    absl::Status Truncate(int64_t size) override {
      RETURN_IF_ERROR(fs_->Call("truncate", path_));
      return base_->Truncate(size);
    }
    absl::Status Sync() override {
      ++fs_->syncs_;
      RETURN_IF_ERROR(fs_->Call("sync", path_));
      return base_->Sync();
    }
    absl::Status Lock() override { return base_->Lock(); }
    absl::StatusOr<ByteRange> NextData(int64_t offset) override { return base_->NextData(offset); }

   private:
    FaultyFileSystem* const fs_;
    const std::string path_;
    const std::unique_ptr<File> base_;
  };

  absl::Status Call(absl::string_view operation, const std::string& path) {
    ++calls_;
    if (until_failure_ > 0 && --until_failure_ == 0) {
      return absl::UnavailableError(absl::StrCat(operation, " ", path, ": injected fault"));
    }
    return absl::OkStatus();
  }
  absl::Status CallWrite(const std::string& path) {
    ++writes_;
    if (fail_writes_) {
      return absl::ResourceExhaustedError(absl::StrCat("write ", path, ": injected full disk"));
    }
    return Call("write", path);
  }

  FileSystem* const base_ = DefaultFileSystem();
  std::atomic<int64_t> until_failure_{0};
  std::atomic<bool> fail_writes_{false};
  std::atomic<int64_t> calls_{0};
  std::atomic<int64_t> writes_{0};
  std::atomic<int64_t> syncs_{0};
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_FAULTY_FILE_SYSTEM_H_
