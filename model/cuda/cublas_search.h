// Searches a machine for libcublas, which a program needs only if it uses a GPU.
//
//   const CublasSearch search = FindCublas(CublasEnvironment::OfProcess());
//   for (const CublasLibrary& library : search.libraries) {
//     dlopen(library.cublas_lt.c_str(), RTLD_LAZY | RTLD_GLOBAL);
//     if (void* handle = dlopen(library.cublas.c_str(), RTLD_LAZY)) return handle;
//   }
//
// If PROTOPAGE_CUBLAS is set, nothing else is searched. Otherwise, in this order: the loader's own
// search; the toolkit (CUDA_HOME, /usr/local/cuda); and the nvidia folders of Python environments,
// where pip puts the cuBLAS that PyTorch uses: those of VIRTUAL_ENV, CONDA_PREFIX, PYTHONPATH, the
// python3 on PATH, the user and the system.
#ifndef PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_
#define PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_

#include <string>
#include <vector>

namespace protopage {

// Environment variables; "" if not set.
struct CublasEnvironment {
  std::string protopage_cublas;  // The path of a libcublas.so.
  std::string cuda_home;
  std::string virtual_env, conda_prefix, python_path, home, path;

  static CublasEnvironment OfProcess();
};

// The paths to dlopen: first `cublas_lt`, which `cublas` needs, from the same folder.
struct CublasLibrary {
  std::string cublas, cublas_lt;
};

struct CublasSearch {
  std::vector<CublasLibrary> libraries;  // In the order to try them.
  std::vector<std::string> places;       // The places searched, for error messages.
};

CublasSearch FindCublas(const CublasEnvironment& environment);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_
