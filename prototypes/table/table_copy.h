// Copies of PagedTables, sparse and durable: of a table with all that its log holds, or with more
// room.
//
//   PROTOPAGE_RETURN_IF_ERROR(CopyTable(table.get(), path));
//   PROTOPAGE_RETURN_IF_ERROR(CopyTableLarger(fs, path, path, /*capacity=*/2000));
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/paged_table.h"

namespace protopage {

// Writes a file of its own to `path` (replaced if it exists) with all that the flushed `table`
// holds, including its rows in the log. Nothing may write to the table meanwhile. Errors: as
// PagedTable::ReadRows, and the file system's; `path` is as before then.
absl::Status CopyTable(PagedTable* table, const std::string& path);

// Changes of a copy.
struct TableCopyChanges {
  // Datasets that the copy has in addition. One that the table has with another width is replaced.
  std::vector<TableColumn> more = {};
  std::vector<std::string> left_out = {};  // Datasets that the copy does not have.
  std::string marks = {};                  // The dataset of marks, if the table has one.
  // Fills what is not copied.
  std::function<absl::Status(File* copy, const Hdf5Layout& layout)> fill = {};
};

// Copies the table at `from`, which nobody has open for writing, to `to`, with room for `capacity`
// rows and with `changes`; `to` may be `from`. Datasets that are not [capacity, ...] stay as they
// are. The copy of a file of version 1 has the newest version. Errors: FailedPrecondition (the file
// of a log, or open for writing), InvalidArgument (smaller than it is).
absl::Status CopyTableLarger(FileSystem* file_system, const std::string& from,
                             const std::string& to, int64_t capacity,
                             const TableCopyChanges& changes = {});

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_COPY_H_
