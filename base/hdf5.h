// What calls of HDF5's C interface need around them: identifiers that are closed, errors that are
// not printed, and the text of the last error.
//
//   const QuietHdf5Errors quiet;
//   const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
//   if (!file.ok()) {
//     return absl::DataLossError(absl::StrCat(path, ": ", LastHdf5Error()));
//   }
//   const Hdf5Handle dataset(H5Dopen2(file, "embeddings", H5P_DEFAULT), H5Dclose);
#ifndef PROTOPAGE_BASE_HDF5_H_
#define PROTOPAGE_BASE_HDF5_H_

#include <hdf5.h>

#include <string>
#include <utility>

namespace protopage {

// An HDF5 identifier, closed on destruction. An invalid one (below 0) is never closed.
class Hdf5Handle {
 public:
  using CloseFunction = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  // `close` is the function for this kind of identifier: H5Fclose, H5Dclose, ...
  Hdf5Handle(hid_t id, CloseFunction close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept { *this = std::move(other); }
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() { Close(); }

  bool ok() const { return id_ >= 0; }
  // For HDF5's functions, which take identifiers.
  operator hid_t() const { return id_; }
  explicit operator bool() const = delete;  // 0 is a valid identifier: use ok().

  // Closes the identifier now. False when HDF5 reports an error: it could not write what it held.
  bool Close() {
    const hid_t id = std::exchange(id_, H5I_INVALID_HID);
    return id < 0 || close_(id) >= 0;
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
  CloseFunction close_ = nullptr;
};

// Keeps HDF5 from printing errors of this thread to stderr. The previous setting returns with the
// end of its life.
class QuietHdf5Errors {
 public:
  QuietHdf5Errors() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~QuietHdf5Errors() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }
  QuietHdf5Errors(const QuietHdf5Errors&) = delete;
  QuietHdf5Errors& operator=(const QuietHdf5Errors&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

// The cause of this thread's last failed HDF5 call: the innermost entry of HDF5's error stack. The
// stack is empty afterwards. Call it before any other HDF5 function, as each clears the stack.
std::string LastHdf5Error();

// Whether several threads may call the library at a time, as ours do.
bool Hdf5IsThreadSafe();

}  // namespace protopage

#endif  // PROTOPAGE_BASE_HDF5_H_
