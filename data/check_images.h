// Looks at image files without decoding them, so that one that is missing or damaged shows before a
// run begins, and not when it is first drawn.
//
//   ThreadPool pool(0);
//   PROTOPAGE_RETURN_IF_ERROR(CheckImages(*source, "source_test", &pool, progress));
#ifndef PROTOPAGE_DATA_CHECK_IMAGES_H_
#define PROTOPAGE_DATA_CHECK_IMAGES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/decode_options.h"
#include "protopage/data/image_source.h"
#include "protopage/data/progress_function.h"

namespace protopage {

// Checks that `path` is a plain file whose header can be read and is within the limits, and that it
// ends as a JPEG or PNG does. A file that ends otherwise is decoded: it may be whole, with other
// data behind it. Errors: those of opening it; DataLoss, ResourceExhausted, as DecodeImage;
// InvalidArgument (a folder, a pipe, a device). All name the path.
absl::Status CheckImageFile(FileSystem* fs, const std::string& path, const DecodeOptions& options);

// Checks all records of a source that has_files(). `what` names them for `progress`, which may be
// null, and is called when the check takes longer than a second. Errors: that of the first record
// that fails, with the number of the others.
absl::Status CheckImages(const ImageSource& source, absl::string_view what, ThreadPool* pool,
                         const ProgressFunction& progress);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_CHECK_IMAGES_H_
