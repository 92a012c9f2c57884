#include "protopage/data/synthetic_type.h"

#include "absl/strings/str_cat.h"
#include "protopage/data/synthetic_source.h"

namespace protopage {
namespace {

RoleClassCounts CountsOf(const SyntheticConfig& config) {
  return {config.source_classes, config.target_classes, config.unseen_classes};
}

absl::Status CheckSplit(const SourceSettings& settings, Split split) {
  return CheckClassCount("synthetic", CountsOf(settings.options.Get<SyntheticConfig>()), split);
}

absl::StatusOr<std::unique_ptr<ImageSource>> Open(const SourceRequest& request) {
  const SyntheticConfig& config = request.settings.options.Get<SyntheticConfig>();
  const Split split = request.split;
  SyntheticOptions options;
  // Each role has classes of its own; a test split begins where the images of the training split
  // end.
  const uint64_t role = split == Split::kUnseen ? 2 : IsSource(split) ? 0 : 1;
  options.seed = static_cast<uint64_t>(config.seed) * 3 + role;
  options.name = absl::StrCat("synthetic ", SplitName(split));
  options.num_classes = CountsOf(config).Of(split);
  options.images_per_class = IsTraining(split) ? config.train_images : config.test_images;
  options.first_image = IsTraining(split) ? 0 : config.train_images;
  options.image_size = static_cast<int>(request.settings.image_size);
  options.noise = config.noise;
  return MakeSyntheticSource(options);
}

}  // namespace

void SyntheticConfig::Fields(ConfigVisitor& v) {
  constexpr double kMaxClasses = 2e9;
  v.Integer("seed", &seed, {.help = "seed of the images", .min = 0});
  v.Integer("source_classes", &source_classes,
            {.help = "classes of source_*", .min = 0, .max = kMaxClasses});
  v.Integer("target_classes", &target_classes,
            {.help = "classes of target_*", .min = 0, .max = kMaxClasses});
  v.Integer("unseen_classes", &unseen_classes,
            {.help = "classes of unseen", .min = 0, .max = kMaxClasses});
  v.Integer("train_images", &train_images,
            {.help = "images per class of *_train", .min = 1, .max = 1000000});
  v.Integer("test_images", &test_images,
            {.help = "images per class of *_test and unseen", .min = 1, .max = 1000000});
  v.Number("noise", &noise,
           {.help = "standard deviation of a pixel's noise; pixels are from 0 to 1",
            .min = 0,
            .max = 1});
}

const SourceType& SyntheticType() {
  static const SourceType type = {
      .name = "synthetic",
      .help = "computed patterns, of any number of classes",
      .check_split = CheckSplit,
      .fields =
          [](SourceSettings& settings, ConfigVisitor& v) {
            v.Object("synthetic", &settings.options.Mutable<SyntheticConfig>(),
                     "synthetic: classes and images");
          },
      .open = Open,
  };
  return type;
}

}  // namespace protopage
