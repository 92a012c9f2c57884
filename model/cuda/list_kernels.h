// Kernels over lists of tensors, one launch for all of them: optimizers, the norm of all gradients,
// and the search for non-finite numbers. The formulas are those of model/backend.h; pointers are to
// device memory.
//
// A list is a table on the device: an entry for each tensor, and chunks of at most kChunkElements
// elements, each for a block of threads. The caller builds the table on the host and copies it when
// it changes:
//
//   std::vector<Chunk> chunks;
//   AddChunks(/*entry=*/0, n, &chunks);
//   ...
//   LaunchAdam(stream, step, device_entries, device_chunks, chunks.size());
#ifndef PROTOPAGE_MODEL_CUDA_LIST_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_LIST_KERNELS_H_

#include <cstdint>
#include <vector>

#include "protopage/model/cuda/platform.h"

namespace protopage {

// A pack of 4 for each of 256 threads: a model of half a million parameters occupies a device.
constexpr int64_t kChunkElements = 1024;

// Elements [first, first + count) of an entry.
struct Chunk {
  int64_t first;
  int32_t count;
  int32_t entry;
};
void AddChunks(int32_t entry, int64_t elements, std::vector<Chunk>* chunks);

// A parameter of an update. Entries have no padding, so that their bytes can be compared.
struct UpdateEntry {
  float* value;
  const float* gradient;
  float* state1;
  float* state2;
  int32_t decay;    // Whether weight decay applies.
  int32_t aligned;  // Whether all pointers are aligned to 16 bytes.
};

struct AdamStep {
  float beta1, beta2, epsilon;
  float decay;               // 1 - learning_rate * weight_decay
  float scale1;              // learning_rate / (1 - beta1^t)
  float inverse_sqrt_bias2;  // 1 / sqrt(1 - beta2^t)
};
cudaError_t LaunchAdam(cudaStream_t stream, const AdamStep& step, const UpdateEntry* entries,
                       const Chunk* chunks, int64_t num_chunks);

struct SgdStep {
  float learning_rate, momentum, weight_decay;  // state1 is null with momentum 0.
  bool nesterov;
};
cudaError_t LaunchSgd(cudaStream_t stream, const SgdStep& step, const UpdateEntry* entries,
                      const Chunk* chunks, int64_t num_chunks);

// Sets *norm to the Euclidean norm of all entries. If it is finite and above max_norm, scales every
// entry by max_norm / norm. `entries` are pointers to the floats of the tensors; `sums` is scratch
// of num_chunks doubles, `factor` of one float.
cudaError_t LaunchClipNorm(cudaStream_t stream, float* const* entries, const Chunk* chunks,
                           int64_t num_chunks, float max_norm, double* sums, float* factor,
                           float* norm);

// Sets *found to 1 if any number is not finite; otherwise leaves it unchanged. `entries` are
// pointers to the floats of the tensors.
cudaError_t LaunchFindNonFinite(cudaStream_t stream, const float* const* entries,
                                const Chunk* chunks, int64_t num_chunks, int32_t* found);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_LIST_KERNELS_H_
