// The registry of source types: data.type names one of them.
#ifndef PROTOPAGE_DATA_SOURCE_TYPES_H_
#define PROTOPAGE_DATA_SOURCE_TYPES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/source_type.h"

namespace protopage {

// In the order of help texts and configs.
const std::vector<const SourceType*>& SourceTypes();

// Errors: InvalidArgument with the names allowed.
absl::StatusOr<const SourceType*> FindSourceType(absl::string_view name);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SOURCE_TYPES_H_
