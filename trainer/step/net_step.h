// NetStep: the part of a training step that all stages share. It feeds images to a pass of the net,
// checks that loss and gradients are finite, scales the loss, and updates the net.
//
//   // Submitted to step->loader(): the images of the steps to come.
//   PROTOPAGE_RETURN_IF_ERROR(step->QueueGradients(rows, slots, run_step));
//   PROTOPAGE_RETURN_IF_ERROR(step->PrefetchNext());  // While the device works.
//   PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, step->AwaitGradients());
//   if (result.finite) {
//     PROTOPAGE_RETURN_IF_ERROR(step->Update(factor));
//     PROTOPAGE_RETURN_IF_ERROR(step->QueueNextForward());
//   }
#ifndef PROTOPAGE_TRAINER_STEP_NET_STEP_H_
#define PROTOPAGE_TRAINER_STEP_NET_STEP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/data/image_source.h"
#include "protopage/data/loader.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/op.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/tensor.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/step/image_feed.h"
#include "protopage/trainer/step/loss_scale.h"
#include "protopage/trainer/step/net_pass.h"

namespace protopage {

// Not thread-safe, except for the loader. The calls come in the order of the example; PrefetchNext,
// Update and QueueNextForward may be left out.
class NetStep {
 public:
  // `extra` parameters are updated together with the net's. Makes the loader of `source`. Session,
  // source and extra parameters must outlive the step.
  static absl::StatusOr<std::unique_ptr<NetStep>> Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra);

  Loader& loader() { return feed_.loader(); }

  // Queues the forward pass of the loader's next batch, unless QueueNextForward has, the loss, of
  // which image i belongs to rows[slots[i]] with rows [K, D] on the device, and the backward pass.
  absl::Status QueueGradients(const Tensor& rows, absl::Span<const int32_t> slots,
                              int64_t run_step);
  // Starts the upload of the next step's images, if they are loaded. Never waits. The device must
  // have finished the step before the current one.
  absl::Status PrefetchNext() { return feed_.PrefetchNext(); }

  struct Result {
    LossResult loss;
    bool finite = true;
    // Not finite, but the loss is, and it was scaled: the next step's loss is scaled by less.
    bool overflowed = false;
  };
  // Waits for the gradients of the net and of the rows; then the device has finished everything
  // that was queued before QueueGradients. When the loss or a gradient is not finite, the net is as
  // it was before the step, its running statistics too.
  absl::StatusOr<Result> AwaitGradients();

  // Queues the update of the net, unless the stage does not train it, and of the extra parameters,
  // with the stage's learning rate times `factor`. Only after a finite result.
  absl::Status Update(double factor);

  // Queues the forward pass of the next step, run_step + 1, if its images are loaded: it does not
  // read the rows. Only after a finite result, when the net is as the next step expects it.
  absl::Status QueueNextForward();
  // Undoes QueueNextForward, if it has queued a pass: the net is as it was before, and the next
  // QueueGradients queues the pass again.
  absl::Status CancelNextForward();

  // Sections of a checkpoint: optimizer, loss and loss scale.
  std::vector<CheckpointSection> Sections();
  // The factor of the loss, and so of the gradients, on the way through the net; 1 except in fp16.
  double loss_scale() const { return loss_scale_.scale(); }
  // Warnings for the user since the last call.
  std::vector<std::string> TakeMessages();

 private:
  NetStep(Session* session, const StageConfig& stage, const ImageSource* source,
          std::unique_ptr<NetPass> pass, std::unique_ptr<Optimizer> optimizer);

  absl::Status QueueForward(int64_t run_step);

  const double learning_rate_;
  ImageFeed feed_;
  const std::unique_ptr<NetPass> pass_;
  const std::unique_ptr<Optimizer> optimizer_;
  LossScale loss_scale_;
  bool warned_ = false;  // About passes that are not recorded.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_NET_STEP_H_
