#include "protopage/trainer/step/image_feed.h"

#include <cstring>
#include <utility>

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

ImageFeed::ImageFeed(const ImageSource* source, const LoaderOptions& options, Backend* backend)
    : backend_(backend), loader_(source, options) {}

absl::StatusOr<Tensor> ImageFeed::Next() {
  Slot& slot = slots_[current_];
  if (state_ == State::kPrefetched) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->FinishUploads());
  } else {
    // The copy waits for the work on the batch that the slot held before.
    PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader_.Next());
    PROTOPAGE_RETURN_IF_ERROR(Allocate(batch.size, &slot));
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(batch.pixels.data(), slot.images));
    loader_.Recycle(std::move(batch));
  }
  state_ = State::kTaken;
  return slot.images;
}

absl::Status ImageFeed::PrefetchNext() {
  if (state_ == State::kPrefetched || !loader_.ready()) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader_.Next());
  const int next = 1 - current_;
  Slot& slot = slots_[next];
  PROTOPAGE_RETURN_IF_ERROR(Allocate(batch.size, &slot));
  if (slot.host == nullptr || slot.host->bytes() < slot.images.bytes()) {
    PROTOPAGE_ASSIGN_OR_RETURN(slot.host, backend_->AllocateHost(slot.images.bytes()));
  }
  std::memcpy(slot.host->data(), batch.pixels.data(), static_cast<size_t>(slot.images.bytes()));
  PROTOPAGE_RETURN_IF_ERROR(backend_->Upload(slot.host->data(), slot.images));
  loader_.Recycle(std::move(batch));
  current_ = next;
  state_ = State::kPrefetched;
  return absl::OkStatus();
}

void ImageFeed::PutBack() {
  PROTOPAGE_CHECK(state_ == State::kTaken);
  state_ = State::kPrefetched;
}

absl::Status ImageFeed::Allocate(int64_t batch_size, Slot* slot) {
  const LoaderOptions& options = loader_.options();
  PROTOPAGE_ASSIGN_OR_RETURN(slot->images, slot->pixels.Get(backend_, DType::kUint8,
                                                            {batch_size, options.height,
                                                             options.width, options.channels}));
  return absl::OkStatus();
}

}  // namespace protopage
