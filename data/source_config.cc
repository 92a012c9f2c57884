#include "protopage/data/source_config.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/data/source_types.h"

namespace protopage {
namespace {

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
  return JoinWithAnd(std::move(names));
}

}  // namespace

void DataConfig::Fields(ConfigVisitor& v) {
  v.Text("type", &type, {.help = TypeHelp(), .choices = NamesOf(SourceTypes())});
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
  v.Flag("check_images", &check_images,
         {.help = absl::StrCat(TypesOfPaths(),
                               ": each image file that a stage reads is looked at before the run "
                               "begins: it exists, its header can be read, it is not cut off; "
                               "false leaves that to the step that draws it"),
          .safe_to_change = true});
  for (const SourceType* entry : SourceTypes()) {
    if (entry->fields != nullptr) entry->fields(*this, v);
  }
  v.Object("augment", &augment, "random changes to training images");
}

}  // namespace protopage
