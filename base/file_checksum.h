// The checksum of a whole file.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t xxh3, FileChecksum(fs, "model.h5"));
#ifndef PROTOPAGE_BASE_FILE_CHECKSUM_H_
#define PROTOPAGE_BASE_FILE_CHECKSUM_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"

namespace protopage {

// XXH3 (64 bits, no seed) of the bytes of the file, which is read in pieces. Errors: those of the
// file system.
absl::StatusOr<uint64_t> FileChecksum(FileSystem* fs, const std::string& path);

// XXH3 of the file's size, an int64, and of 64 pieces of 4 KiB, the first and the last among them,
// spread evenly; of all bytes of files up to 256 KiB. Tells one large file from another fast, and
// misses flipped bits between the pieces. Errors: those of the file system.
absl::StatusOr<uint64_t> SampledFileChecksum(FileSystem* fs, const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FILE_CHECKSUM_H_
