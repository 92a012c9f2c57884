// FaissCall: what a call of FAISS needs around it, as long as this object lives.
//
//   const FaissCall call;
//   PROTOPAGE_RETURN_IF_ERROR(call.status());
//   clustering.train(n, points, assigner);
//
// FAISS and its BLAS run in the calling thread only, since our pool owns the threads. The numbers
// of threads that the process had set before are set again afterwards. And there is memory for the
// buffers of the BLAS, which tries for ever to get them.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_
#define PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_

#include "absl/status/status.h"

namespace protopage {

// Several threads may have one each.
class FaissCall {
 public:
  FaissCall();
  ~FaissCall();
  FaissCall(const FaissCall&) = delete;
  FaissCall& operator=(const FaissCall&) = delete;

  // Whether FAISS may be called. Errors: ResourceExhausted (memory).
  const absl::Status& status() const { return status_; }

 private:
  const int openmp_threads_;  // Of this thread, before.
  absl::Status status_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_FAISS_CALL_H_
