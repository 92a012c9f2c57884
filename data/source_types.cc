#include "protopage/data/source_types.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
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
  const SourceType* const type = FindNamed(SourceTypes(), name);
  if (type != nullptr) return type;
  return absl::InvalidArgumentError(absl::StrCat("data.type \"", name, "\": allowed are ",
                                                 absl::StrJoin(NamesOf(SourceTypes()), ", ")));
}

}  // namespace protopage
