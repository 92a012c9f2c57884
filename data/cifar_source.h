// CIFAR-10 and CIFAR-100 in the official binary files.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto source, OpenCifar(fs, dir, "cifar100", /*train=*/false));
//
// The files are below the given folder. Each is a sequence of records of one or two label bytes and
// 3,072 pixel bytes (the red, green and blue planes of 32x32):
//
//   cifar10   cifar-10-batches-bin/data_batch_{1..5}.bin, test_batch.bin   1 + 3072 bytes
//   cifar100  cifar-100-binary/train.bin, test.bin                         2 + 3072 bytes:
//             coarse label (not used), then fine label
//
// The folder may also be cifar-10-batches-bin or cifar-100-binary itself.
// Format: https://www.cs.toronto.edu/~kriz/cifar.html
#ifndef PROTOPAGE_DATA_CIFAR_SOURCE_H_
#define PROTOPAGE_DATA_CIFAR_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/data/image_source.h"

namespace protopage {

// Reads all images into memory (50,000 take 154 MB). `dataset` is "cifar10" or "cifar100". Errors:
// NotFound (with the names looked for), DataLoss (a size that is not a multiple of the record, a
// label out of range: file and record are named).
absl::StatusOr<std::unique_ptr<ImageSource>> OpenCifar(FileSystem* fs, const std::string& data_dir,
                                                       const std::string& dataset, bool train);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_CIFAR_SOURCE_H_
