#include "protopage/base/hdf5_connection.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/status_macros.h"

namespace protopage {

struct Hdf5Connection::State {
  File* file;
  absl::Status status;    // The first failure.
  bool detached = false;  // The File may have been destroyed.
  // The signature is kept here and not written to the File: see WriteSignature.
  bool holds_signature = false;
  char signature[kSignatureBytes] = {};

  bool silent() const { return detached || !status.ok(); }
};

namespace {

// A virtual file driver. HDF5 hands a driver only a file name and a property list; the File travels
// in the list.

using DriverState = Hdf5Connection::State;
constexpr size_t kSignatureBytes = Hdf5Connection::kSignatureBytes;

struct DriverFile {
  H5FD_t base;  // HDF5's own part, first.
  std::shared_ptr<DriverState> state;
  haddr_t eoa;  // End of the addresses HDF5 has allocated.
  haddr_t eof;
};

// The part of a property list that belongs to this driver.
struct DriverInfo {
  std::shared_ptr<DriverState> state;
};

void* CopyInfo(const void* info) { return new DriverInfo(*static_cast<const DriverInfo*>(info)); }
herr_t FreeInfo(void* info) {
  delete static_cast<DriverInfo*>(info);
  return 0;
}

herr_t Keep(DriverState* state, const absl::Status& status) {
  if (status.ok()) return 0;
  if (state->status.ok()) state->status = status;
  return -1;
}

H5FD_t* DriverOpen(const char*, unsigned, hid_t fapl, haddr_t) {
  const auto* info = static_cast<const DriverInfo*>(H5Pget_driver_info(fapl));
  const absl::StatusOr<int64_t> size = info->state->file->Size();
  if (Keep(info->state.get(), size.status()) < 0) return nullptr;
  return &(new DriverFile{{}, info->state, 0, static_cast<haddr_t>(*size)})->base;
}
DriverFile* Cast(H5FD_t* f) { return reinterpret_cast<DriverFile*>(f); }
const DriverFile* Cast(const H5FD_t* f) { return reinterpret_cast<const DriverFile*>(f); }

herr_t DriverClose(H5FD_t* f) {
  delete Cast(f);
  return 0;
}
int DriverCompare(const H5FD_t* a, const H5FD_t* b) {
  const DriverState *x = Cast(a)->state.get(), *y = Cast(b)->state.get();
  return x < y ? -1 : x > y ? 1 : 0;
}
herr_t DriverQuery(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA;
  return 0;
}
haddr_t DriverGetEoa(const H5FD_t* f, H5FD_mem_t) { return Cast(f)->eoa; }
herr_t DriverSetEoa(H5FD_t* f, H5FD_mem_t, haddr_t eoa) {
  Cast(f)->eoa = eoa;
  return 0;
}
haddr_t DriverGetEof(const H5FD_t* f, H5FD_mem_t) { return Cast(f)->eof; }
// How many of the bytes [address, address + size) belong to a signature that is held.
size_t HeldBytes(const DriverState& state, haddr_t address, size_t size) {
  if (!state.holds_signature || address >= kSignatureBytes) return 0;
  return std::min<size_t>(size, kSignatureBytes - address);
}
herr_t DriverRead(H5FD_t* f, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* data) {
  // Bytes past the end read as zeros, as with HDF5's own drivers.
  DriverFile* file = Cast(f);
  size_t present = address >= file->eof ? 0 : std::min<size_t>(size, file->eof - address);
  if (file->state->silent()) present = 0;
  std::memset(static_cast<char*>(data) + present, 0, size - present);
  if (present == 0) return 0;
  const herr_t result = Keep(
      file->state.get(), file->state->file->ReadAt(static_cast<int64_t>(address), data, present));
  if (const size_t held = HeldBytes(*file->state, address, present); held > 0) {
    std::memcpy(data, file->state->signature + address, held);
  }
  return result;
}
herr_t DriverWrite(H5FD_t* f, H5FD_mem_t, hid_t, haddr_t address, size_t size, const void* data) {
  DriverFile* file = Cast(f);
  file->eof = std::max<haddr_t>(file->eof, address + size);
  if (file->state->silent()) return 0;
  const size_t held = HeldBytes(*file->state, address, size);
  if (held > 0) std::memcpy(file->state->signature + address, data, held);
  if (held == size) return 0;
  Keep(file->state.get(),
       file->state->file->WriteAt(static_cast<int64_t>(address + held),
                                  static_cast<const char*>(data) + held, size - held));
  return 0;
}
herr_t DriverTruncate(H5FD_t* f, hid_t, hbool_t) {
  DriverFile* file = Cast(f);
  if (file->eof == file->eoa) return 0;
  file->eof = file->eoa;
  if (file->state->silent()) return 0;
  Keep(file->state.get(), file->state->file->Truncate(static_cast<int64_t>(file->eoa)));
  return 0;
}

hid_t Driver() {
  static const hid_t driver = [] {
    static H5FD_class_t cls = {};
    cls.name = "protopage";
    cls.maxaddr = static_cast<haddr_t>(INT64_MAX);
    cls.fc_degree = H5F_CLOSE_STRONG;
    cls.fapl_size = sizeof(DriverInfo);
    cls.fapl_copy = CopyInfo;
    cls.fapl_free = FreeInfo;
    cls.open = DriverOpen;
    cls.close = DriverClose;
    cls.cmp = DriverCompare;
    cls.query = DriverQuery;
    cls.get_eoa = DriverGetEoa;
    cls.set_eoa = DriverSetEoa;
    cls.get_eof = DriverGetEof;
    cls.read = DriverRead;
    cls.write = DriverWrite;
    cls.truncate = DriverTruncate;
    const H5FD_mem_t map[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(map), std::end(map), std::begin(cls.fl_map));
    return H5FDregister(&cls);
  }();
  return driver;
}

}  // namespace

Hdf5Connection::Hdf5Connection(File* file, bool hold_signature)
    : state_(std::make_shared<State>()) {
  state_->file = file;
  state_->holds_signature = hold_signature;
  fapl_ = H5Pcreate(H5P_FILE_ACCESS);
  const DriverInfo info = {state_};
  if (fapl_ >= 0 && H5Pset_driver(fapl_, Driver(), &info) < 0) {
    H5Pclose(fapl_);
    fapl_ = H5I_INVALID_HID;
  }
}

Hdf5Connection::~Hdf5Connection() {
  state_->detached = true;
  if (fapl_ >= 0) H5Pclose(fapl_);
}

bool Hdf5Connection::ok() const { return fapl_ >= 0 && state_->status.ok(); }

const char* Hdf5Connection::signature() const { return state_->signature; }

absl::Status Hdf5Connection::WriteSignature() {
  PROTOPAGE_RETURN_IF_ERROR(state_->file->Sync());
  return state_->file->WriteAt(0, state_->signature, kSignatureBytes);
}

absl::Status Hdf5Connection::Failure(absl::StatusCode code, const std::string& path,
                                     absl::string_view what) const {
  if (!state_->status.ok()) return state_->status;
  return absl::Status(code, absl::StrCat(path, ": ", what, ": ", LastHdf5Error()));
}

}  // namespace protopage
