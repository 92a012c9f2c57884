#include "protopage/data/source_types.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/data/cifar_type.h"
#include "protopage/data/file_types.h"
#include "protopage/data/glyphs/glyph_type.h"
#include "protopage/data/synthetic_type.h"

namespace protopage {

const std::vector<const SourceType*>& SourceTypes() {
  static const auto* const types = new std::vector<const SourceType*>{
      &GlyphType(), &CifarType(), &FolderType(), &ListType(), &SyntheticType(),
  };
  return *types;
}

absl::StatusOr<const SourceType*> FindSourceType(absl::string_view name) {
  std::vector<std::string> names;
  for (const SourceType* type : SourceTypes()) {
    if (name == type->name) return type;
    names.push_back(type->name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data.type \"", name, "\": allowed are ", absl::StrJoin(names, ", ")));
}

}  // namespace protopage
