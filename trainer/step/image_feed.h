// ImageFeed: the batches of a loader on the device, one after the other. The copy of the next batch
// overlaps with the device's work on the current one; two buffers take turns.
//
//   ImageFeed feed(&source, loader_options, backend);
//   feed.loader().Submit(/*step=*/0, {5, 17, 3});
//   feed.loader().Submit(/*step=*/1, {8, 2, 4});
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor images, feed.Next());  // Step 0: uint8 [3, H, W, C].
//   ... queue the work on the images ...
//   PROTOPAGE_RETURN_IF_ERROR(feed.PrefetchNext());  // The upload of step 1 starts, if it is loaded.
//   ... wait for the work ...
//   PROTOPAGE_ASSIGN_OR_RETURN(images, feed.Next());  // Step 1.
#ifndef PROTOPAGE_TRAINER_STEP_IMAGE_FEED_H_
#define PROTOPAGE_TRAINER_STEP_IMAGE_FEED_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/data/image_source.h"
#include "protopage/data/loader.h"
#include "protopage/model/backend.h"
#include "protopage/model/scratch.h"
#include "protopage/model/tensor.h"

namespace protopage {

// Not thread-safe, except for the loader.
class ImageFeed {
 public:
  // The source and the backend must outlive the feed.
  ImageFeed(const ImageSource* source, const LoaderOptions& options, Backend* backend);

  // Batches are submitted to the loader; only the feed takes them out of it.
  Loader& loader() { return loader_; }

  // The next batch, uint8 [B, H, W, C], for operations that are queued from now on. Waits for the
  // loader unless the batch was prefetched. The tensor is valid until the call of Next after the
  // following one. Errors: those of Loader::Next and of the device.
  absl::StatusOr<Tensor> Next();

  // Starts the upload of the next batch, if it is loaded and its upload has not started. Never
  // waits. The device must have finished its work on the batch before the current one. Errors: as
  // Next.
  absl::Status PrefetchNext();
  bool next_is_prefetched() const { return state_ == State::kPrefetched; }

  // Makes the batch that Next returned last the next one again. Not after a PrefetchNext that has
  // started an upload since.
  void PutBack();

 private:
  enum class State {
    kEmpty,       // No batch was taken yet.
    kTaken,       // slots_[current_] holds the batch that Next returned last.
    kPrefetched,  // slots_[current_] holds the next batch; its upload may not have finished.
  };
  struct Slot {
    ScratchBuffer pixels;
    std::shared_ptr<Buffer> host;  // The source of an upload.
    Tensor images;                 // In `pixels`.
  };

  absl::Status Allocate(int64_t batch_size, Slot* slot);

  Backend* const backend_;
  Loader loader_;
  std::array<Slot, 2> slots_;
  int current_ = 0;
  State state_ = State::kEmpty;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_IMAGE_FEED_H_
