// FaissCall: what a call of FAISS needs around it, as long as this object lives.
//
//   const FaissCall call;
//   PROTOPAGE_RETURN_IF_ERROR(call.status());
//   clustering.train(n, points, assigner);
//
// FAISS and its BLAS run in the calling thread only, since our pool owns the threads. The numbers
// of threads that the process had set before are set again afterwards. There is memory for the
// buffers of the BLAS, which tries for ever to get them. And the BLAS computes right on this
// processor: there are some on which older releases of OpenBLAS do not.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_
#define PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace protopage {

// Several threads may have one each.
class FaissCall {
 public:
  FaissCall();
  ~FaissCall();
  FaissCall(const FaissCall&) = delete;
  FaissCall& operator=(const FaissCall&) = delete;

  // Whether FAISS may be called. Errors: ResourceExhausted (memory); Internal (the BLAS is wrong).
  const absl::Status& status() const { return status_; }

 private:
  const int openmp_threads_;  // Of this thread, before.
  absl::Status status_;
};

// Computes c[i, j] = sum over k of x[i, k] y[j, k], for x [n, d], y [m, d] and c [n, m], by rows.
using MatrixProduct =
    absl::FunctionRef<void(int n, int m, int d, const float* x, const float* y, float* c)>;

// Compares some products with plain loops. Errors: Internal, with the advice for OpenBLAS.
absl::Status CheckMatrixProduct(MatrixProduct product);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_
