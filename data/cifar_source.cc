#include "protopage/data/cifar_source.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr int kSide = 32;
constexpr int kPlane = kSide * kSide;
constexpr int kPixelBytes = 3 * kPlane;

struct Layout {
  const char* title;
  const char* folder;
  std::vector<std::string> files;
  const char* names_file;
  int label_bytes;  // The last one is the label.
  int num_classes;
};

Layout LayoutOf(bool hundred, bool train) {
  if (hundred) {
    return {"CIFAR-100",
            "cifar-100-binary",
            {train ? "train.bin" : "test.bin"},
            "fine_label_names.txt",
            2,
            100};
  }
  Layout layout = {"CIFAR-10", "cifar-10-batches-bin", {"test_batch.bin"}, "batches.meta.txt", 1,
                   10};
  if (train) {
    layout.files.clear();
    for (int i = 1; i <= 5; ++i) layout.files.push_back(absl::StrCat("data_batch_", i, ".bin"));
  }
  return layout;
}

class CifarSource : public ImageSource {
 public:
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t num_classes() const override { return num_classes_; }
  ClassId Label(int64_t record) const override { return labels_[record]; }
  int Domain(int64_t) const override { return 0; }
  const std::vector<std::string>& domain_names() const override { return domains_; }
  std::string ClassName(ClassId label) const override {
    return label < static_cast<ClassId>(names_.size()) ? names_[label] : absl::StrCat(label);
  }
  bool numbered_classes() const override { return names_.empty(); }
  std::string RecordName(int64_t record) const override {
    size_t file = 0;
    while (file + 1 < first_.size() && first_[file + 1] <= record) ++file;
    return absl::StrCat(files_[file], "[", record - first_[file], "]");
  }
  absl::Status Read(int64_t record, Image* image) const override {
    image->Reset(kSide, kSide, 3);
    std::memcpy(image->pixels.data(), &pixels_[record * kPixelBytes], kPixelBytes);
    return absl::OkStatus();
  }
  std::string Description() const override {
    return absl::StrCat(title_, ": ", size(), " images of ", num_classes_, " classes");
  }
  std::string LeftOut() const override { return left_out_; }

  absl::Status ReadFrom(FileSystem* fs, const std::string& path, const Layout& layout) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, path));
    const int64_t record_bytes = layout.label_bytes + kPixelBytes;
    const int64_t bytes = static_cast<int64_t>(content.size());
    if (bytes == 0 || bytes % record_bytes != 0) {
      return absl::DataLossError(absl::StrCat(
          path, ": ", bytes, " bytes are not a multiple of the ", record_bytes, " of a ",
          layout.title, " record; the file is truncated or of another kind"));
    }
    files_.push_back(BaseName(path));
    first_.push_back(size());
    const int64_t count = bytes / record_bytes;
    int64_t target = static_cast<int64_t>(pixels_.size());
    pixels_.resize(target + count * kPixelBytes);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* p = reinterpret_cast<const uint8_t*>(content.data()) + i * record_bytes;
      const int label = p[layout.label_bytes - 1];
      if (label >= layout.num_classes) {
        return absl::DataLossError(absl::StrCat(path, ": record ", i, " has label ", label, "; ",
                                                layout.title, " labels are 0 to ",
                                                layout.num_classes - 1));
      }
      labels_.push_back(static_cast<uint8_t>(label));
      p += layout.label_bytes;
      uint8_t* out = &pixels_[target];
      for (int k = 0; k < kPlane; ++k) {
        out[3 * k] = p[k];
        out[3 * k + 1] = p[kPlane + k];
        out[3 * k + 2] = p[2 * kPlane + k];
      }
      target += kPixelBytes;
    }
    return absl::OkStatus();
  }

  std::string title_;
  int num_classes_ = 0;
  std::vector<std::string> names_;
  std::string left_out_;
  std::vector<std::string> domains_ = {"image"};
  std::vector<std::string> files_;
  std::vector<int64_t> first_;  // The first record of each file.
  std::vector<uint8_t> labels_;
  std::vector<uint8_t> pixels_;  // [size, 32, 32, 3]
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenCifar(FileSystem* fs, const std::string& data_dir,
                                                       const std::string& dataset, bool train) {
  if (dataset != "cifar10" && dataset != "cifar100") {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset \"", dataset, "\": allowed are cifar10 and cifar100"));
  }
  const Layout layout = LayoutOf(dataset == "cifar100", train);
  std::string folder = JoinPath(data_dir, layout.folder);
  if (!fs->Exists(JoinPath(folder, layout.files[0])) &&
      fs->Exists(JoinPath(data_dir, layout.files[0]))) {
    folder = data_dir;
  }
  auto source = std::make_unique<CifarSource>();
  source->title_ = absl::StrCat(layout.title, train ? " train" : " test");
  source->num_classes_ = layout.num_classes;
  for (const std::string& file : layout.files) {
    const std::string path = JoinPath(folder, file);
    if (!fs->Exists(path)) {
      return absl::NotFoundError(
          absl::StrCat(path, " is missing: data_dir must hold ", layout.folder, "/ of the ",
                       layout.title, " binary version (", layout.files[0],
                       layout.files.size() > 1 ? absl::StrCat(" to ", layout.files.back()) : "",
                       "), as unpacked from https://www.cs.toronto.edu/~kriz/cifar.html"));
    }
    PROTOPAGE_RETURN_IF_ERROR(source->ReadFrom(fs, path, layout));
  }
  // The names are a convenience: without the file, or when it does not have a line for each class,
  // classes are called by their numbers.
  const std::string names_path = JoinPath(folder, layout.names_file);
  if (fs->Exists(names_path)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, names_path));
    std::vector<std::string> names =
        absl::StrSplit(text, absl::ByAnyChar("\r\n"), absl::SkipEmpty());
    if (static_cast<int>(names.size()) == layout.num_classes) {
      source->names_ = std::move(names);
    } else {
      source->left_out_ = absl::StrCat(names_path, ": left out, it has ", names.size(),
                                       " names for ", layout.num_classes, " classes");
    }
  }
  return source;
}

}  // namespace protopage
