// JPEG and PNG files as records: one folder per class, or a list.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenImageFolder(fs, train_path, {}));
//   FileSourceOptions options;
//   options.classes_of = train.get();  // The labels of the test folder are the training folder's.
//   PROTOPAGE_ASSIGN_OR_RETURN(auto test, OpenImageFolder(fs, test_path, options));
//
// A folder source: each folder directly below the root is a class, and its .jpg, .jpeg and .png
// files are the images. Labels number the folders in byte order of their names. Names that begin
// with a dot, files of other kinds, and what is no plain file (folders, pipes, devices) are left
// out, and LeftOut() names them. A link is what it leads to; one that leads nowhere is an error
// where it may be a class or an image.
//
// A list file: one image per line, `path<TAB>label` or `path<TAB>label<TAB>domain`. Relative paths
// start at the folder of the list. Labels are integers from 0; lines that are empty or begin with #
// are skipped. Lines end with LF or CR LF; a byte order mark in front is skipped. Domains are
// numbered in byte order of their names; either all lines have one or none.
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
  // When not null, labels, domains and the number of classes are those of this source: a class or
  // domain that it does not have is an error; not all of its classes need images. Used during the
  // call only.
  const ImageSource* classes_of = nullptr;
  // Of a list: labels are names. The classes are those that have images, in the order of their
  // labels; each is called by its label.
  bool labels_are_names = false;
};

// Names are read by these calls, images only by Read(). Errors: NotFound (no such folder or list,
// or no images in it), DataLoss (a wrong line or label, with its number; an unknown class). Errors
// of Read(): NotFound, DataLoss, ResourceExhausted, each with the path.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFolder(FileSystem* fs,
                                                             const std::string& path,
                                                             const FileSourceOptions& options);
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageList(FileSystem* fs, const std::string& path,
                                                           const FileSourceOptions& options);
// Images without labels (label 0): one image file, or all below a folder at any depth in byte order
// of their paths, or a list whose lines may consist of a path only. Links to folders are followed,
// but not to one that they lie in.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFiles(FileSystem* fs, const std::string& path,
                                                            const FileSourceOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_FILE_SOURCE_H_
