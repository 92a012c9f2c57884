// FuzzFolder: the folder of a fuzz function's files, empty at first, below $TMPDIR.
//
//   static FuzzFolder* const folder = new FuzzFolder("list");
//   const std::string path = folder->Write("list.tsv", text);
//   ...
//   folder->CheckNames({"list.tsv"});  // Nothing else was left behind.
#ifndef PROTOPAGE_BASE_FUZZ_FUZZ_FOLDER_H_
#define PROTOPAGE_BASE_FUZZ_FUZZ_FOLDER_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace protopage {

// Every error of the disk ends the process.
class FuzzFolder {
 public:
  explicit FuzzFolder(absl::string_view name);
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(absl::string_view name) const;
  // Returns the path. Folders in the name are made.
  std::string Write(absl::string_view name, absl::string_view content) const;
  // The content of a file.
  std::string Read(absl::string_view name) const;
  // The files, at any depth, by their names; sorted.
  std::vector<std::string> Names() const;
  // Ends the process if Names() are others.
  void CheckNames(const std::vector<std::string>& expected) const;
  // Removes all that is in it.
  void Clear() const;

 private:
  std::string path_;
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FUZZ_FUZZ_FOLDER_H_
