#include "protopage/data/file_types.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

using OpenFunction = absl::StatusOr<std::unique_ptr<ImageSource>> (*)(
    FileSystem* fs, const std::string& path, const FileSourceOptions& options);

template <OpenFunction open>
absl::StatusOr<std::unique_ptr<ImageSource>> Open(const SourceRequest& request) {
  FileSourceOptions options = FileOptionsOf(request.settings);
  options.classes_of = request.training;
  auto source = open(DefaultFileSystem(), request.settings.paths.Of(request.split), options);
  if (!source.ok()) {
    return WithContext(source.status(), absl::StrCat("data.paths.", SplitName(request.split)));
  }
  return source;
}

}  // namespace

FileSourceOptions FileOptionsOf(const SourceSettings& settings) {
  FileSourceOptions options;
  options.decode.max_pixels = settings.max_image_pixels;
  return options;
}

const SourceType& FolderType() {
  static const SourceType type = {
      .name = "folder",
      .help = "one folder per class",
      .reads_paths = true,
      .labels_from_training = true,
      .check_split = CheckSplitPath,
      .open = Open<OpenImageFolder>,
  };
  return type;
}

const SourceType& ListType() {
  static const SourceType type = {
      .name = "list",
      .help = "files of path<TAB>label[<TAB>domain] lines",
      .reads_paths = true,
      .labels_from_training = true,
      .check_split = CheckSplitPath,
      .open = Open<OpenImageList>,
  };
  return type;
}

}  // namespace protopage
