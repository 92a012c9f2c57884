// Opens the images that a config's "data" object describes.
//
//   DataConfig config;  // {"type": "cifar", "data_dir": "/data/cifar"}
//   PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenSource(config, Split::kTargetTrain));
//   PROTOPAGE_ASSIGN_OR_RETURN(auto test, OpenSource(config, Split::kTargetTest));
//
// The same splits exist for every type:
//
//   split         glyphs                         cifar            folder, list
//   source_train  classes with many samples      CIFAR-10 train   paths.source_train
//   source_test   other draws of these classes   CIFAR-10 test    paths.source_test
//   target_train  one id, few spots per class    CIFAR-100 train  paths.target_train
//   target_test   held-out fonts, same classes   CIFAR-100 test   paths.target_test
//   unseen        one id, some spots of others   none             paths.unseen
//   *_validation  validation_share of *_train
//
// The type synthetic has all of these, of computed images. Glyphs have the domains "id" and "spot".
#ifndef PROTOPAGE_DATA_OPEN_SOURCE_H_
#define PROTOPAGE_DATA_OPEN_SOURCE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/data/image_source.h"
#include "protopage/data/source_config.h"
#include "protopage/data/source_type.h"
#include "protopage/data/split.h"

namespace protopage {

// Errors: InvalidArgument (the config's key is named; split not configured), NotFound (file or
// folder missing, with the names that are looked for), DataLoss (truncated or foreign file, wrong
// line of a list, a class that the training images do not have).
absl::StatusOr<std::shared_ptr<const ImageSource>> OpenSource(const DataConfig& config, Split split,
                                                              const OpenOptions& options = {});

// The splits of one config, each opened once. Files and folders that splits share are read once
// too: a training split numbers the classes of its test split, and holds the images of its
// validation split.
//
//   SplitSources sources(config, {});
//   PROTOPAGE_ASSIGN_OR_RETURN(auto train, sources.Open(Split::kTargetTrain));
//   sources.KeepOnly({Split::kTargetTest});  // Others are released with their last user.
//
// The classes of the data may have other labels here than the data number them by: a `ClassMapper`
// gives them, before anything else uses the labels.
//
// Used by one thread at a time; the sources are thread-safe.
class SplitSources {
 public:
  // Returns `source`, the images of `split` as the data hold them, or a source that wraps it.
  using ClassMapper = std::function<absl::StatusOr<std::shared_ptr<const ImageSource>>(
      Split split, std::shared_ptr<const ImageSource> source)>;

  SplitSources(const DataConfig& config, const OpenOptions& options)
      : config_(config), options_(options) {}

  // To be called before the first Open.
  void set_class_mapper(ClassMapper mapper) { class_mapper_ = std::move(mapper); }

  // Errors: as OpenSource.
  absl::StatusOr<std::shared_ptr<const ImageSource>> Open(Split split);
  void KeepOnly(absl::Span<const Split> splits);

 private:
  // The images of a split before any are held out.
  absl::StatusOr<std::shared_ptr<const ImageSource>> Whole(Split split);
  // The same with the labels of the data.
  absl::StatusOr<std::shared_ptr<const ImageSource>> Unmapped(Split split);
  absl::StatusOr<std::unique_ptr<ImageSource>> OpenUnmapped(Split split);

  const DataConfig config_;
  const OpenOptions options_;
  ClassMapper class_mapper_;
  std::map<Split, std::shared_ptr<const ImageSource>> splits_;
  std::map<Split, std::weak_ptr<const ImageSource>> wholes_;
  std::map<Split, std::weak_ptr<const ImageSource>> unmapped_;
};

// Whether the config has such a split at all: `unseen` is optional for most types.
bool HasSplit(const DataConfig& config, Split split);

// Images without labels, as `embed` reads them: an image file, a folder with images at any depth
// (sorted paths), or a list file. Label() is 0 for all; RecordName() is the path.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImages(const std::string& path,
                                                        const DataConfig& config);

// Classes by name: a folder with a folder of images for each, in the order of their names, or a
// list file, whose labels are names. All of them have images.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenClasses(const std::string& path,
                                                         const DataConfig& config);

// Channels of the images that the net sees: data.channels, or the type's own.
int ChannelsFor(const DataConfig& config);
// The training augmentation with the fields of -1 replaced by the type's defaults.
AugmentConfig AugmentFor(const DataConfig& config);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_OPEN_SOURCE_H_
