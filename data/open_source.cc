#include "protopage/data/open_source.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/file_source.h"
#include "protopage/data/file_types.h"
#include "protopage/data/source_types.h"
#include "protopage/data/subset_source.h"

namespace protopage {
namespace {

// OK when the config has the split.
absl::Status CheckSplit(const DataConfig& config, Split split) {
  PROTOPAGE_ASSIGN_OR_RETURN(const SourceType* const type, FindSourceType(config.type));
  if (IsValidation(split) && config.validation_share <= 0) {
    return MissingSplit(split, "data.validation_share above 0");
  }
  return type->check_split(config, split);
}

// "8 of 10 classes have no image, the first of them pear"; "" when all have one.
std::string ClassesWithoutImages(const ImageSource& source) {
  if (source.records_per_class() > 0) return "";
  std::vector<bool> has_image(source.num_classes());
  for (int64_t record = 0; record < source.size(); ++record) {
    has_image[source.Label(record)] = true;
  }
  const auto first = std::find(has_image.begin(), has_image.end(), false);
  if (first == has_image.end()) return "";
  const int64_t count = std::count(has_image.begin(), has_image.end(), false);
  return absl::StrCat(count, " of ", source.num_classes(), " classes ", count == 1 ? "has" : "have",
                      " no image, the first of them ", source.ClassName(first - has_image.begin()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ImageSource>> OpenSource(const DataConfig& config, Split split,
                                                              const OpenOptions& options) {
  return SplitSources(config, options).Open(split);
}

absl::StatusOr<std::shared_ptr<const ImageSource>> SplitSources::Open(Split split) {
  if (const auto found = splits_.find(split); found != splits_.end()) return found->second;
  PROTOPAGE_RETURN_IF_ERROR(CheckSplit(config_, split));
  const bool holds_out = config_.validation_share > 0 && (IsTraining(split) || IsValidation(split));
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageSource> source,
                             Whole(holds_out ? TrainingSplitOf(split) : split));
  if (holds_out) {
    if (source->size() > std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data.validation_share: found ", config_.validation_share, " with ", source->size(),
          " images, expected 0 for more than ", std::numeric_limits<uint32_t>::max()));
    }
    std::vector<uint32_t> records =
        ChooseHeldOut(*source, config_.validation_share, static_cast<uint64_t>(config_.split_seed));
    if (IsTraining(split)) records = Complement(source->size(), records);
    source = MakeSubset(std::move(source), std::move(records),
                        IsTraining(split) ? "without those held out" : "held out");
  }
  if (options_.note != nullptr) {
    const std::string without = ClassesWithoutImages(*source);
    if (!without.empty()) options_.note(absl::StrCat("split ", SplitName(split), ": ", without));
  }
  splits_[split] = source;
  return source;
}

void SplitSources::KeepOnly(absl::Span<const Split> splits) {
  for (auto it = splits_.begin(); it != splits_.end();) {
    const bool keep = std::find(splits.begin(), splits.end(), it->first) != splits.end();
    it = keep ? std::next(it) : splits_.erase(it);
  }
}

absl::StatusOr<std::shared_ptr<const ImageSource>> SplitSources::Whole(Split split) {
  if (std::shared_ptr<const ImageSource> open = wholes_[split].lock()) return open;
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageSource> whole, Unmapped(split));
  const std::string left_out = whole->LeftOut();
  if (options_.note != nullptr && !left_out.empty()) options_.note(left_out);
  if (class_mapper_) {
    PROTOPAGE_ASSIGN_OR_RETURN(whole, class_mapper_(split, std::move(whole)));
  }
  wholes_[split] = whole;
  return whole;
}

absl::StatusOr<std::shared_ptr<const ImageSource>> SplitSources::Unmapped(Split split) {
  if (std::shared_ptr<const ImageSource> open = unmapped_[split].lock()) return open;
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageSource> unmapped, OpenUnmapped(split));
  unmapped_[split] = unmapped;
  return unmapped;
}

absl::StatusOr<std::unique_ptr<ImageSource>> SplitSources::OpenUnmapped(Split split) {
  PROTOPAGE_ASSIGN_OR_RETURN(const SourceType* const type, FindSourceType(config_.type));
  const Split training_split = TrainingSplitOf(split);
  if (!type->labels_from_training || split == training_split) {
    return type->open({config_, split, nullptr, options_});
  }
  PROTOPAGE_RETURN_IF_ERROR(
      WithContext(type->check_split(config_, training_split),
                  absl::StrCat("split ", SplitName(split), " has the class numbers of ",
                               SplitName(training_split))));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<const ImageSource> training,
                             Unmapped(training_split));
  return type->open({config_, split, training.get(), options_});
}

bool HasSplit(const DataConfig& config, Split split) { return CheckSplit(config, split).ok(); }

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImages(const std::string& path,
                                                        const DataConfig& config) {
  return OpenImageFiles(DefaultFileSystem(), path, FileOptionsOf(config));
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenClasses(const std::string& path,
                                                         const DataConfig& config) {
  FileSystem* fs = DefaultFileSystem();
  FileSourceOptions options = FileOptionsOf(config);
  options.labels_are_names = true;
  return fs->IsDirectory(path) ? OpenImageFolder(fs, path, options)
                               : OpenImageList(fs, path, options);
}

int ChannelsFor(const DataConfig& config) {
  if (config.channels == 1) return 1;
  const absl::StatusOr<const SourceType*> type = FindSourceType(config.type);
  // An unknown type is an error of OpenSource.
  return config.channels == 0 && type.ok() ? (*type)->channels : 3;
}

AugmentConfig AugmentFor(const DataConfig& config) {
  const absl::StatusOr<const SourceType*> type = FindSourceType(config.type);
  const AugmentConfig defaults =
      type.ok() ? (*type)->augmentation(config) : PhotoAugmentation(config);
  AugmentConfig augment = config.augment;
  const auto fill = [](auto& value, auto fallback) {
    if (value < 0) value = fallback;
  };
  fill(augment.flip, defaults.flip);
  fill(augment.pad_crop, defaults.pad_crop);
  fill(augment.rotate, defaults.rotate);
  fill(augment.scale, defaults.scale);
  fill(augment.shear, defaults.shear);
  fill(augment.shift, defaults.shift);
  fill(augment.brightness, defaults.brightness);
  fill(augment.contrast, defaults.contrast);
  fill(augment.noise, defaults.noise);
  return augment;
}

}  // namespace protopage
