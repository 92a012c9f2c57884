#include "protopage/base/hdf5.h"

namespace protopage {

std::string LastHdf5Error() {
  std::string text;
  const H5E_walk2_t take_first = [](unsigned, const H5E_error2_t* error, void* out) -> herr_t {
    std::string& description = *static_cast<std::string*>(out);
    if (description.empty() && error->desc != nullptr) description = error->desc;
    return 0;
  };
  // Upward: from the innermost call to the outermost.
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "unknown HDF5 error" : text;
}

bool Hdf5IsThreadSafe() {
  hbool_t is_threadsafe = false;
  return H5is_library_threadsafe(&is_threadsafe) >= 0 && is_threadsafe;
}

}  // namespace protopage
