// The types "folder" and "list": data/file_source.h.
#ifndef PROTOPAGE_DATA_FILE_TYPES_H_
#define PROTOPAGE_DATA_FILE_TYPES_H_

#include "protopage/data/file_source.h"
#include "protopage/data/source_type.h"

namespace protopage {

const SourceType& FolderType();
const SourceType& ListType();

// How image files are read under these settings.
FileSourceOptions FileOptionsOf(const SourceSettings& settings);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_FILE_TYPES_H_
