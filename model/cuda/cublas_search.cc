#include "protopage/model/cuda/cublas_search.h"

#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace protopage {
namespace {

// The versions with the interface in model/cuda/cublas.h, in order of preference.
constexpr const char* kVersions[] = {"13", "12"};

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The paths that match a glob pattern, sorted.
std::vector<std::string> Matches(const std::string& pattern) {
  glob_t found;
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  return paths;
}

// The prefixes of the python3 that a shell would run, before and after links are resolved: the
// python3 of an environment is a link to that of the system.
std::vector<std::string> PythonPrefixes(const std::string& path) {
  for (const absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    const std::string python = absl::StrCat(folder, "/python3");
    if (access(python.c_str(), X_OK) != 0) continue;
    std::vector<std::string> prefixes = {absl::StrCat(folder, "/..")};
    char resolved[PATH_MAX];
    if (realpath(python.c_str(), resolved) != nullptr) {
      std::string target = resolved;
      target.resize(target.rfind('/'));
      prefixes.push_back(absl::StrCat(target, "/.."));
    }
    return prefixes;
  }
  return {};
}

class Search {
 public:
  void AddFile(const std::string& cublas) {
    result_.places.push_back(absl::StrCat("PROTOPAGE_CUBLAS=", cublas));
    std::string lt = cublas;
    const size_t name = lt.rfind("libcublas.so");
    if (name != std::string::npos) lt.insert(name + 9, "Lt");
    result_.libraries.push_back({cublas, name == std::string::npos ? "" : lt});
  }

  void AddDefault() {
    result_.places.push_back("the loader's own search");
    for (const char* version : kVersions) {
      result_.libraries.push_back(
          {absl::StrCat("libcublas.so.", version), absl::StrCat("libcublasLt.so.", version)});
    }
  }

  // A folder of libraries.
  void AddFolder(const std::string& folder) {
    if (!AddPlace(folder)) return;
    for (const char* version : kVersions) {
      const std::string cublas = absl::StrCat(folder, "/libcublas.so.", version);
      if (access(cublas.c_str(), R_OK) != 0) continue;
      result_.libraries.push_back({cublas, absl::StrCat(folder, "/libcublasLt.so.", version)});
    }
  }

  // A folder of Python packages.
  void AddPackages(const std::string& folder) {
    const std::string place = absl::StrCat(folder, "/nvidia");
    if (!AddPlace(place)) return;
    for (const char* package : {"cu13", "cublas", "cu12"}) {
      for (const char* version : kVersions) {
        const std::string lib = absl::StrCat(place, "/", package, "/lib");
        const std::string cublas = absl::StrCat(lib, "/libcublas.so.", version);
        if (access(cublas.c_str(), R_OK) != 0) continue;
        result_.libraries.push_back({cublas, absl::StrCat(lib, "/libcublasLt.so.", version)});
      }
    }
  }

  // A folder that holds lib/python3.X.
  void AddPrefix(const std::string& prefix) {
    for (const char* packages : {"site-packages", "dist-packages"}) {
      for (const std::string& folder : Matches(absl::StrCat(prefix, "/lib/python3*/", packages))) {
        AddPackages(folder);
      }
    }
  }

  CublasSearch result() && { return std::move(result_); }

 private:
  // Returns false if the place was searched before.
  bool AddPlace(const std::string& place) {
    if (std::find(result_.places.begin(), result_.places.end(), place) != result_.places.end()) {
      return false;
    }
    result_.places.push_back(place);
    return true;
  }

  CublasSearch result_;
};

}  // namespace

CublasEnvironment CublasEnvironment::OfProcess() {
  CublasEnvironment environment;
  environment.protopage_cublas = Variable("PROTOPAGE_CUBLAS");
  environment.cuda_home = Variable("CUDA_HOME");
  environment.virtual_env = Variable("VIRTUAL_ENV");
  environment.conda_prefix = Variable("CONDA_PREFIX");
  environment.python_path = Variable("PYTHONPATH");
  environment.home = Variable("HOME");
  environment.path = Variable("PATH");
  return environment;
}

CublasSearch FindCublas(const CublasEnvironment& environment) {
  Search search;
  if (!environment.protopage_cublas.empty()) {
    search.AddFile(environment.protopage_cublas);
    return std::move(search).result();
  }
  search.AddDefault();
  for (const std::string& toolkit : {environment.cuda_home, std::string("/usr/local/cuda")}) {
    if (!toolkit.empty()) search.AddFolder(absl::StrCat(toolkit, "/lib64"));
  }
  for (const std::string& prefix : {environment.virtual_env, environment.conda_prefix}) {
    if (!prefix.empty()) search.AddPrefix(prefix);
  }
  for (const absl::string_view folder :
       absl::StrSplit(environment.python_path, ':', absl::SkipEmpty())) {
    search.AddPackages(std::string(folder));
  }
  for (const std::string& prefix : PythonPrefixes(environment.path)) search.AddPrefix(prefix);
  if (!environment.home.empty()) search.AddPrefix(absl::StrCat(environment.home, "/.local"));
  search.AddPrefix("/usr/local");
  search.AddPrefix("/usr");
  return std::move(search).result();
}

}  // namespace protopage
