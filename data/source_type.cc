#include "protopage/data/source_type.h"

#include "absl/strings/str_cat.h"

namespace protopage {

const std::string& SplitPaths::Of(Split split) const {
  switch (split) {
    case Split::kSourceTrain:
    case Split::kSourceValidation:
      return source_train;
    case Split::kSourceTest:
      return source_test;
    case Split::kTargetTrain:
    case Split::kTargetValidation:
      return target_train;
    case Split::kTargetTest:
      return target_test;
    case Split::kUnseen:
      break;
  }
  return unseen;
}

void SplitPaths::Fields(ConfigVisitor& v) {
  v.Text("source_train", &source_train,
         {.help = "training images of the source classes", .is_path = true});
  v.Text("source_test", &source_test,
         {.help = "evaluation images of the source classes", .is_path = true});
  v.Text("target_train", &target_train,
         {.help = "training images of the target classes", .is_path = true});
  v.Text("target_test", &target_test,
         {.help = "evaluation images of the target classes", .is_path = true});
  v.Text("unseen", &unseen, {.help = "evaluation images of other classes", .is_path = true});
}

AugmentConfig PhotoAugmentation(const SourceSettings& settings) {
  AugmentConfig augment = AugmentConfig::None();
  augment.flip = 0.5;
  augment.pad_crop = settings.image_size / 8;
  return augment;
}

absl::Status MissingSplit(Split split, absl::string_view need) {
  return absl::InvalidArgumentError(absl::StrCat("split ", SplitName(split), " needs ", need));
}

absl::Status CheckSplitPath(const SourceSettings& settings, Split split) {
  if (!settings.paths.Of(split).empty()) return absl::OkStatus();
  const Split key = IsValidation(split) ? TrainingSplitOf(split) : split;
  return MissingSplit(split, absl::StrCat("data.paths.", SplitName(key)));
}

int64_t RoleClassCounts::Of(Split split) const {
  if (split == Split::kUnseen) return unseen;
  return IsSource(split) ? source : target;
}

absl::Status CheckClassCount(absl::string_view type, const RoleClassCounts& counts, Split split) {
  if (counts.Of(split) > 0) return absl::OkStatus();
  const char* const role = split == Split::kUnseen ? "unseen"
                           : IsSource(split)       ? "source"
                                                   : "target";
  return MissingSplit(split, absl::StrCat("data.", type, ".", role, "_classes above 0"));
}

}  // namespace protopage
