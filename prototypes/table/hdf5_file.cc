#include "protopage/prototypes/table/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/hdf5_connection.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

// Datasets begin on pages, so that a row of 2 KiB never lies on two.
constexpr int64_t kPageBytes = 4096;
// Of a piece that ForEachWritten reads.
constexpr int64_t kVisitedBytes = int64_t{64} << 10;
constexpr size_t kMaxTextBytes = 4096;  // Of an attribute that is read.
// Files from this version on have a seal.
constexpr int64_t kSealedVersion = 2;

// --- Types, attributes and datasets ----------------------------------------------------------

// HDF5 1.10 has no predefined type for it. This is the one that h5py writes for numpy.float16.
hid_t Float16Type() {
  static const hid_t type = [] {
    const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
    // The fields come first, as they must fit into the size.
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    return half;
  }();
  return type;
}

hid_t FileType(CellType type) {
  switch (type) {
    case CellType::kUint8:
      return H5T_STD_U8LE;
    case CellType::kInt32:
      return H5T_STD_I32LE;
    case CellType::kInt64:
      return H5T_STD_I64LE;
    case CellType::kUint64:
      return H5T_STD_U64LE;
    case CellType::kFloat16:
      return Float16Type();
    case CellType::kFloat32:
      return H5T_IEEE_F32LE;
  }
  return H5I_INVALID_HID;
}

constexpr CellType kCellTypes[] = {CellType::kUint8,  CellType::kInt32,   CellType::kInt64,
                                   CellType::kUint64, CellType::kFloat16, CellType::kFloat32};

bool WriteInteger(hid_t file, const std::string& name, int64_t value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(file, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  return attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0;
}

bool WriteText(hid_t file, const std::string& name, const std::string& value) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, value.size() + 1);
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(H5Acreate2(file, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                             H5Aclose);
  return attribute >= 0 && H5Awrite(attribute, type, value.c_str()) >= 0;
}

bool CreateDataset(hid_t file, Hdf5Dataset* dataset) {
  const std::vector<hsize_t> dims(dataset->dims.begin(), dataset->dims.end());
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                         H5Sclose);
  const Hdf5Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (space < 0 || H5Pset_layout(list, H5D_CONTIGUOUS) < 0 ||
      H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) < 0 ||
      H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0) {
    return false;
  }
  const Hdf5Handle handle(H5Dcreate2(file, dataset->name.c_str(), FileType(dataset->type), space,
                                     H5P_DEFAULT, list, H5P_DEFAULT),
                          H5Dclose);
  if (handle < 0) return false;
  const haddr_t offset = H5Dget_offset(handle);
  if (offset == HADDR_UNDEF) return false;
  dataset->offset = static_cast<int64_t>(offset);
  return true;
}

void ReadAttribute(hid_t file, const char* name, Hdf5Layout* layout) {
  const Hdf5Handle attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
  if (attribute < 0 || space < 0 || type < 0 || H5Sget_simple_extent_npoints(space) != 1) return;
  // Only the types that this program writes: HDF5 reads damaged ones without an error.
  if (H5Tequal(type, H5T_STD_I64LE) > 0) {
    int64_t value = 0;
    if (H5Aread(attribute, H5T_NATIVE_INT64, &value) >= 0) layout->integers[name] = value;
  } else if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
             H5Tget_size(type) <= kMaxTextBytes) {
    std::string value(H5Tget_size(type), '\0');
    if (H5Aread(attribute, type, &value[0]) >= 0) layout->texts[name] = value.c_str();
  }
}

// Whether the end of the dataset, whose values take up to 8 bytes, is an int64.
bool HasBytesInRange(const Hdf5Dataset& dataset) {
  int64_t values = 1;
  for (const int64_t dim : dataset.dims) {
    if (dim < 0 || __builtin_mul_overflow(values, dim, &values)) return false;
  }
  int64_t end = 0;
  return !__builtin_mul_overflow(values, int64_t{8}, &end) &&
         !__builtin_add_overflow(end, dataset.offset, &end);
}

void ReadDataset(hid_t file, const char* name, Hdf5Layout* layout) {
  const Hdf5Handle handle(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (handle < 0) return;  // A group.
  const Hdf5Handle list(H5Dget_create_plist(handle), H5Pclose);
  const Hdf5Handle space(H5Dget_space(handle), H5Sclose);
  const Hdf5Handle type(H5Dget_type(handle), H5Tclose);
  if (list < 0 || space < 0 || type < 0 || H5Pget_layout(list) != H5D_CONTIGUOUS) return;
  const haddr_t offset = H5Dget_offset(handle);
  if (offset == HADDR_UNDEF) return;
  Hdf5Dataset dataset;
  dataset.name = name;
  dataset.offset = static_cast<int64_t>(offset);
  std::vector<hsize_t> dims(std::max(H5Sget_simple_extent_ndims(space), 0));
  if (H5Sget_simple_extent_dims(space, dims.data(), nullptr) < 0) return;
  dataset.dims.assign(dims.begin(), dims.end());
  if (dataset.offset < 0 || !HasBytesInRange(dataset)) return;
  for (CellType cell : kCellTypes) {
    if (H5Tequal(type, FileType(cell)) > 0) {
      dataset.type = cell;
      layout->datasets.push_back(std::move(dataset));
      return;
    }
  }
}

// --- The seal --------------------------------------------------------------------------------
//
// HDF5 1.10 follows null pointers in some damaged files. So the bytes that it reads are checked
// before it sees them: a seal at the end of the file holds their checksum.

struct SealPiece {
  uint64_t offset;
  uint64_t bytes;
};
// The last bytes of the file, after the list of pieces.
struct SealEnd {
  char magic[8];
  uint64_t num_pieces;
  uint64_t skeleton_checksum;  // XXH3 of the pieces' bytes, one after the other.
  uint64_t checksum;           // XXH3 of the pieces and of this up to here.
};
static_assert(sizeof(SealPiece) == 16 && sizeof(SealEnd) == 32);
constexpr char kSealMagic[9] = "PPSEALED";
constexpr uint64_t kMaxSealPieces = 1024;
// The attributes lie before this byte.
constexpr int64_t kHeadBytes = int64_t{64} << 10;

uint64_t SealChecksum(const std::vector<SealPiece>& pieces, const SealEnd& end) {
  const uint64_t seed = XXH3_64bits(pieces.data(), pieces.size() * sizeof(SealPiece));
  return XXH3_64bits_withSeed(&end, offsetof(SealEnd, checksum), seed);
}

// `signature` is what the file begins with, or null if it is in the file already.
absl::StatusOr<uint64_t> SkeletonChecksum(File* file, const std::vector<SealPiece>& pieces,
                                          const char* signature) {
  std::string skeleton;
  for (const SealPiece& piece : pieces) {
    const size_t at = skeleton.size();
    skeleton.resize(at + piece.bytes);
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(static_cast<int64_t>(piece.offset), &skeleton[at],
                                           static_cast<int64_t>(piece.bytes)));
  }
  if (signature != nullptr) {
    skeleton.replace(0, Hdf5Connection::kSignatureBytes, signature,
                     Hdf5Connection::kSignatureBytes);
  }
  return XXH3_64bits(skeleton.data(), skeleton.size());
}

// Appends the seal to a file that HDF5 has just written. All bytes that belong to no dataset are
// the skeleton.
absl::Status Seal(File* file, const Hdf5Layout& layout, const char* signature) {
  std::vector<Hdf5Dataset> datasets = layout.datasets;
  std::sort(datasets.begin(), datasets.end(),
            [](const Hdf5Dataset& a, const Hdf5Dataset& b) { return a.offset < b.offset; });
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  std::vector<SealPiece> pieces;
  int64_t at = 0;
  const auto skeleton_until = [&](int64_t end) {
    if (end > at) pieces.push_back({static_cast<uint64_t>(at), static_cast<uint64_t>(end - at)});
  };
  for (const Hdf5Dataset& dataset : datasets) {
    skeleton_until(dataset.offset);
    at = dataset.offset + dataset.bytes();
  }
  // The seal lies in one sector, so that a power loss leaves all of it or nothing.
  constexpr int64_t kSectorBytes = 512;
  const auto seal_bytes =
      static_cast<int64_t>((pieces.size() + 1) * sizeof(SealPiece) + sizeof(SealEnd));
  const int64_t left = kSectorBytes - size % kSectorBytes;
  const int64_t begin = seal_bytes > left && seal_bytes <= kSectorBytes ? size + left : size;
  if (begin > size) PROTOPAGE_RETURN_IF_ERROR(file->Truncate(begin));
  skeleton_until(begin);
  SealEnd end = {};
  std::memcpy(end.magic, kSealMagic, sizeof(end.magic));
  end.num_pieces = pieces.size();
  PROTOPAGE_ASSIGN_OR_RETURN(end.skeleton_checksum, SkeletonChecksum(file, pieces, signature));
  end.checksum = SealChecksum(pieces, end);
  std::string seal(reinterpret_cast<const char*>(pieces.data()), pieces.size() * sizeof(SealPiece));
  seal.append(reinterpret_cast<const char*>(&end), sizeof(end));
  return file->WriteAt(begin, seal.data(), static_cast<int64_t>(seal.size()));
}

// The end of the seal; all zeros if the file has none, as files of earlier programs, and those that
// HDF5 changed since.
absl::StatusOr<SealEnd> ReadSealEnd(File* file, int64_t size) {
  SealEnd end = {};
  const int64_t offset = size - static_cast<int64_t>(sizeof(end));
  if (offset >= 0) PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(offset, &end, sizeof(end)));
  if (std::memcmp(end.magic, kSealMagic, sizeof(end.magic)) != 0) end = {};
  return end;
}

int64_t SealBytes(const SealEnd& end) {
  if (end.magic[0] == 0) return 0;
  return static_cast<int64_t>(end.num_pieces * sizeof(SealPiece) + sizeof(end));
}

absl::Status WithoutSeal(const std::string& path, int64_t version) {
  return absl::DataLossError(
      absl::StrCat(path, ": format version ", version,
                   " without its seal: the file is damaged, or another program has changed it"));
}

// The attribute `format_version` as HDF5 1.10 writes it, found without HDF5; 0 if it is not there.
absl::StatusOr<int64_t> FindVersion(File* file, int64_t size) {
  std::string head(std::min(size, kHeadBytes), '\0');
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &head[0], static_cast<int64_t>(head.size())));
  // The name, the type and the shape, each padded to a multiple of 8, come before the value.
  constexpr absl::string_view kName("format_version\0\0", 16);
  constexpr size_t kTypeBytes = 16, kShapeBytes = 8;
  const size_t name = head.find(kName.data(), 0, kName.size());
  int64_t version = 0;
  if (name == std::string::npos) return version;
  const size_t at = name + kName.size() + kTypeBytes + kShapeBytes;
  if (at + sizeof(version) <= head.size()) std::memcpy(&version, &head[at], sizeof(version));
  return version;
}

// Where the seal is and where the pieces that it lists end.
struct SealPlace {
  bool found = false;
  int64_t begin = 0;
  int64_t pieces_end = 0;
};

// If there is a seal, the file matches it. Errors: DataLoss.
absl::StatusOr<SealPlace> CheckSeal(File* file, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  PROTOPAGE_ASSIGN_OR_RETURN(const SealEnd end, ReadSealEnd(file, size));
  if (SealBytes(end) == 0) {
    PROTOPAGE_ASSIGN_OR_RETURN(const int64_t version, FindVersion(file, size));
    if (version >= kSealedVersion) return WithoutSeal(path, version);
    return SealPlace();
  }
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", what, " does not match its checksum: the file is damaged"));
  };
  if (end.num_pieces > kMaxSealPieces || SealBytes(end) > size) return damaged("the seal");
  std::vector<SealPiece> pieces(end.num_pieces);
  const auto bytes = static_cast<int64_t>(pieces.size() * sizeof(SealPiece));
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(size - SealBytes(end), pieces.data(), bytes));
  if (end.checksum != SealChecksum(pieces, end)) return damaged("the seal");
  SealPlace place;
  place.found = true;
  place.begin = size - SealBytes(end);
  for (const SealPiece& piece : pieces) {
    const auto all = static_cast<uint64_t>(size);
    if (piece.offset > all || piece.bytes > all - piece.offset) return damaged("the seal");
    place.pieces_end = std::max(place.pieces_end, static_cast<int64_t>(piece.offset + piece.bytes));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t checksum, SkeletonChecksum(file, pieces, nullptr));
  if (checksum != end.skeleton_checksum) return damaged("the HDF5 skeleton");
  return place;
}

}  // namespace

int64_t BytesOf(CellType type) {
  switch (type) {
    case CellType::kUint8:
      return 1;
    case CellType::kFloat16:
      return 2;
    case CellType::kInt32:
      return 4;
    case CellType::kFloat32:
      return 4;
    case CellType::kInt64:
      return 8;
    case CellType::kUint64:
      return 8;
  }
  return 0;
}

int64_t Hdf5Dataset::bytes() const {
  int64_t bytes = BytesOf(type);
  for (int64_t dim : dims) bytes *= dim;
  return bytes;
}

const Hdf5Dataset* Hdf5Layout::Find(const std::string& name) const {
  for (const Hdf5Dataset& dataset : datasets) {
    if (dataset.name == name) return &dataset;
  }
  return nullptr;
}

absl::Status CreateHdf5Layout(File* file, const std::string& path, Hdf5Layout* layout) {
  const QuietHdf5Errors quiet;
  Hdf5Connection connection(file, /*hold_signature=*/true);
  const auto failed = [&](absl::string_view what) {
    return connection.Failure(absl::StatusCode::kInternal, path, what);
  };
  if (!connection.ok() || H5Pset_alignment(connection.fapl(), kPageBytes, kPageBytes) < 0) {
    return failed("cannot set up HDF5");
  }
  const hid_t handle = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, connection.fapl());
  if (handle < 0) return failed("cannot create an HDF5 file");
  std::string bad;
  for (const auto& [name, value] : layout->integers) {
    if (bad.empty() && !WriteInteger(handle, name, value)) bad = name;
  }
  for (const auto& [name, value] : layout->texts) {
    if (bad.empty() && !WriteText(handle, name, value)) bad = name;
  }
  for (Hdf5Dataset& dataset : layout->datasets) {
    if (bad.empty() && !CreateDataset(handle, &dataset)) bad = dataset.name;
  }
  absl::Status status;
  if (!bad.empty()) status = failed(absl::StrCat("cannot create '", bad, "'"));
  if (H5Fclose(handle) < 0 || !connection.ok()) status.Update(failed("cannot write"));
  PROTOPAGE_RETURN_IF_ERROR(status);
  for (const Hdf5Dataset& dataset : layout->datasets) {
    if (dataset.content.empty()) continue;
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(dataset.offset, dataset.content.data(),
                                            static_cast<int64_t>(dataset.content.size())));
  }
  PROTOPAGE_RETURN_IF_ERROR(Seal(file, *layout, connection.signature()));
  return connection.WriteSignature();
}

absl::StatusOr<Hdf5Layout> ReadHdf5Layout(File* file, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const SealPlace seal, CheckSeal(file, path));
  const QuietHdf5Errors quiet;
  Hdf5Connection connection(file);
  if (!connection.ok()) {
    return connection.Failure(absl::StatusCode::kInternal, path, "cannot set up HDF5");
  }
  const Hdf5Handle handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, connection.fapl()), H5Fclose);
  if (handle < 0) {
    return connection.Failure(absl::StatusCode::kDataLoss, path, "not a readable HDF5 file");
  }
  Hdf5Layout layout;
  struct Context {
    hid_t file;
    Hdf5Layout* layout;
    std::vector<std::string> links;  // Of other kinds than hard.
  } context = {handle, &layout, {}};
  hsize_t position = 0;
  const herr_t attributes = H5Aiterate2(
      handle, H5_INDEX_NAME, H5_ITER_INC, &position,
      [](hid_t, const char* name, const H5A_info_t*, void* c) -> herr_t {
        const auto* const context = static_cast<const Context*>(c);
        ReadAttribute(context->file, name, context->layout);
        return 0;
      },
      &context);
  const herr_t links = H5Literate(
      handle, H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5L_info_t* link, void* c) -> herr_t {
        auto* const context = static_cast<Context*>(c);
        // Data that a link finds elsewhere is not at an offset of this file.
        if (link->type == H5L_TYPE_HARD) {
          ReadDataset(context->file, name, context->layout);
        } else {
          context->links.push_back(name);
        }
        return 0;
      },
      &context);
  if (attributes < 0 || links < 0 || !connection.ok()) {
    return connection.Failure(absl::StatusCode::kDataLoss, path, "damaged HDF5 file");
  }
  if (!context.links.empty()) {
    return absl::DataLossError(
        absl::StrCat(path, ": '", context.links[0],
                     "' is a link to data elsewhere; expected a dataset in this file"));
  }
  const auto version = layout.integers.find("format_version");
  if (!seal.found && version != layout.integers.end() && version->second >= kSealedVersion) {
    return WithoutSeal(path, version->second);
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  int64_t end = seal.pieces_end;
  for (const Hdf5Dataset& dataset : layout.datasets) {
    if (dataset.offset + dataset.bytes() > size) {
      return absl::DataLossError(absl::StrCat(path, ": truncated: the file ends at byte ", size,
                                              ", dataset '", dataset.name, "' at byte ",
                                              dataset.offset + dataset.bytes()));
    }
    end = std::max(end, dataset.offset + dataset.bytes());
  }
  if (seal.found && end != seal.begin) {
    return absl::DataLossError(absl::StrCat(path, ": the data end at byte ", end,
                                            ", and the seal begins at byte ", seal.begin,
                                            ": the file is damaged"));
  }
  return layout;
}

absl::Status ForEachWritten(
    File* file, const Hdf5Dataset& dataset, int64_t num_values,
    absl::FunctionRef<absl::Status(int64_t first, int64_t count, void* values)> visit) {
  const int64_t bytes = BytesOf(dataset.type);
  const int64_t begin = dataset.offset, end = begin + num_values * bytes;
  std::vector<uint64_t> block(kVisitedBytes / static_cast<int64_t>(sizeof(uint64_t)));
  for (int64_t at = begin; at < end;) {
    PROTOPAGE_ASSIGN_OR_RETURN(const ByteRange data, file->NextData(at));
    // From the beginning of a value to the end of one.
    at = begin + (std::min(data.begin, end) - begin) / bytes * bytes;
    const int64_t data_end = std::min(data.end, end);
    while (at < data_end) {
      const int64_t count = std::min(DivideUp(data_end - at, bytes), kVisitedBytes / bytes);
      PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(at, block.data(), count * bytes));
      PROTOPAGE_RETURN_IF_ERROR(visit((at - begin) / bytes, count, block.data()));
      at += count * bytes;
    }
  }
  return absl::OkStatus();
}

absl::Status SetHdf5Integer(File* file, const std::string& path, const std::string& name,
                            int64_t value) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(file, path));
  if (layout.integers.count(name) == 0) {
    return absl::NotFoundError(absl::StrCat(path, ": attribute '", name, "' is missing"));
  }
  // The seal is removed durably first: a file must never end with a seal that does not match it.
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  PROTOPAGE_ASSIGN_OR_RETURN(const SealEnd end, ReadSealEnd(file, size));
  const bool sealed = SealBytes(end) > 0;
  if (sealed) {
    PROTOPAGE_RETURN_IF_ERROR(file->Truncate(size - SealBytes(end)));
    PROTOPAGE_RETURN_IF_ERROR(file->Sync());
  }
  {
    const QuietHdf5Errors quiet;
    Hdf5Connection connection(file);
    const Hdf5Handle handle(H5Fopen(path.c_str(), H5F_ACC_RDWR, connection.fapl()), H5Fclose);
    const Hdf5Handle attribute(H5Aopen(handle, name.c_str(), H5P_DEFAULT), H5Aclose);
    if (attribute < 0 || H5Awrite(attribute, H5T_NATIVE_INT64, &value) < 0 ||
        H5Fflush(handle, H5F_SCOPE_GLOBAL) < 0 || !connection.ok()) {
      return connection.Failure(absl::StatusCode::kInternal, path,
                                absl::StrCat("cannot write '", name, "'"));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(file->Sync());
  if (!sealed) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(Seal(file, layout, nullptr));
  return file->Sync();
}

}  // namespace protopage
