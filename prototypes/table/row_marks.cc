#include "protopage/prototypes/table/row_marks.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr auto kMarkBytes = static_cast<int64_t>(sizeof(uint64_t));

// The number of the change that set the mark, and 32 bits of a checksum.
uint64_t MakeMark(int64_t row, uint64_t change) {
  const uint64_t key[] = {static_cast<uint64_t>(row), change};
  return change << 32 | (XXH3_64bits(key, sizeof(key)) & 0xffffffff);
}
int64_t ChangeOf(uint64_t mark) { return static_cast<int64_t>(mark >> 32); }

// The cells that are not 0 of rows [0, num_rows), and their rows.
template <typename Cell>
absl::Status ReadCells(File* file, const Hdf5Dataset& dataset, int64_t num_rows,
                       std::vector<int64_t>* rows, std::vector<Cell>* cells) {
  return ForEachWritten(file, dataset, num_rows, [&](int64_t first, int64_t count, void* values) {
    const auto* const block = static_cast<const Cell*>(values);
    for (int64_t i = 0; i < count; ++i) {
      if (block[i] == 0) continue;
      rows->push_back(first + i);
      cells->push_back(block[i]);
    }
    return absl::OkStatus();
  });
}

}  // namespace

CellType RowMarkType(int64_t version) { return version < 2 ? CellType::kUint8 : CellType::kUint64; }

absl::StatusOr<RowMarks> ReadRowMarks(File* file, const std::string& path,
                                      const Hdf5Dataset& dataset, int64_t version,
                                      const TableHeader& header) {
  RowMarks marks;
  if (version < 2) {
    std::vector<uint8_t> cells;
    PROTOPAGE_RETURN_IF_ERROR(ReadCells(file, dataset, header.num_rows, &marks.rows, &cells));
    return marks;
  }
  std::vector<int64_t> rows;
  std::vector<uint64_t> cells;
  PROTOPAGE_RETURN_IF_ERROR(ReadCells(file, dataset, header.num_rows, &rows, &cells));
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t change = ChangeOf(cells[i]);
    if (cells[i] != MakeMark(rows[i], static_cast<uint64_t>(change))) {
      return absl::DataLossError(absl::StrCat(path, ": row ", rows[i], " of '", dataset.name,
                                              "' does not match its checksum: the file is "
                                              "damaged"));
    }
    (change <= header.mark_changes ? marks.rows : marks.interrupted).push_back(rows[i]);
  }
  if (static_cast<int64_t>(marks.rows.size()) != header.num_marked) {
    return absl::DataLossError(absl::StrCat(path, ": '", dataset.name, "' marks ",
                                            marks.rows.size(), " rows, and 'header' says ",
                                            header.num_marked, ": the file is damaged"));
  }
  return marks;
}

absl::Status WriteRowMarks(File* file, const Hdf5Dataset& dataset, absl::Span<const int64_t> rows,
                           int64_t change) {
  std::vector<uint64_t> marks(rows.size());
  std::vector<WritePiece> pieces;
  for (size_t i = 0; i < rows.size(); ++i) {
    marks[i] = MakeMark(rows[i], static_cast<uint64_t>(change));
    pieces.push_back({dataset.offset + rows[i] * kMarkBytes, &marks[i], kMarkBytes});
  }
  return file->WritePieces(pieces);
}

absl::Status ClearRowMarks(File* file, const Hdf5Dataset& dataset, absl::Span<const int64_t> rows) {
  const uint64_t none = 0;
  std::vector<WritePiece> pieces;
  for (const int64_t row : rows) {
    pieces.push_back({dataset.offset + row * kMarkBytes, &none, kMarkBytes});
  }
  return file->WritePieces(pieces);
}

}  // namespace protopage
