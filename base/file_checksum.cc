#include "protopage/base/file_checksum.h"

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<uint64_t> FileChecksum(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  std::vector<char> piece(std::min<int64_t>(size, 256 << 10));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (int64_t offset = 0; offset < size; offset += static_cast<int64_t>(piece.size())) {
    const int64_t bytes = std::min(static_cast<int64_t>(piece.size()), size - offset);
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(offset, piece.data(), bytes));
    XXH3_64bits_update(state.get(), piece.data(), static_cast<size_t>(bytes));
  }
  return XXH3_64bits_digest(state.get());
}

}  // namespace protopage
