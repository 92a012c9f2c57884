#include "protopage/base/fuzz/fuzz_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"

namespace protopage {

FuzzFolder::FuzzFolder(absl::string_view name) {
  const char* folder = std::getenv("TMPDIR");
  if (folder == nullptr) folder = std::getenv("TEST_TMPDIR");
  path_ = absl::StrCat(folder == nullptr ? "/tmp" : folder, "/fuzz_", name, "_", getpid());
  std::filesystem::create_directories(path_);
  Clear();
}

std::string FuzzFolder::Path(absl::string_view name) const { return JoinPath(path_, name); }

std::string FuzzFolder::Write(absl::string_view name, absl::string_view content) const {
  const std::string path = Path(name);
  std::ofstream file(path, std::ios::binary);
  if (!file.is_open()) {
    std::filesystem::create_directories(DirectoryOf(path));
    file.open(path, std::ios::binary);
  }
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  PROTOPAGE_CHECK(file.good());
  return path;
}

std::string FuzzFolder::Read(absl::string_view name) const {
  std::ifstream file(Path(name), std::ios::binary);
  PROTOPAGE_CHECK(file.is_open());
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> FuzzFolder::Names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
    if (entry.is_directory()) continue;
    names.push_back(entry.path().string().substr(path_.size() + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void FuzzFolder::CheckNames(const std::vector<std::string>& expected) const {
  PROTOPAGE_CHECK(Names() == expected);
}

void FuzzFolder::Clear() const {
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    std::filesystem::remove_all(entry.path());
  }
}

}  // namespace protopage
