// The real cuBLAS; the emulated one is in model/cuda/emulation/cublas.cc.
#include "protopage/model/cuda/cublas.h"

#include <dlfcn.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/model/cuda/cublas_search.h"

namespace protopage {
namespace {

// The last error of the loader.
std::string LoaderError() {
  const char* error = dlerror();
  return error == nullptr ? "no reason given" : error;
}

// Sets *function. Returns false if the library has no function of this name.
template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool FillTable(void* library, CublasApi* api) {
  return Find(library, "cublasCreate_v2", &api->create) &&
         Find(library, "cublasDestroy_v2", &api->destroy) &&
         Find(library, "cublasSetStream_v2", &api->set_stream) &&
         Find(library, "cublasSetWorkspace_v2", &api->set_workspace) &&
         Find(library, "cublasGemmEx", &api->gemm_ex) &&
         Find(library, "cublasGemmStridedBatchedEx", &api->gemm_strided_batched_ex) &&
         Find(library, "cublasGetVersion_v2", &api->get_version);
}

absl::StatusOr<CublasApi> Load() {
  const CublasSearch search = FindCublas(CublasEnvironment::OfProcess());
  // Why libraries that exist were not used.
  std::vector<std::string> refused;
  for (const CublasLibrary& library : search.libraries) {
    // libcublas looks for libcublasLt by its file name, which finds one that is loaded already.
    if (!library.cublas_lt.empty()) dlopen(library.cublas_lt.c_str(), RTLD_LAZY | RTLD_GLOBAL);
    void* handle = dlopen(library.cublas.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) {
      std::string error = LoaderError();
      // Of the loader's own search, that there is no such file is not worth reporting.
      if (absl::StartsWith(library.cublas, "/")) refused.push_back(std::move(error));
      continue;
    }
    CublasApi api;
    if (FillTable(handle, &api)) return api;  // It stays loaded as long as the process lives.
    refused.push_back(absl::StrCat(library.cublas, " lacks a function: ", LoaderError()));
    dlclose(handle);
  }
  return absl::NotFoundError(absl::StrCat(
      "no cuBLAS (libcublas.so.13 or .12): looked in ", absl::StrJoin(search.places, ", "),
      refused.empty() ? "" : absl::StrCat("; ", absl::StrJoin(refused, "; ")),
      "; set PROTOPAGE_CUBLAS to the path of a libcublas.so, or CUDA_HOME"));
}

}  // namespace

absl::StatusOr<const CublasApi*> LoadCublas() {
  static const absl::StatusOr<CublasApi>& api = *new absl::StatusOr<CublasApi>(Load());
  if (!api.ok()) return api.status();
  return &*api;
}

}  // namespace protopage
