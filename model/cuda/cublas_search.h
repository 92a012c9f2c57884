// Where libcublas may lie on a machine, so that a program needs it only when it uses a GPU.
//
//   const CublasSearch search = FindCublas(CublasEnvironment::OfProcess());
//   for (const CublasLibrary& library : search.libraries) dlopen(library.cublas_lt), ...
//
// In order: what PROTOPAGE_CUBLAS names, and then nothing else; the loader's own search; the
// toolkit (CUDA_HOME, /usr/local/cuda); and the nvidia folders of Python environments, where pip
// puts the cuBLAS that PyTorch uses: those of VIRTUAL_ENV, CONDA_PREFIX, PYTHONPATH, the python3 on
// PATH, the user and the system.
#ifndef PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_
#define PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_

#include <string>
#include <vector>

namespace protopage {

// Environment variables; "" is one that is not set.
struct CublasEnvironment {
  std::string protopage_cublas;  // The path of a libcublas.so.
  std::string cuda_home;
  std::string virtual_env, conda_prefix, python_path, home, path;

  static CublasEnvironment OfProcess();
};

// What to dlopen: first `cublas_lt`, which the other needs, from the same folder.
struct CublasLibrary {
  std::string cublas, cublas_lt;
};

struct CublasSearch {
  std::vector<CublasLibrary> libraries;  // In the order to try them.
  std::vector<std::string> places;       // That were looked at, for an error's message.
};

CublasSearch FindCublas(const CublasEnvironment& environment);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUBLAS_SEARCH_H_
