#include "protopage/prototypes/index/faiss_call.h"

#include <cblas.h>
#include <omp.h>
#include <sys/mman.h>

#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/mutex.h"

namespace protopage {
namespace {

// OpenBLAS maps a buffer of 128 MiB for each call that runs at the same time, and keeps it. The
// rest is room for what FAISS allocates in between.
constexpr size_t kBlasBuffer = size_t{128} << 20;
constexpr size_t kRoom = size_t{64} << 20;

struct Calls {
  Mutex mutex;
  int running ABSL_GUARDED_BY(mutex) = 0;
  int most_running ABSL_GUARDED_BY(mutex) = 0;  // OpenBLAS has as many buffers.
  int blas_threads ABSL_GUARDED_BY(mutex) = 0;  // Of the process, before the first of them.
};

Calls& TheCalls() {
  static Calls* const calls = new Calls;
  return *calls;
}

bool CanMap(size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  munmap(memory, bytes);
  return true;
}

}  // namespace

FaissCall::FaissCall() : openmp_threads_(omp_get_max_threads()) {
  omp_set_num_threads(1);
  Calls& calls = TheCalls();
  const MutexLock lock(calls.mutex);
  if (calls.running == 0) {
    calls.blas_threads = openblas_get_num_threads();
    if (calls.blas_threads != 1) openblas_set_num_threads(1);
  }
  ++calls.running;
  if (calls.running <= calls.most_running) return;
  if (!CanMap(kBlasBuffer + kRoom)) {
    status_ = absl::ResourceExhaustedError(
        absl::StrCat("out of memory: the search for the nearest classes needs ",
                     (kBlasBuffer + kRoom) >> 20, " MiB more for thread ", calls.running));
    return;
  }
  if (calls.most_running == 0) {
    status_ = CheckMatrixProduct([](int n, int m, int d, const float* x, const float* y, float* c) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, m, d, 1, x, d, y, d, 0, c, m);
    });
    if (!status_.ok()) return;
  }
  calls.most_running = calls.running;
}

FaissCall::~FaissCall() {
  Calls& calls = TheCalls();
  {
    const MutexLock lock(calls.mutex);
    --calls.running;
    if (calls.running == 0 && calls.blas_threads != 1) {
      openblas_set_num_threads(calls.blas_threads);
    }
  }
  omp_set_num_threads(openmp_threads_);
}

absl::Status CheckMatrixProduct(MatrixProduct product) {
  // Sizes with and without rests of blocks.
  constexpr int kSizes[][3] = {{20, 33, 7}, {33, 47, 129}, {64, 256, 64}};
  for (const auto& [n, m, d] : kSizes) {
    // Small integers: their sums are exact in any order.
    std::vector<float> x(n * d), y(m * d), c(n * m);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 17) - 8;
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i * 5 % 13) - 6;
    product(n, m, d, x.data(), y.data(), c.data());
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < m; ++j) {
        float sum = 0;
        for (int k = 0; k < d; ++k) sum += x[i * d + k] * y[j * d + k];
        if (c[i * m + j] == sum) continue;
        return absl::InternalError(
            "OpenBLAS computes wrongly on this processor; OPENBLAS_CORETYPE=Haswell in the "
            "environment makes it use kernels that do not");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
