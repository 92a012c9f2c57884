#include "protopage/prototypes/table/table_header.h"

#include <array>
#include <thread>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

using Words = std::array<uint64_t, kTableHeaderWords>;

constexpr int kChecksumWord = kTableHeaderWords - 1;
// Reads of a header that a writer may be changing. Its write takes microseconds.
constexpr int kTries = 100;

uint64_t ChecksumOf(const Words& words) {
  return XXH3_64bits(words.data(), kChecksumWord * sizeof(uint64_t));
}

}  // namespace

absl::StatusOr<TableHeader> ReadTableHeader(File* file, const std::string& path, int64_t offset,
                                            int64_t version) {
  Words words;
  for (int tries = 1;; ++tries) {
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(offset, words.data(), sizeof(words)));
    if (version < 2 || words[kChecksumWord] == ChecksumOf(words)) break;
    if (tries == kTries) {
      return absl::DataLossError(
          absl::StrCat(path, ": 'header' does not match its checksum: the file is damaged"));
    }
    std::this_thread::yield();
  }
  TableHeader header;
  header.writing = words[0] != 0;
  header.point = LogPoint{static_cast<int64_t>(words[1]), static_cast<int64_t>(words[2])};
  header.merging = header.writing ? static_cast<int64_t>(words[3]) : 0;
  header.num_rows = static_cast<int64_t>(words[4]);
  header.mark_changes = static_cast<int64_t>(words[5]);
  header.num_marked = static_cast<int64_t>(words[6]);
  return header;
}

std::string TableHeaderBytes(int64_t version, const TableHeader& header) {
  Words words = {
      header.writing ? uint64_t{1} : uint64_t{0}, static_cast<uint64_t>(header.point.sequence),
      static_cast<uint64_t>(header.point.checkpoint), static_cast<uint64_t>(header.merging)};
  if (version >= 2) {
    words[4] = static_cast<uint64_t>(header.num_rows);
    words[5] = static_cast<uint64_t>(header.mark_changes);
    words[6] = static_cast<uint64_t>(header.num_marked);
    words[kChecksumWord] = ChecksumOf(words);
  }
  return std::string(reinterpret_cast<const char*>(words.data()), sizeof(words));
}

absl::Status WriteTableHeader(File* file, int64_t offset, int64_t version,
                              const TableHeader& header) {
  const std::string bytes = TableHeaderBytes(version, header);
  return file->WriteAt(offset, bytes.data(), static_cast<int64_t>(bytes.size()));
}

}  // namespace protopage
