// HDF5 reads and writes through a File, so that tests can inject faults, and the error that the
// user sees is the File's. HDF5 takes no lock of its own on the file.
//
//   const QuietHdf5Errors quiet;
//   const Hdf5Connection connection(file.get());
//   Hdf5Handle handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, connection.fapl()),
//                     H5Fclose);
//   if (!handle.Close() || !connection.ok()) {
//     return connection.Failure(absl::StatusCode::kInternal, path, "cannot write");
//   }
//
// HDF5 1.10 does not survive a write that fails while it closes a dataset or a file: it frees
// memory twice, and writes once more when the program ends. So HDF5 is told that every write
// succeeded. The first failure is kept, and nothing is passed on to the File after it: ask ok()
// after what must have been written.
#ifndef PROTOPAGE_BASE_HDF5_CONNECTION_H_
#define PROTOPAGE_BASE_HDF5_CONNECTION_H_

#include <hdf5.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"

namespace protopage {

// Used by one thread at a time.
class Hdf5Connection {
 public:
  static constexpr size_t kSignatureBytes = 8;  // At the beginning of an HDF5 file.

  // `file` is not owned and must outlive this. What HDF5 writes later, as when a handle is closed
  // after this has gone, is dropped. With `hold_signature` the signature is not written before
  // WriteSignature.
  explicit Hdf5Connection(File* file, bool hold_signature = false);
  ~Hdf5Connection();
  Hdf5Connection(const Hdf5Connection&) = delete;
  Hdf5Connection& operator=(const Hdf5Connection&) = delete;

  // A file access property list, to open or create the one file with. Its name is for HDF5 alone.
  hid_t fapl() const { return fapl_; }
  // Whether HDF5 took the list, and no call of the File failed.
  bool ok() const;

  // The bytes that are held back, kSignatureBytes of them.
  const char* signature() const;

  // Writes the signature, which was held back, once all the rest is durable. Otherwise a power loss
  // could leave a file that HDF5 accepts by its signature and then crashes on.
  absl::Status WriteSignature();

  // The File's failure if there was one, else "PATH: WHAT: " and the last error of HDF5.
  absl::Status Failure(absl::StatusCode code, const std::string& path,
                       absl::string_view what) const;

  struct State;  // For the source file.

 private:
  std::shared_ptr<State> state_;
  hid_t fapl_ = H5I_INVALID_HID;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_HDF5_CONNECTION_H_
