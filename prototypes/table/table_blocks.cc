#include "protopage/prototypes/table/table_blocks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr size_t kMinBlocks = 16;
// What a block takes in addition to its data.
constexpr int64_t kBlockOverheadBytes = 64;

}  // namespace

TableBlocks::Row::Row(const TableBlocks* blocks, char* block, int64_t row)
    : checksums(reinterpret_cast<uint64_t*>(block + blocks->checksums_offset_) +
                row % kBlockRows * blocks->layout_.columns.size()),
      blocks_(blocks),
      block_(block),
      in_block_(row % kBlockRows) {}

TableBlocks::TableBlocks(File* file, TableBlocksLayout layout, int64_t cache_bytes)
    : file_(file), layout_(std::move(layout)) {
  for (const TableBlocksLayout::Column& column : layout_.columns) {
    if (column.cell_bytes >= kNarrowBytes) {
      block_offsets_.push_back(-1);
      continue;
    }
    block_offsets_.push_back(block_bytes_);
    block_bytes_ += (column.cell_bytes * kBlockRows + 7) / 8 * 8;
  }
  checksums_offset_ = block_bytes_;
  block_bytes_ += static_cast<int64_t>(layout_.columns.size()) * 8 * kBlockRows;
  max_blocks_ = std::max<size_t>(kMinBlocks, cache_bytes / (block_bytes_ + kBlockOverheadBytes));
}

size_t TableBlocks::RowsALoad() const { return std::max<size_t>(1, max_blocks_ / 2); }

absl::Status TableBlocks::Read(absl::Span<const int64_t> rows,
                               absl::FunctionRef<void(size_t, const Row&)> visit) {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i % RowsALoad() == 0) {
      PROTOPAGE_RETURN_IF_ERROR(LoadBlocksOf(rows.subspan(i, RowsALoad())));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(Block* const block, GetBlock(rows[i] / kBlockRows));
    visit(i, Row(this, block->data.data(), rows[i]));
  }
  return absl::OkStatus();
}

absl::Status TableBlocks::Update(int64_t row, absl::FunctionRef<void(const Row&)> change) {
  const MutexLock lock(mutex_);
  PROTOPAGE_ASSIGN_OR_RETURN(Block* const block, GetBlock(row / kBlockRows));
  change(Row(this, block->data.data(), row));
  block->dirty = true;
  return absl::OkStatus();
}

absl::Status TableBlocks::ClearColumn(int column, int64_t num_rows, bool rewrite) {
  const size_t num_columns = layout_.columns.size();
  for (int64_t first = 0; first < num_rows; first += kBlockRows) {
    const MutexLock lock(mutex_);  // Block by block: others wait for one only.
    PROTOPAGE_ASSIGN_OR_RETURN(Block* const block, GetBlock(first / kBlockRows));
    const int64_t end = std::min(first + kBlockRows, num_rows);
    for (int64_t r = first; r < end; ++r) {
      const Row row(this, block->data.data(), r);
      if (row.checksums[column] == 0) continue;
      row.checksums[column] = 0;
      if (IsNarrow(column)) std::memset(row.Cell(column), 0, layout_.columns[column].cell_bytes);
      block->dirty = true;
    }
    if (rewrite && !block->dirty) {
      // Where nothing was ever written, nothing is: the file stays sparse.
      const uint64_t* const checksums = Row(this, block->data.data(), first).checksums;
      block->dirty = std::any_of(checksums, checksums + kBlockRows * num_columns,
                                 [](uint64_t checksum) { return checksum != 0; });
    }
  }
  return absl::OkStatus();
}

absl::Status TableBlocks::Flush() {
  const MutexLock lock(mutex_);
  return FlushBlocks();
}

int64_t TableBlocks::bytes_read() const {
  const MutexLock lock(mutex_);
  return bytes_read_;
}

int64_t TableBlocks::bytes_written() const {
  const MutexLock lock(mutex_);
  return bytes_written_;
}

absl::StatusOr<TableBlocks::Block*> TableBlocks::GetBlock(int64_t index) {
  auto found = block_of_.find(index);
  if (found == block_of_.end()) {
    PROTOPAGE_RETURN_IF_ERROR(LoadBlocks({index}));
    found = block_of_.find(index);
  }
  Block* const block = blocks_[found->second].get();
  block->referenced = true;
  return block;
}

absl::Status TableBlocks::LoadBlocksOf(absl::Span<const int64_t> rows) {
  std::vector<int64_t> missing;
  for (const int64_t row : rows) {
    const int64_t index = row / kBlockRows;
    if (!missing.empty() && missing.back() == index) continue;
    if (block_of_.find(index) == block_of_.end()) missing.push_back(index);
  }
  return missing.empty() ? absl::OkStatus() : LoadBlocks(missing);
}

absl::Status TableBlocks::LoadBlocks(absl::Span<const int64_t> indexes) {
  std::vector<Block*> loading;
  std::vector<size_t> places;
  absl::Status status;
  for (const int64_t index : indexes) {
    const absl::StatusOr<size_t> at = TakeBlock();
    status = at.status();
    if (!status.ok()) break;
    Block* const block = blocks_[*at].get();
    block->index = index;
    block->loading = true;
    loading.push_back(block);
    places.push_back(*at);
  }
  if (status.ok()) status = MoveBlocks(loading, /*write=*/false);
  for (size_t i = 0; i < loading.size(); ++i) {
    loading[i]->loading = false;
    loading[i]->referenced = status.ok();
    if (status.ok()) {
      block_of_[loading[i]->index] = places[i];
    } else {
      loading[i]->index = -1;  // Free: nothing refers to it, and the next sweep finds it.
    }
  }
  return status;
}

absl::StatusOr<size_t> TableBlocks::TakeBlock() {
  if (blocks_.size() < max_blocks_) {
    blocks_.push_back(std::make_unique<Block>());
    blocks_.back()->data.resize(block_bytes_);
    return blocks_.size() - 1;
  }
  // The second-chance rule among clean blocks. When all blocks are dirty, they are written
  // together.
  for (size_t looked = 0;; ++looked) {
    if (looked == 2 * max_blocks_) PROTOPAGE_RETURN_IF_ERROR(FlushBlocks());
    const size_t at = hand_;
    hand_ = (hand_ + 1) % max_blocks_;
    Block* const block = blocks_[at].get();
    if (block->loading) continue;
    if (!block->dirty && !block->referenced) {
      block_of_.erase(block->index);
      return at;
    }
    block->referenced = false;
  }
}

absl::Status TableBlocks::FlushBlocks() {
  std::vector<Block*> dirty;
  for (const auto& block : blocks_) {
    if (block->dirty) dirty.push_back(block.get());
  }
  std::sort(dirty.begin(), dirty.end(), [](Block* a, Block* b) { return a->index < b->index; });
  PROTOPAGE_RETURN_IF_ERROR(MoveBlocks(dirty, /*write=*/true));
  for (Block* block : dirty) block->dirty = false;
  return absl::OkStatus();
}

absl::Status TableBlocks::MoveBlocks(absl::Span<Block* const> blocks, bool write) {
  std::vector<ReadPiece> reads;
  int64_t moved = 0;
  const auto move = [&](int64_t file_offset, int64_t cell_bytes, int64_t block_offset) {
    reads.clear();
    for (Block* block : blocks) {
      const int64_t first = block->index * kBlockRows;
      const int64_t bytes = std::min(kBlockRows, layout_.capacity - first) * cell_bytes;
      char* const data = block->data.data() + block_offset;
      const int64_t offset = file_offset + first * cell_bytes;
      moved += bytes;
      // One by one, for the reason that PagedTable bounds its runs of writes.
      if (write) PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(offset, data, bytes));
      reads.push_back({offset, data, bytes});
    }
    return write ? absl::OkStatus() : file_->ReadPieces(reads);
  };
  for (size_t c = 0; c < layout_.columns.size(); ++c) {
    if (block_offsets_[c] < 0) continue;
    const TableBlocksLayout::Column& column = layout_.columns[c];
    PROTOPAGE_RETURN_IF_ERROR(move(column.file_offset, column.cell_bytes, block_offsets_[c]));
  }
  PROTOPAGE_RETURN_IF_ERROR(move(layout_.checksums_offset,
                                 8 * static_cast<int64_t>(layout_.columns.size()),
                                 checksums_offset_));
  (write ? bytes_written_ : bytes_read_) += moved;
  return absl::OkStatus();
}

}  // namespace protopage
