#include "protopage/base/file_checksum.h"

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "protopage/base/status_macros.h"

namespace protopage {

namespace {

using Xxh3State = std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)>;

Xxh3State NewState() {
  Xxh3State state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  return state;
}

// Adds bytes [begin, end) of the file.
absl::Status Add(File* file, int64_t begin, int64_t end, XXH3_state_t* state) {
  std::vector<char> piece(std::min<int64_t>(end - begin, 256 << 10));
  for (int64_t offset = begin; offset < end; offset += static_cast<int64_t>(piece.size())) {
    const int64_t bytes = std::min(static_cast<int64_t>(piece.size()), end - offset);
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(offset, piece.data(), bytes));
    XXH3_64bits_update(state, piece.data(), static_cast<size_t>(bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> FileChecksum(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  const Xxh3State state = NewState();
  PROTOPAGE_RETURN_IF_ERROR(Add(file.get(), 0, size, state.get()));
  return XXH3_64bits_digest(state.get());
}

absl::StatusOr<uint64_t> SampledFileChecksum(FileSystem* fs, const std::string& path) {
  constexpr int64_t kPieces = 64, kPieceBytes = 4096;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  const Xxh3State state = NewState();
  XXH3_64bits_update(state.get(), &size, sizeof(size));
  if (size <= kPieces * kPieceBytes) {
    PROTOPAGE_RETURN_IF_ERROR(Add(file.get(), 0, size, state.get()));
    return XXH3_64bits_digest(state.get());
  }
  for (int64_t i = 0; i < kPieces; ++i) {
    const int64_t begin = static_cast<int64_t>(static_cast<double>(size - kPieceBytes) *
                                               static_cast<double>(i) / (kPieces - 1));
    PROTOPAGE_RETURN_IF_ERROR(Add(file.get(), begin, begin + kPieceBytes, state.get()));
  }
  return XXH3_64bits_digest(state.get());
}

}  // namespace protopage
