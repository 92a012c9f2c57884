// Copies of PagedTables, sparse and durable: of a table with all that its log holds, or with more
// room.
//
//   PROTOPAGE_RETURN_IF_ERROR(CopyTable(table.get(), path));
//   PROTOPAGE_RETURN_IF_ERROR(CopyTableLarger(fs, path, path, /*capacity=*/2000));
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/table/paged_table.h"

namespace protopage {

// Writes a file of its own to `path` (replaced if it exists) with all that the flushed `table`
// holds, including its rows in the log. Nothing may write to the table meanwhile. Errors: as
// PagedTable::ReadRows, and the file system's; `path` is as before then.
absl::Status CopyTable(PagedTable* table, const std::string& path);

// Copies the table at `from`, which nobody has open for writing, to `to`, with room for `capacity`
// rows, and with those of the datasets `more` that it lacks; `to` may be `from`. Datasets that are
// not [capacity, ...] stay as they are. The copy of a file of version 1 has the newest version;
// `marks` names its dataset of marks, if it has one. Errors: FailedPrecondition (the file of a log,
// or open for writing), InvalidArgument (smaller than it is).
absl::Status CopyTableLarger(FileSystem* file_system, const std::string& from,
                             const std::string& to, int64_t capacity,
                             const std::vector<TableColumn>& more = {},
                             const std::string& marks = "");

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_
