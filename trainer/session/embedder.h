// Embedder: computes the net's features of records of an image source, in batches and without
// augmentation.
//
//   Embedder embedder(net, backend, {.batch_size = 256});
//   PROTOPAGE_RETURN_IF_ERROR(embedder.Run(
//       source, records, [&](absl::Span<const int64_t> piece, ConstRowMatrixRef features) {
//         ... features [M, D] of the M records in `piece`, not normalised ...
//         return absl::OkStatus();
//       }));
#ifndef PROTOPAGE_TRAINER_SESSION_EMBEDDER_H_
#define PROTOPAGE_TRAINER_SESSION_EMBEDDER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/data/image_source.h"
#include "protopage/model/backend.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/scratch.h"

namespace protopage {

struct EmbedderOptions {
  int64_t batch_size = 256;
  int loader_threads = 1;
  // Asked before each batch; its error ends the call.
  std::function<absl::Status()> check_stop = {};
};

// The features of records, with their labels and domains.
struct EmbeddedImages {
  RowMatrixXf features;  // [M, D]
  std::vector<ClassId> labels;
  std::vector<int32_t> domains;
};

// Not thread-safe. The net and the backend must outlive it.
class Embedder {
 public:
  Embedder(Net* net, Backend* backend, const EmbedderOptions& options)
      : net_(net), backend_(backend), options_(options) {}

  using Sink = absl::FunctionRef<absl::Status(absl::Span<const int64_t> records,
                                              ConstRowMatrixRef features)>;

  // Calls `sink` with consecutive pieces of `records`. Errors: those of the source (which name a
  // damaged image), the device and the sink.
  absl::Status Run(const ImageSource& source, absl::Span<const int64_t> records, Sink sink);
  // Returns all features at once, 4 * D bytes per image.
  absl::StatusOr<EmbeddedImages> RunAll(const ImageSource& source,
                                        absl::Span<const int64_t> records);

 private:
  Net* const net_;
  Backend* const backend_;
  const EmbedderOptions options_;
  ScratchBuffer images_;
};

// 0, 1, ..., source.size() - 1.
std::vector<int64_t> AllRecords(const ImageSource& source);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_EMBEDDER_H_
