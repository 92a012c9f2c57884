// NetStep: the part of a step that all training stages share: images to the device, forward,
// loss, backward, the check that all is finite, and the update of the net.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const NetStep::Result result, step->ForwardBackward(rows, slots, run_step));
//   PROTOPAGE_RETURN_IF_ERROR(step->Update(factor));
//   PROTOPAGE_RETURN_IF_ERROR(step->BeginNext());  // The device goes on while the host sees to the rows.
#ifndef PROTOPAGE_TRAINER_STEP_NET_STEP_H_
#define PROTOPAGE_TRAINER_STEP_NET_STEP_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/data/image_source.h"
#include "protopage/data/loader.h"
#include "protopage/model/backend.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/scratch.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/step/loss_scale.h"

namespace protopage {

class NetStep {
 public:
  // `extra` parameters are updated with the net's. Makes the loader of `source`, which must outlive
  // it.
  static absl::StatusOr<std::unique_ptr<NetStep>> Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra);

  Loader& loader() { return *loader_; }

  struct Result {
    LossResult loss;
    bool finite = true;
    // Not finite, but the loss is and it was scaled: the next step's is scaled by less.
    bool overflowed = false;
  };
  // Trains on the loader's next batch, whose image i belongs to rows[slots[i]], up to the
  // gradients. `rows` [K, D] is on the device. When loss or gradients are not finite, the net is
  // as before the step, its running statistics too. `beside` is called once all work is queued and
  // before it is waited for: the device has done everything that was queued before this step.
  absl::StatusOr<Result> ForwardBackward(
      const Tensor& rows, absl::Span<const int32_t> slots, int64_t run_step,
      absl::FunctionRef<absl::Status()> beside = [] { return absl::OkStatus(); });
  // Updates the net, unless the stage does not train it, and the extra parameters.
  absl::Status Update(double factor);
  // Queues the forward pass of the next step, run_step + 1, if its images are loaded: it needs no
  // rows. To be called when the net is as the next step finds it.
  absl::Status BeginNext();
  // Undoes BeginNext: the net is as it was, and the next step runs its forward pass again.
  absl::Status TakeBackNext();

  std::vector<CheckpointSection> Sections();
  // What the losses' gradients are multiplied with on their way through the net; 1 unless in fp16.
  double loss_scale() const { return loss_scale_.scale(); }

 private:
  NetStep(Session* session, const StageConfig& stage)
      : session_(session), stage_(stage), loss_scale_(session->backend()->precision()) {}

  // Queues the forward pass of the loader's next batch.
  absl::Status Forward(int64_t run_step);
  absl::Status QueueForward(const Tensor& images, int64_t run_step);
  // Queues what follows, to the downloads of what the host needs to know.
  absl::Status QueueBackward(const Tensor& rows, int64_t run_step);
  // Recordings of the same work on the same tensors, by the address of the one that varies.
  using Recordings = std::map<const void*, std::unique_ptr<Recording>>;
  absl::Status Run(Recordings& recordings, const Tensor& tensor, int64_t run_step,
                   absl::FunctionRef<absl::Status()> operations);
  // The loader's next batch on the device.
  absl::StatusOr<Tensor> NextImages();
  // Starts to bring the batch after it, if it is loaded and not brought yet.
  absl::Status BringImages();
  absl::StatusOr<Tensor> ImageTensor(int64_t batch_size);

  RunOptions ForwardOptions(int64_t run_step) const {
    return {
        .training = stage_.train_net, .step = static_cast<uint64_t>(run_step), .dropout = dropout_};
  }

  // What a forward pass moves: the running statistics of batch norm, and how they were before it.
  struct Statistic {
    Tensor value;
    Tensor before;
  };
  absl::Status RestoreStatistics();

  Session* const session_;
  const StageConfig stage_;
  float dropout_ = 0.0f;
  std::vector<Parameter*> extra_;
  std::vector<Statistic> statistics_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<MarginLoss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  LossScale loss_scale_;
  // By the images and by the rows.
  Recordings forwards_, backwards_;
  float backward_scale_ = 1;  // The loss scale in backwards_.
  bool told_ = false;         // That they are not remembered.
  Tensor found_;              // Whether something is not finite.
  // What was downloaded: losses [B], predicted [B], found_.
  std::shared_ptr<Buffer> downloads_;
  // The current batch and the next one in turn.
  struct Images {
    ScratchBuffer pixels;
    std::shared_ptr<Buffer> host;
  };
  std::array<Images, 2> images_;
  int current_ = 0;
  Tensor brought_;         // The next batch, if it is on its way.
  Tensor images_of_pass_;  // Those of the last forward pass, its features and its step.
  Tensor features_;
  int64_t step_of_pass_ = -1;
  bool is_ahead_ = false;    // It is the next step's.
  LossResult loss_of_pass_;  // Of the last backward pass: its tensors.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_NET_STEP_H_
