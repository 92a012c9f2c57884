#include "protopage/data/open_source.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/cifar_source.h"
#include "protopage/data/file_source.h"
#include "protopage/data/glyphs/glyph_source.h"
#include "protopage/data/subset_source.h"
#include "protopage/data/synthetic_source.h"

namespace protopage {
namespace {

constexpr struct {
  Split split;
  const char* name;
} kSplits[] = {
    {Split::kSourceTrain, "source_train"},
    {Split::kSourceValidation, "source_validation"},
    {Split::kSourceTest, "source_test"},
    {Split::kTargetTrain, "target_train"},
    {Split::kTargetValidation, "target_validation"},
    {Split::kTargetTest, "target_test"},
    {Split::kUnseen, "unseen"},
};

bool IsSource(Split split) {
  return split == Split::kSourceTrain || split == Split::kSourceValidation ||
         split == Split::kSourceTest;
}
bool IsValidation(Split split) {
  return split == Split::kSourceValidation || split == Split::kTargetValidation;
}
bool IsTrain(Split split) { return split == Split::kSourceTrain || split == Split::kTargetTrain; }

// The split whose images hold those of `split`, and whose classes are its classes.
Split TrainingOf(Split split) {
  if (split == Split::kUnseen) return split;
  return IsSource(split) ? Split::kSourceTrain : Split::kTargetTrain;
}

const std::string& PathOf(const DataConfig& config, Split split) {
  switch (split) {
    case Split::kSourceTrain:
    case Split::kSourceValidation:
      return config.paths.source_train;
    case Split::kSourceTest:
      return config.paths.source_test;
    case Split::kTargetTrain:
    case Split::kTargetValidation:
      return config.paths.target_train;
    case Split::kTargetTest:
      return config.paths.target_test;
    case Split::kUnseen:
      break;
  }
  return config.paths.unseen;
}

GlyphSplit GlyphSplitOf(Split split) {
  switch (split) {
    case Split::kSourceTrain:
    case Split::kSourceValidation:
      return GlyphSplit::kSourceTrain;
    case Split::kSourceTest:
      return GlyphSplit::kSourceTest;
    case Split::kTargetTrain:
    case Split::kTargetValidation:
      return GlyphSplit::kTargetTrain;
    case Split::kTargetTest:
      return GlyphSplit::kTargetTest;
    case Split::kUnseen:
      break;
  }
  return GlyphSplit::kUnseen;
}

// How many classes a split of glyphs or synthetic images has, and the key that says so.
struct ClassCount {
  std::string key;
  int64_t count;
};
ClassCount ClassesOf(const DataConfig& config, Split split) {
  const auto choose = [&](const auto& options) -> ClassCount {
    const std::string prefix = absl::StrCat("data.", config.type, ".");
    if (split == Split::kUnseen) return {prefix + "unseen_classes", options.unseen_classes};
    if (IsSource(split)) return {prefix + "source_classes", options.source_classes};
    return {prefix + "target_classes", options.target_classes};
  };
  return config.type == "glyphs" ? choose(config.glyphs) : choose(config.synthetic);
}

std::unique_ptr<ImageSource> OpenSynthetic(const DataConfig& config, Split split) {
  const SyntheticConfig& synthetic = config.synthetic;
  SyntheticOptions options;
  // Each role has classes of its own; a test split goes on where the training split's images end.
  const uint64_t role = split == Split::kUnseen ? 2 : IsSource(split) ? 0 : 1;
  options.seed = static_cast<uint64_t>(synthetic.seed) * 3 + role;
  options.name = absl::StrCat("synthetic ", SplitName(split));
  options.num_classes = ClassesOf(config, split).count;
  const bool training = split == TrainingOf(split) && split != Split::kUnseen;
  options.images_per_class = training ? synthetic.train_images : synthetic.test_images;
  options.first_image = training ? 0 : synthetic.train_images;
  options.image_size = static_cast<int>(config.image_size);
  options.noise = synthetic.noise;
  return MakeSyntheticSource(options);
}

FileSourceOptions FileOptions(const DataConfig& config) {
  FileSourceOptions options;
  options.decode.max_pixels = config.max_image_pixels;
  return options;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenPath(const DataConfig& config, Split split,
                                                      const ImageSource* classes_of) {
  FileSourceOptions options = FileOptions(config);
  options.classes_of = classes_of;
  const std::string& path = PathOf(config, split);
  FileSystem* fs = DefaultFileSystem();
  auto source = config.type == "folder" ? OpenImageFolder(fs, path, options)
                                        : OpenImageList(fs, path, options);
  if (!source.ok()) {
    return WithContext(source.status(), absl::StrCat("data.paths.", SplitName(split)));
  }
  return source;
}

}  // namespace

const char* SplitName(Split split) {
  for (const auto& entry : kSplits) {
    if (entry.split == split) return entry.name;
  }
  return "?";
}

absl::StatusOr<Split> ParseSplit(absl::string_view name) {
  std::vector<std::string> names;
  for (const auto& entry : kSplits) {
    if (name == entry.name) return entry.split;
    names.push_back(entry.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("split \"", name, "\": allowed are ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<Split> ParseSplitOr(absl::string_view name, Split fallback) {
  if (name.empty()) return fallback;
  return ParseSplit(name);
}

absl::StatusOr<std::shared_ptr<const ImageSource>> OpenSource(const DataConfig& config, Split split,
                                                              const OpenOptions& options) {
  return SplitSources(config, options).Open(split);
}

absl::StatusOr<std::shared_ptr<const ImageSource>> SplitSources::Open(Split split) {
  if (const auto found = splits_.find(split); found != splits_.end()) return found->second;
  if (!HasSplit(config_, split)) {
    if (IsValidation(split) && config_.validation_share == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("split ", SplitName(split), " needs data.validation_share above 0"));
    }
    if (config_.type == "cifar") {
      return absl::InvalidArgumentError("data.type cifar has no unseen classes");
    }
    const std::string need =
        config_.type == "glyphs" || config_.type == "synthetic"
            ? absl::StrCat(ClassesOf(config_, split).key, " above 0")
            : absl::StrCat("data.paths.",
                           SplitName(IsValidation(split) ? TrainingOf(split) : split));
    return absl::InvalidArgumentError(absl::StrCat("split ", SplitName(split), " needs ", need));
  }
  const bool holds_out = config_.validation_share > 0 && (IsTrain(split) || IsValidation(split));
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageSource> source,
                             Whole(holds_out ? TrainingOf(split) : split));
  if (holds_out) {
    std::vector<uint32_t> records =
        ChooseHeldOut(*source, config_.validation_share, static_cast<uint64_t>(config_.split_seed));
    if (IsTrain(split)) records = Complement(source->size(), records);
    source = MakeSubset(std::move(source), std::move(records),
                        IsTrain(split) ? "without those held out" : "held out");
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
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageSource> whole, OpenWhole(split));
  wholes_[split] = whole;
  return whole;
}

absl::StatusOr<std::unique_ptr<ImageSource>> SplitSources::OpenWhole(Split split) {
  if (config_.type == "cifar") {
    if (config_.data_dir.empty()) {
      return absl::InvalidArgumentError(
          "data.data_dir is not set: the folder with cifar-10-batches-bin and "
          "cifar-100-binary");
    }
    return OpenCifar(DefaultFileSystem(), config_.data_dir,
                     IsSource(split) ? config_.source_dataset : config_.target_dataset,
                     split == TrainingOf(split));
  }
  if (config_.type == "folder" || config_.type == "list") {
    const Split training = TrainingOf(split);
    if (split == training) return OpenPath(config_, split, nullptr);
    if (PathOf(config_, training).empty()) {
      return absl::InvalidArgumentError(absl::StrCat("data.paths.", SplitName(split),
                                                     " needs data.paths.", SplitName(training),
                                                     " beside it, which numbers the classes"));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<const ImageSource> classes, Whole(training));
    return OpenPath(config_, split, classes.get());
  }
  if (config_.type == "glyphs") {
    GlyphOptions glyph_options;
    glyph_options.threads = options_.threads;
    glyph_options.progress = options_.progress;
    return OpenGlyphs(config_.glyphs, static_cast<int>(config_.image_size), GlyphSplitOf(split),
                      glyph_options);
  }
  if (config_.type == "synthetic") return OpenSynthetic(config_, split);
  return absl::InvalidArgumentError(absl::StrCat(
      "data.type \"", config_.type, "\": allowed are glyphs, cifar, folder, list and synthetic"));
}

bool HasSplit(const DataConfig& config, Split split) {
  if (IsValidation(split) && config.validation_share <= 0) return false;
  if (config.type == "cifar") return split != Split::kUnseen;
  if (config.type == "folder" || config.type == "list") return !PathOf(config, split).empty();
  return ClassesOf(config, split).count > 0;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImages(const std::string& path,
                                                        const DataConfig& config) {
  return OpenImageFiles(DefaultFileSystem(), path, FileOptions(config));
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenClasses(const std::string& path,
                                                         const DataConfig& config) {
  FileSystem* fs = DefaultFileSystem();
  return fs->IsDirectory(path) ? OpenImageFolder(fs, path, FileOptions(config))
                               : OpenImageList(fs, path, FileOptions(config));
}

int ChannelsFor(const DataConfig& config) {
  if (config.channels == 1) return 1;
  return config.channels == 0 && config.type == "glyphs" ? 1 : 3;
}

AugmentConfig AugmentFor(const DataConfig& config) {
  AugmentConfig defaults = AugmentConfig::None();
  if (config.type == "glyphs") {
    defaults.rotate = 5;
    defaults.scale = 0.1;
    defaults.shear = 0.1;
    defaults.shift = 0.06;
    defaults.brightness = 0.1;
    defaults.contrast = 0.2;
    defaults.noise = 0.05;
  } else {
    defaults.flip = 0.5;
    defaults.pad_crop = config.image_size / 8;
  }
  AugmentConfig augment = config.augment;
  auto fill = [](auto& value, auto fallback) {
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
