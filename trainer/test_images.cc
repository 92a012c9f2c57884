#include "trainer/test_images.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status_macros.h"

namespace protopage {
namespace {

constexpr int kPlane = 32 * 32;

// Three planes: a colour of the class, stripes of a direction of the class, and noise of the image.
void AppendImage(int label, uint64_t image, std::string* out) {
  RandomStream random(1, RandomPurpose::kTest, image, static_cast<uint32_t>(label));
  const int color[3] = {label * 53 % 256, label * 101 % 256, label * 193 % 256};
  for (int channel = 0; channel < 3; ++channel) {
    for (int p = 0; p < kPlane; ++p) {
      const int along = (label % 2 == 0 ? p % 32 : p / 32) / (1 + label % 5);
      const int value = color[channel] / 2 + (along % 2) * 60 + static_cast<int>(random.Below(40));
      out->push_back(static_cast<char>(std::min(value, 255)));
    }
  }
}

// One file: for each of `images` and each class a record with the class as its last label byte.
absl::Status WriteBin(const std::string& path, int num_classes, int label_bytes,
                      int64_t first_image, int64_t images) {
  std::string content;
  for (int64_t image = first_image; image < first_image + images; ++image) {
    for (int label = 0; label < num_classes; ++label) {
      content.append(label_bytes - 1, '\0');
      content.push_back(static_cast<char>(label));
      AppendImage(label, image, &content);
    }
  }
  return WriteFileAtomically(DefaultFileSystem(), path, content);
}

}  // namespace

absl::Status WriteTinyCifar(const std::string& directory, int64_t images_per_class) {
  const std::string ten = JoinPath(directory, "cifar-10-batches-bin");
  const std::string hundred = JoinPath(directory, "cifar-100-binary");
  RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(ten));
  RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(hundred));
  for (int batch = 1; batch <= 5; ++batch) {
    RETURN_IF_ERROR(WriteBin(JoinPath(ten, absl::StrCat("data_batch_", batch, ".bin")), 10, 1,
                             batch * images_per_class, images_per_class));
  }
  RETURN_IF_ERROR(WriteBin(JoinPath(ten, "test_batch.bin"), 10, 1, 0, 1));
  RETURN_IF_ERROR(WriteBin(JoinPath(hundred, "train.bin"), 100, 2, 1, images_per_class));
  return WriteBin(JoinPath(hundred, "test.bin"), 100, 2, 0, 1);
}

}  // namespace protopage
