// TableBlocks: the narrow part of a PagedTable, in a cache of blocks.
//
// A system call for 8 bytes costs as much as one for a page. So the checksums of a table's cells,
// and its columns of less than 64 bytes, are read and written in blocks of 128 rows, some of which
// are kept in memory. They are still separate datasets in the file.
//
//   TableBlocks blocks(file, layout, /*cache_bytes=*/1 << 20);
//   PROTOPAGE_RETURN_IF_ERROR(blocks.Update(7, [&](const TableBlocks::Row& row) {
//     row.checksums[column] = checksum;
//     std::memcpy(row.Cell(column), cell, 8);
//   }));
//   PROTOPAGE_RETURN_IF_ERROR(blocks.Flush());
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_BLOCKS_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"

namespace protopage {

// Where a table's narrow data lies in its file.
struct TableBlocksLayout {
  // A column of the table. Its cells are in blocks when they are narrow.
  struct Column {
    int64_t file_offset = 0;
    int64_t cell_bytes = 0;
  };
  int64_t capacity = 0;  // Rows of the table.
  std::vector<Column> columns;
  int64_t checksums_offset = 0;  // Of the dataset [capacity, columns].
};

// Thread-safe, each row on its own.
class TableBlocks {
 public:
  // A column whose cells take fewer bytes is narrow.
  static constexpr int64_t kNarrowBytes = 64;
  // Rows in a block. 128 rows of a store's narrow data (last_step and three checksums) are 4 KiB.
  static constexpr int64_t kBlockRows = 128;

  // What the blocks hold of one row.
  class Row {
   public:
    uint64_t* const checksums;  // [columns]; 0: the cell was never written.
    // The cell of a narrow column.
    char* Cell(int column) const {
      return block_ + blocks_->block_offsets_[column] +
             in_block_ * blocks_->layout_.columns[column].cell_bytes;
    }

   private:
    friend class TableBlocks;
    Row(const TableBlocks* blocks, char* block, int64_t row);

    const TableBlocks* const blocks_;
    char* const block_;
    const int64_t in_block_;
  };

  // `file` is not owned. At least 16 blocks are cached, however small `cache_bytes` is.
  TableBlocks(File* file, TableBlocksLayout layout, int64_t cache_bytes);
  TableBlocks(const TableBlocks&) = delete;
  TableBlocks& operator=(const TableBlocks&) = delete;

  bool IsNarrow(int column) const { return block_offsets_[column] >= 0; }

  // Calls visit(i, rows[i]) for each of the ascending `rows`. Errors: the file's.
  absl::Status Read(absl::Span<const int64_t> rows,
                    absl::FunctionRef<void(size_t i, const Row& row)> visit);
  // Calls change(row), which may change all of it.
  absl::Status Update(int64_t row, absl::FunctionRef<void(const Row& row)> change);
  // Sets the column's checksums, and its cells if they are narrow, to zero in rows [0, num_rows).
  // Blocks in which nothing changes are not written again, unless `rewrite` is set: then all are
  // that hold something.
  absl::Status ClearColumn(int column, int64_t num_rows, bool rewrite);
  // Writes the changed blocks to the file. Does not sync it.
  absl::Status Flush();

  int64_t bytes_read() const;
  int64_t bytes_written() const;

 private:
  struct Block {
    int64_t index = -1;
    bool dirty = false;
    bool referenced = false;
    bool loading = false;  // In LoadBlocks: not to be taken again.
    std::vector<char> data;
  };

  absl::StatusOr<Block*> GetBlock(int64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads blocks that are not cached, at most RowsALoad() of them, all at once.
  absl::Status LoadBlocks(absl::Span<const int64_t> indexes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same for the blocks of ascending rows, at most RowsALoad(). A later GetBlock finds them, as
  // no load in between evicts them.
  absl::Status LoadBlocksOf(absl::Span<const int64_t> rows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t RowsALoad() const;
  // The position in blocks_ of a block that is free to use.
  absl::StatusOr<size_t> TakeBlock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FlushBlocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads or writes blocks, which ascend by index.
  absl::Status MoveBlocks(absl::Span<Block* const> blocks, bool write)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  File* const file_;
  const TableBlocksLayout layout_;
  std::vector<int64_t> block_offsets_;  // Of a narrow column in a block; -1 for a wide one.
  int64_t checksums_offset_ = 0;        // Of the checksums in a block.
  int64_t block_bytes_ = 0;
  size_t max_blocks_ = 0;

  // Held across I/O: a block that is being loaded or written has no state of its own, so that
  // others wait. A load is one system call for many blocks.
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Block>> blocks_ ABSL_GUARDED_BY(mutex_);
  // Block index -> position in blocks_.
  absl::flat_hash_map<int64_t, size_t> block_of_ ABSL_GUARDED_BY(mutex_);
  size_t hand_ ABSL_GUARDED_BY(mutex_) = 0;  // Of the second-chance rule.
  int64_t bytes_read_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_written_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_BLOCKS_H_
