// FaultyFileSystem: the machine's file system, some calls of which fail.
//
//   FaultyFileSystem fs;
//   fs.FailAt(12);  // The 12th call from now on fails, but none after it.
//   EXPECT_FALSE(Work(&fs).ok());
//
// All calls count except Size, Lock, Exists and IsDirectory. A write that fails has written a part,
// in whole sectors.
// Syncs are not passed on: no test with this file system loses power, and they take long.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_FAULTY_FILE_SYSTEM_H_
#define PROTOPAGE_PROTOTYPES_TESTING_FAULTY_FILE_SYSTEM_H_

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
#include "protopage/base/file.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/status_macros.h"

namespace protopage {

class FaultyFileSystem : public ForwardingFileSystem {
 public:
  static constexpr int64_t kSectorBytes = 512;

  // 0: none.
  void FailAt(int64_t call) { until_failure_ = call; }
  // The disk fills up at the call-th call from now on: every write from then on fails. 0: never.
  void FailWritesFrom(int64_t call) {
    fail_writes_ = call == 1;
    until_full_ = call;
  }
  // Whether every write from now on fails.
  void FailWrites(bool fail) { FailWritesFrom(fail ? 1 : 0); }
  int64_t calls() const { return calls_; }
  int64_t writes() const { return writes_; }
  int64_t syncs() const { return syncs_; }

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("open", path));
    PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, base()->Open(path, mode));
    return std::unique_ptr<File>(new FaultyFile(this, path, std::move(file)));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("rename", from));
    return base()->Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("link", from));
    return base()->Link(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("remove", path));
    return base()->Remove(path);
  }
  absl::Status CreateDirectories(const std::string& path) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("create directory", path));
    return base()->CreateDirectories(path);
  }
  absl::Status RemoveDirectory(const std::string& path) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("remove directory", path));
    return base()->RemoveDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return Call("sync directory", path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    PROTOPAGE_RETURN_IF_ERROR(Call("list", path));
    return base()->List(path);
  }

 private:
  class FaultyFile : public ForwardingFile {
   public:
    FaultyFile(FaultyFileSystem* fs, std::string path, std::unique_ptr<File> file)
        : ForwardingFile(std::move(file)), fs_(fs), path_(std::move(path)) {}

    absl::Status ReadAt(int64_t offset, void* data, int64_t size) override {
      PROTOPAGE_RETURN_IF_ERROR(fs_->Call("read", path_));
      return base()->ReadAt(offset, data, size);
    }
    absl::Status WriteAt(int64_t offset, const void* data, int64_t size) override {
      const WritePiece piece{offset, data, size};
      return WritePieces(absl::MakeConstSpan(&piece, 1));
    }
    absl::Status ReadPieces(absl::Span<const ReadPiece> pieces) override {
      if (pieces.empty()) return absl::OkStatus();
      PROTOPAGE_RETURN_IF_ERROR(fs_->Call("read", path_));
      return base()->ReadPieces(pieces);
    }
    absl::Status WritePieces(absl::Span<const WritePiece> pieces) override {
      if (pieces.empty()) return absl::OkStatus();
      const absl::Status status = fs_->CallWrite(path_);
      if (!status.ok()) {
        // As a full disk does: some pieces are written, the next one in part, up to a sector.
        const size_t half = pieces.size() / 2;
        PROTOPAGE_RETURN_IF_ERROR(base()->WritePieces(pieces.subspan(0, half)));
        const WritePiece& torn = pieces[half];
        const int64_t end = (torn.offset + torn.size / 2) / kSectorBytes * kSectorBytes;
        if (end > torn.offset) {
          PROTOPAGE_RETURN_IF_ERROR(base()->WriteAt(torn.offset, torn.data, end - torn.offset));
        }
        return status;
      }
      return base()->WritePieces(pieces);
    }
    absl::Status Truncate(int64_t size) override {
      PROTOPAGE_RETURN_IF_ERROR(fs_->Call("truncate", path_));
      return base()->Truncate(size);
    }
    absl::Status Sync() override {
      ++fs_->syncs_;
      return fs_->Call("sync", path_);
    }

   private:
    FaultyFileSystem* const fs_;
    const std::string path_;
  };

  absl::Status Call(absl::string_view operation, const std::string& path) {
    ++calls_;
    if (until_full_ > 0 && --until_full_ == 0) fail_writes_ = true;
    if (until_failure_ > 0 && --until_failure_ == 0) {
      return absl::UnavailableError(absl::StrCat(operation, " ", path, ": injected fault"));
    }
    return absl::OkStatus();
  }
  absl::Status CallWrite(const std::string& path) {
    ++writes_;
    const absl::Status status = Call("write", path);
    if (fail_writes_) {
      return absl::ResourceExhaustedError(absl::StrCat("write ", path, ": injected full disk"));
    }
    return status;
  }

  std::atomic<int64_t> until_failure_{0};
  std::atomic<int64_t> until_full_{0};
  std::atomic<bool> fail_writes_{false};
  std::atomic<int64_t> calls_{0};
  std::atomic<int64_t> writes_{0};
  std::atomic<int64_t> syncs_{0};
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_FAULTY_FILE_SYSTEM_H_
