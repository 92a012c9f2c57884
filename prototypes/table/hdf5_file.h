// The HDF5 skeleton of a file whose bulk data this program reads and writes without HDF5:
// attributes of the root group, and contiguous datasets whose bytes lie at offsets that never
// change.
//
//   Hdf5Layout layout;
//   layout.integers["dim"] = 512;
//   layout.datasets.push_back({"prototypes", CellType::kFloat32, {1000000, 512}});
//   PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file.get(), path, &layout));
//   const int64_t begin = layout.datasets[0].offset;
//   PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(begin + id * row_bytes, row, row_bytes));
//
// HDF5 reads and writes through the given File, so that tests can inject faults, and does not take
// its own lock on the file. No HDF5 object is open when these functions return.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_HDF5_FILE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_HDF5_FILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"

namespace protopage {

// Types of values in the file, little-endian.
enum class CellType { kUint8, kInt32, kInt64, kUint64, kFloat16, kFloat32 };

int64_t BytesOf(CellType type);

struct Hdf5Dataset {
  std::string name;
  CellType type = CellType::kFloat32;
  std::vector<int64_t> dims;
  int64_t offset = 0;  // Of the first byte in the file; set by the functions below.
  // The first bytes that a created dataset has; not read back.
  std::string content = {};

  int64_t bytes() const;
};

struct Hdf5Layout {
  std::map<std::string, int64_t> integers;   // Root attributes, int64.
  std::map<std::string, std::string> texts;  // Root attributes, fixed-length ASCII.
  std::vector<Hdf5Dataset> datasets;         // In the root group, by name when read.

  const Hdf5Dataset* Find(const std::string& name) const;  // Null if there is none.
};

// Writes the skeleton to the empty `file` and sets the offsets. The datasets are allocated, aligned
// to pages and never filled: the file is sparse and reads as zeros. The bytes outside of datasets
// are sealed by a checksum. A power loss leaves no file that ReadHdf5Layout accepts, or all of it;
// the caller syncs the file. `path` is for messages.
absl::Status CreateHdf5Layout(File* file, const std::string& path, Hdf5Layout* layout);

// Reads the skeleton back. Attributes and datasets of other types are left out, as are datasets
// that are not contiguous. Errors: DataLoss (not an HDF5 file, shorter than its data, with links to
// data elsewhere, not matching its seal, or without one where the attribute `format_version` is 2
// or more).
absl::StatusOr<Hdf5Layout> ReadHdf5Layout(File* file, const std::string& path);

// Calls visit(first, count, values) for pieces of the first `num_values` values of the dataset,
// ascending; values of which no byte was ever written, and which are zero, may be left out.
// `values` points to a copy of `count` values, those from `first` on. Errors: the file's, those of
// `visit`.
absl::Status ForEachWritten(
    File* file, const Hdf5Dataset& dataset, int64_t num_values,
    absl::FunctionRef<absl::Status(int64_t first, int64_t count, void* values)> visit);

// Changes an integer attribute of the root group. A crash leaves the old value or the new one; the
// file may be without its seal then, which is no damage. Errors: NotFound, and as ReadHdf5Layout.
absl::Status SetHdf5Integer(File* file, const std::string& path, const std::string& name,
                            int64_t value);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_HDF5_FILE_H_
