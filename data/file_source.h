// JPEG and PNG files as records: a folder a class, or a list.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenImageFolder(fs, "faces/train", {}));
//   FileSourceOptions options;
//   options.classes_of = train.get();  // The test folder's labels are the training folder's.
//   PROTOPAGE_ASSIGN_OR_RETURN(auto test, OpenImageFolder(fs, "faces/test", options));
//
// A folder source: each folder directly below the root is a class, its .jpg, .jpeg and .png
// files are the images. Labels number the folders in byte order of their names. Names
// that begin with a dot, and files of other kinds, are left out and counted in Description().
//
// A list file: one image a line, `path<TAB>label` or `path<TAB>label<TAB>domain`. Relative paths
// start at the list's folder. Labels are integers from 0; lines that are empty or begin with #
// are skipped. Domains are numbered in byte order of their names; all lines have one or none has.
#ifndef PROTOPAGE_DATA_FILE_SOURCE_H_
#define PROTOPAGE_DATA_FILE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/image_source.h"

namespace protopage {

struct FileSourceOptions {
  DecodeOptions decode;
  // When not null, labels, domains and the number of classes are this source's: a class or
  // domain that it does not have is an error. A class it has may be missing. Read during the
  // call only.
  const ImageSource* classes_of = nullptr;
};

// Names are read at once, images only by Read(). Errors: NotFound (no such folder or list,
// nothing in it), DataLoss (a line or label that is wrong, with its number; an unknown class).
// Read: NotFound, DataLoss, ResourceExhausted, each with the path.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFolder(FileSystem* fs,
                                                             const std::string& path,
                                                             const FileSourceOptions& options);
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageList(FileSystem* fs, const std::string& path,
                                                           const FileSourceOptions& options);
// Images without labels (label 0): one image file, or all below a folder at any depth in byte
// order of their paths, or a list whose lines may hold a path only.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFiles(FileSystem* fs, const std::string& path,
                                                            const FileSourceOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_FILE_SOURCE_H_
