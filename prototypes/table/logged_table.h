// What a TableLog and the tables that belong to it know of each other.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_LOGGED_TABLE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_LOGGED_TABLE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace protopage {

// A point in the history of a log: the end of segment `sequence`, at which the tables have the
// content of checkpoint `checkpoint`. Sequence 0 is the point before the first segment.
struct LogPoint {
  int64_t sequence = 0;
  int64_t checkpoint = 0;
};

// Implemented by tables that use a log. The log calls it from one thread at a time. Concurrent
// reads and appends are allowed, except for rows passed to MergeRows that are no longer in the log.
class LoggedTable {
 public:
  virtual ~LoggedTable() = default;
  virtual const std::string& path() const = 0;
  virtual int64_t record_bytes() const = 0;
  virtual int num_columns() const = 0;
  virtual int64_t capacity() const = 0;  // In rows.

  // Makes all that was written in place durable and marks the file as being at `point`. From then
  // on, rows are written to the log.
  virtual absl::Status FinishInPlace(const LogPoint& point) = 0;

  // A merge is one BeginMerge, any number of MergeClear, then of MergeRows, and one EndMerge.
  //
  // Durably marks the file as being changed to the state at the end of segment `sequence`.
  virtual absl::Status BeginMerge(int64_t sequence) = 0;
  // Sets the cells of `column` to their default in all rows.
  virtual absl::Status MergeClear(int column) = 0;
  // Writes the records of ascending `rows`. Bit c of cleared[i]: column c of rows[i] gets its
  // default value instead.
  virtual absl::Status MergeRows(absl::Span<const int64_t> rows,
                                 absl::Span<const char* const> records,
                                 absl::Span<const uint32_t> cleared) = 0;
  // Makes the merge durable, then marks the file as being at `point`.
  virtual absl::Status EndMerge(const LogPoint& point) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_LOGGED_TABLE_H_
