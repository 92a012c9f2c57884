// ExternalSort: sorts any number of keys in little memory, with the help of a temporary file.
//
//   ExternalSort sort(fs, "table.h5.sort");
//   for (const uint64_t key : keys) PROTOPAGE_RETURN_IF_ERROR(sort.Add(key));
//   PROTOPAGE_RETURN_IF_ERROR(sort.ForEach([&](uint64_t key) { return Use(key); }));
//
// Up to `keys_in_memory` keys need no file. Beyond them, sorted runs go to the file, which is
// removed with the object.
#ifndef PROTOPAGE_BASE_EXTERNAL_SORT_H_
#define PROTOPAGE_BASE_EXTERNAL_SORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "protopage/base/file.h"

namespace protopage {

// Used by one thread.
class ExternalSort {
 public:
  static constexpr int64_t kKeysInMemory = int64_t{1} << 21;  // 16 MiB

  // Does nothing yet. A file at `temporary` is overwritten.
  ExternalSort(FileSystem* file_system, std::string temporary,
               int64_t keys_in_memory = kKeysInMemory);
  ~ExternalSort();
  ExternalSort(const ExternalSort&) = delete;
  ExternalSort& operator=(const ExternalSort&) = delete;

  // Errors: those of the file system.
  absl::Status Add(uint64_t key);
  // Calls `take` with every key, in ascending order; equal keys follow each other. To be called
  // once, after the last Add. Errors: those of the file system and the first of `take`.
  absl::Status ForEach(absl::FunctionRef<absl::Status(uint64_t key)> take);

 private:
  // Of the keys in the file that lie in one sorted run, those that were not taken yet.
  struct Run {
    int64_t next = 0;  // Index in the file of the first key that is not in `buffer`.
    int64_t end = 0;
    std::vector<uint64_t> buffer;
    size_t taken = 0;  // Of `buffer`.
  };

  absl::Status Spill();
  absl::Status Refill(Run& run, int64_t most);

  FileSystem* const fs_;
  const std::string temporary_;
  const int64_t keys_in_memory_;
  std::unique_ptr<File> file_;  // Null while all keys are in memory.
  std::vector<uint64_t> keys_;
  std::vector<Run> runs_;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_EXTERNAL_SORT_H_
