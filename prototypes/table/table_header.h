// The dataset `header` of a table's file: eight words that change while the file is used. They lie
// in one sector, so a power loss leaves the old ones or the new ones.
//
//   TableHeader header;
//   header.num_rows = 1000;
//   PROTOPAGE_RETURN_IF_ERROR(WriteTableHeader(file, offset, /*version=*/2, header));
//   PROTOPAGE_ASSIGN_OR_RETURN(header, ReadTableHeader(file, path, offset, /*version=*/2));
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_HEADER_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_HEADER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/table/logged_table.h"

namespace protopage {

// uint64 words of the dataset `header`, see FORMAT.md.
constexpr int64_t kTableHeaderWords = 8;

struct TableHeader {
  bool writing = false;  // The file is being written, or its writer died.
  LogPoint point;        // That merges have brought the file to; {0, 0} without a log.
  int64_t merging = 0;   // The sequence that an unfinished merge brings it to, or 0.
  // From version 2 on:
  int64_t num_rows = 0;      // In use.
  int64_t mark_changes = 0;  // Changes of the marks that are complete.
  int64_t num_marked = 0;    // Rows that they mark.
};

// Reads the header at `offset`. In version 2 its words have a checksum; a reader that meets a
// writer tries again. `path` is for messages. Errors: DataLoss (`path` is named), the file's.
absl::StatusOr<TableHeader> ReadTableHeader(File* file, const std::string& path, int64_t offset,
                                            int64_t version);

// The bytes of the dataset.
std::string TableHeaderBytes(int64_t version, const TableHeader& header);

// Does not sync the file. Errors: the file's.
absl::Status WriteTableHeader(File* file, int64_t offset, int64_t version,
                              const TableHeader& header);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_HEADER_H_
