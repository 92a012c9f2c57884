// SourceType: one value of "data.type", that is, one kind of image source that a config can ask
// for. Everything that differs between types is in an entry of this kind; data/source_types.cc
// lists them all. To add one, write its file, as small as data/synthetic_type.cc, and list it:
//
//   struct TarConfig {
//     std::string index;
//     void Fields(ConfigVisitor& v) {
//       v.Text("index", &index, {.help = "the list of files", .is_path = true});
//     }
//   };
//
//   const SourceType& TarType() {
//     static const SourceType type = {
//         .name = "tar",
//         .help = "image files in tar archives",
//         .reads_paths = true,
//         .check_split = CheckSplitPath,
//         .fields =
//             [](SourceSettings& settings, ConfigVisitor& v) {
//               v.Object("tar", &settings.options.Mutable<TarConfig>(), "tar: how it is read");
//             },
//         .open = OpenTar,
//     };
//     return type;
//   }
//
// The function OpenTar gets a SourceRequest and finds its keys in
// request.settings.options.Get<TarConfig>().
#ifndef PROTOPAGE_DATA_SOURCE_TYPE_H_
#define PROTOPAGE_DATA_SOURCE_TYPE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/config_fields.h"
#include "protopage/data/augment.h"
#include "protopage/data/image_source.h"
#include "protopage/data/progress_function.h"
#include "protopage/data/source_options.h"
#include "protopage/data/split.h"

namespace protopage {

// Where each split lies, for types that read files; "" when there is none.
struct SplitPaths {
  std::string source_train;
  std::string source_test;
  std::string target_train;
  std::string target_test;
  std::string unseen;

  // The path of a split; that of the training split for a validation split.
  const std::string& Of(Split split) const;
  void Fields(ConfigVisitor& v);
};

// The values of the "data" object of a config: data/source_config.h.
struct SourceSettings {
  std::string type = "glyphs";
  // Side in pixels that all images are scaled to.
  int64_t image_size = 32;
  // 1 grey, 3 RGB, 0 the type's own.
  int64_t channels = 0;
  SplitPaths paths;
  // A share of each class's training images, chosen by a seeded hash, that *_train leaves out and
  // *_validation holds: 0.1 keeps 5,000 of CIFAR's 50,000 aside.
  double validation_share = 0;
  int64_t split_seed = 1;
  // A compressed image of more pixels is an error, found before memory is allocated for it.
  int64_t max_image_pixels = 100'000'000;
  // Whether each image file is looked at before a run begins.
  bool check_images = true;
  // Each type's own.
  SourceOptions options;
  AugmentConfig augment;
};

struct OpenOptions {
  int threads = 0;            // For rendering; 0 means one per processor.
  ProgressFunction progress;  // Of making a source.
  // Told once, a line each, what a split leaves out: files that are no images, classes without one.
  std::function<void(const std::string& line)> note;
};

struct SourceRequest {
  const SourceSettings& settings;
  // Never a validation split: those are cut out of training splits.
  Split split;
  // The training split of the same role, for a test split of a type with `labels_from_training`;
  // null otherwise. Valid during the call only.
  const ImageSource* training = nullptr;
  const OpenOptions& options;
};

// Mirroring, and crops that are shifted by up to 1/8 of the side.
AugmentConfig PhotoAugmentation(const SourceSettings& settings);

struct SourceType {
  const char* name;  // The value of data.type.
  const char* help;  // A few words, shown as "NAME: HELP".
  // Of the images that the net sees, unless data.channels says otherwise.
  int channels = 3;
  // Whether the type reads data.paths and data.max_image_pixels.
  bool reads_paths = false;
  // Whether the names or numbers of classes are known from training images only, so that a test
  // split is opened after its training split.
  bool labels_from_training = false;
  // OK when the config has the split, which is never a validation split that validation_share
  // rules out. Otherwise InvalidArgument that names the key to set.
  absl::Status (*check_split)(const SourceSettings& settings, Split split);
  // Visits the type's own keys; null when it has none.
  void (*fields)(SourceSettings& settings, ConfigVisitor& v) = nullptr;
  // The training augmentation for the fields of data.augment that are -1.
  AugmentConfig (*augmentation)(const SourceSettings& settings) = PhotoAugmentation;
  // Errors: InvalidArgument (the key is named), NotFound (file or folder missing), DataLoss
  // (truncated or foreign file).
  absl::StatusOr<std::unique_ptr<ImageSource>> (*open)(const SourceRequest& request);
};

// InvalidArgument: "split unseen needs data.paths.unseen".
absl::Status MissingSplit(Split split, absl::string_view need);

// A `check_split` for types that read data.paths: the path of the split must be set.
absl::Status CheckSplitPath(const SourceSettings& settings, Split split);

// How many classes each role has, for types whose config gives these numbers.
struct RoleClassCounts {
  int64_t source;
  int64_t target;
  int64_t unseen;

  int64_t Of(Split split) const;
};
// A `check_split` for these: the number must be above 0. Errors name
// data.TYPE.{source,target,unseen}_classes.
absl::Status CheckClassCount(absl::string_view type, const RoleClassCounts& counts, Split split);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SOURCE_TYPE_H_
