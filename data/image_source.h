// ImageSource: a fixed set of records (image of any size, label, domain).
//
//   Image image;
//   for (int64_t record = 0; record < source->size(); ++record) {
//     PROTOPAGE_RETURN_IF_ERROR(source->Read(record, &image));
//     Use(image, source->Label(record), source->Domain(record));
//   }
//
// The images never change: random augmentation belongs to the Loader.
#ifndef PROTOPAGE_DATA_IMAGE_SOURCE_H_
#define PROTOPAGE_DATA_IMAGE_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/types.h"
#include "protopage/data/image.h"

namespace protopage {

// Thread-safe: all methods are const and may be called concurrently.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // Records are numbered [0, size()).
  virtual int64_t size() const = 0;
  // Labels are in [0, num_classes()). A class may have no record, for example in a test split.
  virtual int64_t num_classes() const = 0;
  virtual ClassId Label(int64_t record) const = 0;
  // n > 0 when each class c has the records [c * n, (c + 1) * n): then no table of the records of
  // each class is needed. 0 otherwise.
  virtual int64_t records_per_class() const { return 0; }
  // An index into domain_names(): the origin of the image, such as "id" or "spot". A source without
  // domains has one, named "image".
  virtual int Domain(int64_t record) const = 0;
  virtual const std::vector<std::string>& domain_names() const = 0;
  // The name of the class for people: "apple", "U+4E00"; the label in decimal when it has none.
  virtual std::string ClassName(ClassId label) const = 0;
  // Whether the name of each class is its label in decimal: then no table of names is needed.
  virtual bool numbered_classes() const { return false; }
  // The name of the record for people and error messages: a path, or "train.bin[17]".
  virtual std::string RecordName(int64_t record) const = 0;
  // Decodes the image. Errors name the file: NotFound, DataLoss (damaged), ResourceExhausted
  // (larger than the limit of the source). On error `image` is unspecified.
  virtual absl::Status Read(int64_t record, Image* image) const = 0;
  // Whether each record is a file of its own, so that Check can find what is wrong with it.
  virtual bool has_files() const { return false; }
  // Looks at the record's file without decoding it: it exists, its header can be read, it is not
  // larger than the limit, and it is not cut off. Errors: as Read.
  virtual absl::Status Check(int64_t /*record*/) const { return absl::OkStatus(); }
  // One line: "CIFAR-100 train: 50000 images of 100 classes".
  virtual std::string Description() const = 0;
  // What there was and is left out, in one line that names the first of each kind: "train: left out
  // 2 other files (first a/notes.txt)"; "" when nothing was.
  virtual std::string LeftOut() const { return ""; }
};

// The index of `name` in the source's domain_names(), or -1.
int FindDomain(const ImageSource& source, const std::string& name);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_IMAGE_SOURCE_H_
