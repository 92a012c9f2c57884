#include "protopage/data/source_config.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/data/source_types.h"

namespace protopage {
namespace {

std::vector<std::string> TypeNames() {
  std::vector<std::string> names;
  for (const SourceType* type : SourceTypes()) names.push_back(type->name);
  return names;
}

// "glyphs: rendered characters; cifar: ..."
std::string TypeHelp() {
  return absl::StrJoin(SourceTypes(), "; ", [](std::string* out, const SourceType* type) {
    absl::StrAppend(out, type->name, ": ", type->help);
  });
}

// "glyphs 1, others 3"
std::string ChannelsHelp() {
  std::string help;
  for (const SourceType* type : SourceTypes()) {
    if (type->channels != 3) absl::StrAppend(&help, type->name, " ", type->channels, ", ");
  }
  return absl::StrCat(help, "others 3");
}

// The types that read data.paths: "folder and list".
std::string TypesOfPaths() {
  std::vector<std::string> names;
  for (const SourceType* type : SourceTypes()) {
    if (type->reads_paths) names.push_back(type->name);
  }
  if (names.size() < 2) return absl::StrJoin(names, "");
  const std::string last = names.back();
  names.pop_back();
  return absl::StrCat(absl::StrJoin(names, ", "), " and ", last);
}

}  // namespace

void DataConfig::Fields(ConfigVisitor& v) {
  v.Text("type", &type, {.help = TypeHelp(), .choices = TypeNames()});
  v.Integer("image_size", &image_size,
            {.help = "side in pixels that all images are scaled to", .min = 1, .max = 4096});
  v.Integer("channels", &channels,
            {.help = absl::StrCat("1 grey, 3 RGB, 0 the type's own (", ChannelsHelp(), ")"),
             .min = 0,
             .max = 3});
  v.Object("paths", &paths, absl::StrCat(TypesOfPaths(), ": where each split lies"));
  v.Number("validation_share", &validation_share,
           {.help = "share of each class's training images held out as *_validation",
            .min = 0,
            .max = 0.9});
  v.Integer("split_seed", &split_seed, {.help = "seed of the choice of held-out images", .min = 0});
  v.Integer("max_image_pixels", &max_image_pixels,
            {.help = absl::StrCat(TypesOfPaths(), ": an image of more pixels is an error"),
             .min = 1,
             .max = 1e10});
  for (const SourceType* entry : SourceTypes()) {
    if (entry->fields != nullptr) entry->fields(*this, v);
  }
  v.Object("augment", &augment, "random changes to training images");
}

}  // namespace protopage
