#include "protopage/trainer/testing/test_images.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/image.h"

namespace protopage {
namespace {

// A colour of the class, stripes of a direction of the class, and noise of the image. Three
// planes of side x side.
std::string ImagePlanes(int label, uint64_t image, int side) {
  RandomStream random(1, RandomPurpose::kTest, image, static_cast<uint32_t>(label));
  const int color[3] = {label * 53 % 256, label * 101 % 256, label * 193 % 256};
  std::string planes;
  for (int channel = 0; channel < 3; ++channel) {
    for (int p = 0; p < side * side; ++p) {
      const int along = (label % 2 == 0 ? p % side : p / side) / (1 + label % 5);
      const int value = color[channel] / 2 + (along % 2) * 60 + static_cast<int>(random.Below(40));
      planes.push_back(static_cast<char>(std::min(value, 255)));
    }
  }
  return planes;
}

// Without the sync of WriteFileAtomically: many small files.
absl::Status WriteSmallFile(const std::string& path, absl::string_view content) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                             DefaultFileSystem()->Open(path, OpenMode::kCreate));
  return file->WriteAt(0, content.data(), static_cast<int64_t>(content.size()));
}

absl::Status WritePng(const std::string& path, int label, uint64_t image, int side) {
  const std::string planes = ImagePlanes(label, image, side);
  Image pixels;
  pixels.Reset(side, side, 3);
  for (int p = 0; p < side * side; ++p) {
    for (int c = 0; c < 3; ++c) {
      pixels.pixels[3 * p + c] = static_cast<uint8_t>(planes[c * side * side + p]);
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string png, EncodePng(pixels));
  return WriteSmallFile(path, png);
}

// One file: for each of `images` and each class a record with the class as its last label byte.
absl::Status WriteBin(const std::string& path, int num_classes, int label_bytes,
                      int64_t first_image, int64_t images) {
  std::string content;
  for (int64_t image = first_image; image < first_image + images; ++image) {
    for (int label = 0; label < num_classes; ++label) {
      content.append(label_bytes - 1, '\0');
      content.push_back(static_cast<char>(label));
      content += ImagePlanes(label, image, 32);
    }
  }
  return WriteSmallFile(path, content);
}

}  // namespace

absl::Status WriteTinyCifar(const std::string& directory, int64_t images_per_class) {
  const std::string ten = JoinPath(directory, "cifar-10-batches-bin");
  const std::string hundred = JoinPath(directory, "cifar-100-binary");
  PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(ten));
  PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(hundred));
  for (int batch = 1; batch <= 5; ++batch) {
    PROTOPAGE_RETURN_IF_ERROR(WriteBin(JoinPath(ten, absl::StrCat("data_batch_", batch, ".bin")),
                                       10, 1, batch * images_per_class, images_per_class));
  }
  PROTOPAGE_RETURN_IF_ERROR(WriteBin(JoinPath(ten, "test_batch.bin"), 10, 1, 0, 1));
  PROTOPAGE_RETURN_IF_ERROR(WriteBin(JoinPath(hundred, "train.bin"), 100, 2, 1, images_per_class));
  return WriteBin(JoinPath(hundred, "test.bin"), 100, 2, 0, 1);
}

absl::Status WriteTinyFolder(const std::string& directory, int num_classes, int64_t first_image,
                             int64_t images_per_class, int side) {
  for (int label = 0; label < num_classes; ++label) {
    const std::string folder = JoinPath(directory, absl::StrFormat("c%02d", label));
    PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(folder));
    for (int64_t image = first_image; image < first_image + images_per_class; ++image) {
      PROTOPAGE_RETURN_IF_ERROR(
          WritePng(JoinPath(folder, absl::StrCat(image, ".png")), label, image, side));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteTinyLists(const std::string& directory) {
  const struct {
    const char* name;
    int num_classes, first_class, first_image, images;
    bool has_id;  // The first image is of domain id.
  } kLists[] = {
      {"source_train", kTinySourceClasses, 40, 0, 4, true},
      {"source_test", kTinySourceClasses, 40, 10, 2, false},
      {"target_train", kTinyTargetClasses, 0, 0, 3, true},
      {"target_test", kTinyTargetClasses, 0, 10, 2, false},
      {"unseen", kTinyUnseenClasses, 80, 0, 3, true},
  };
  PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(JoinPath(directory, "images")));
  for (const auto& list : kLists) {
    std::string lines;
    for (int label = 0; label < list.num_classes; ++label) {
      for (int image = 0; image < list.images; ++image) {
        const std::string path = absl::StrCat("images/", list.name, "_", label, "_", image, ".png");
        PROTOPAGE_RETURN_IF_ERROR(WritePng(JoinPath(directory, path), list.first_class + label,
                                           list.first_image + image, kTinySide));
        absl::StrAppend(&lines, path, "\t", label, "\t", list.has_id && image == 0 ? "id" : "spot",
                        "\n");
      }
    }
    PROTOPAGE_RETURN_IF_ERROR(
        WriteSmallFile(JoinPath(directory, absl::StrCat(list.name, ".txt")), lines));
  }
  return absl::OkStatus();
}

std::string TinyListConfig(const std::string& directory) {
  std::string paths;
  for (const char* split :
       {"source_train", "source_test", "target_train", "target_test", "unseen"}) {
    absl::StrAppend(&paths, paths.empty() ? "" : ", ", "\"", split, "\": \"", directory, "/", split,
                    ".txt\"");
  }
  return absl::StrCat(R"({
  "data": {"type": "list", "image_size": )",
                      kTinySide, R"(, "paths": {)", paths, R"(}},
  "model": {"embedding_dim": 16, "dropout": 0},
  "threads": 2,
  "selection": {"classes_per_step": 6, "positive_classes": 3, "dominant_queue": 3,
                "candidate_queue": 4, "look_ahead": 1},
  "stages": [
    {"name": "source", "epochs": 1, "batch_size": 8},
    {"name": "evaluate"},
    {"name": "imprint", "domain": "id"},
    {"name": "dominant", "steps": 3, "batch_size": 8},
    {"name": "evaluate"}
  ]
}
)");
}

}  // namespace protopage
