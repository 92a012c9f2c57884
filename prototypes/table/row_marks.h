// Marks of rows: a dataset [capacity] of a table's file that says which rows are, for example,
// dropped. Marks are only ever added, those of one change all at once: the change counts from the
// moment in which the table's header names it.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const RowMarks marks,
//                              ReadRowMarks(file, path, dataset, /*version=*/2, header));
//   PROTOPAGE_RETURN_IF_ERROR(ClearRowMarks(file, dataset, marks.interrupted));
//   PROTOPAGE_RETURN_IF_ERROR(WriteRowMarks(file, dataset, rows, header.mark_changes + 1));
//   ...  // Sync the file; then write and sync a header with the change.
//
// FORMAT.md describes the cells.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_ROW_MARKS_H_
#define PROTOPAGE_PROTOTYPES_TABLE_ROW_MARKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/table_header.h"

namespace protopage {

struct RowMarks {
  std::vector<int64_t> rows;         // Ascending.
  std::vector<int64_t> interrupted;  // Of a change that did not complete: not marked.
};

// The type of the dataset: uint64, or uint8 in version 1.
CellType RowMarkType(int64_t version);

// The marks of rows [0, header.num_rows). Parts of the dataset that were never written are not
// read. `path` is for messages. Errors: DataLoss (a cell does not match its checksum, or their
// number is not the header's), the file's.
absl::StatusOr<RowMarks> ReadRowMarks(File* file, const std::string& path,
                                      const Hdf5Dataset& dataset, int64_t version,
                                      const TableHeader& header);

// Writes the marks of version 2, without a sync. Errors: the file's.
absl::Status WriteRowMarks(File* file, const Hdf5Dataset& dataset, absl::Span<const int64_t> rows,
                           int64_t change);
absl::Status ClearRowMarks(File* file, const Hdf5Dataset& dataset, absl::Span<const int64_t> rows);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_ROW_MARKS_H_
