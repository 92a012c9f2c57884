// Lists of images: any bytes as a list file, read in each of the ways that there are.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/fuzz/fuzz_checks.h"
#include "protopage/base/fuzz/fuzz_folder.h"
#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/data/file_source.h"

namespace protopage {
namespace {

// All that a source says without reading an image.
std::string Content(const ImageSource& source) {
  std::string content = absl::StrCat(source.Description(), source.LeftOut(), source.num_classes());
  PROTOPAGE_CHECK(source.size() > 0);
  const auto num_domains = static_cast<int>(source.domain_names().size());
  for (int64_t record = 0; record < source.size(); ++record) {
    const ClassId label = source.Label(record);
    const int domain = source.Domain(record);
    PROTOPAGE_CHECK(label >= 0 && label < source.num_classes());
    PROTOPAGE_CHECK(domain >= 0 && domain < num_domains);
    absl::StrAppend(&content, source.RecordName(record), label, source.ClassName(label),
                    source.domain_names()[domain]);
  }
  return content;
}

void TryList(FuzzInput input) {
  static FuzzFolder* const folder = new FuzzFolder("list");
  FileSystem* const fs = DefaultFileSystem();
  const bool with_labels = input.Below(4) > 0;
  FileSourceOptions options;
  options.labels_are_names = input.Below(2) == 1;
  const bool split = input.Below(4) == 0;  // A test list, whose classes are the training list's.
  const auto open = with_labels ? OpenImageList : OpenImageFiles;
  const absl::string_view text = input.Rest();
  const std::string path = folder->Write("list.tsv", text);
  const auto source = open(fs, path, options);
  CheckError(source.status());
  if (!source.ok()) return;
  const std::string content = Content(**source);
  const auto again = open(fs, path, options);
  PROTOPAGE_CHECK(again.ok() && Content(**again) == content);
  options.classes_of = source->get();
  const std::string test = split ? folder->Write("test.tsv", text.substr(text.size() / 2)) : path;
  const auto known = OpenImageList(fs, test, options);
  CheckError(known.status());
  if (!known.ok()) return;
  PROTOPAGE_CHECK((*known)->num_classes() == (*source)->num_classes());
  Content(**known);
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryList(protopage::FuzzInput(data, size));
  return 0;
}
