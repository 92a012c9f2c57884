// NetPass: a forward pass of a net, its loss, and the backward pass. Both halves are queued without
// waiting; a device that records operations replays each as one.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto pass, NetPass::Create(net, LossConfig(), options, backend));
//   PROTOPAGE_RETURN_IF_ERROR(pass->QueueForward(images, step));
//   PROTOPAGE_RETURN_IF_ERROR(pass->QueueBackward(rows, slots, /*gradient_scale=*/1.0f));
//   ... work of the host that overlaps with the device's ...
//   PROTOPAGE_ASSIGN_OR_RETURN(const NetPass::Result result, pass->Await());
//   if (!result.finite) PROTOPAGE_RETURN_IF_ERROR(pass->Undo());
//
// Afterwards the gradients of the net's parameters are those of the pass; the parameters themselves
// are as before.
#ifndef PROTOPAGE_TRAINER_STEP_NET_PASS_H_
#define PROTOPAGE_TRAINER_STEP_NET_PASS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/model/backend.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/op.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct NetPassOptions {
  int64_t batch_size = 0;  // The largest.
  bool train_net = true;   // False: only the rows get gradients, and no statistics move.
  float dropout = 0.0f;
};

// Not thread-safe. The calls come in the order of the example; Undo may also follow QueueForward.
class NetPass {
 public:
  // The net and the backend must outlive the pass. Errors: InvalidArgument (loss),
  // ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<NetPass>> Create(Net* net, const LossConfig& loss,
                                                         const NetPassOptions& options,
                                                         Backend* backend);

  enum class State {
    kIdle,      // No pass, or it was undone.
    kForward,   // The forward pass is queued.
    kBackward,  // The backward pass is queued as well.
    kDone,      // Await has returned the result.
  };
  State state() const { return state_; }
  // Of the last forward pass; -1 before the first.
  int64_t run_step() const { return run_step_; }

  // Queues the forward pass of `images`, [B, H, W, C]. `run_step` keys the random numbers of
  // dropout.
  absl::Status QueueForward(const Tensor& images, int64_t run_step);
  // Queues the loss, of which image i belongs to rows[slots[i]] with rows [K, D] on the device, and
  // the backward pass. Gradients are multiplied by `gradient_scale` on their way through the net,
  // and divided by it at the end. Errors: InvalidArgument (slots).
  absl::Status QueueBackward(const Tensor& rows, absl::Span<const int32_t> slots,
                             float gradient_scale);

  struct Result {
    LossResult loss;
    bool finite = true;  // All gradients, of the rows too. The loss may still not be.
  };
  // Waits for the pass. Operations that were queued by others after QueueBackward are not waited
  // for.
  absl::StatusOr<Result> Await();

  // Gives the net the running statistics that it had before the forward pass.
  absl::Status Undo();

  // State of the loss, for checkpoints.
  void LossState(StateVisitor& v) { loss_->State(v); }
  // Why the device does not record passes and so runs them slower; OK if it does, or needs not.
  const absl::Status& recording_refusal() const { return refusal_; }

 private:
  NetPass(Net* net, const NetPassOptions& options, Backend* backend)
      : net_(net), options_(options), backend_(backend) {}

  RunOptions Run() const;
  // Recordings of the same operations on the same tensors, by the address of the tensor that varies
  // between them.
  using Recordings = std::map<const void*, std::unique_ptr<Recording>>;
  absl::Status RunRecorded(Recordings& recordings, const Tensor& tensor,
                           absl::FunctionRef<absl::Status()> operations);
  // The operations that are recorded.
  absl::Status Forward(const Tensor& images);
  absl::Status Backward(const Tensor& rows);

  // A tensor that a forward pass changes, a running statistic of batch norm, and its value before
  // the pass.
  struct Statistic {
    Tensor value;
    Tensor before;
  };

  Net* const net_;
  const NetPassOptions options_;
  Backend* const backend_;
  std::unique_ptr<MarginLoss> loss_;
  std::vector<Statistic> statistics_;
  Tensor found_;  // int32 [1]: whether a gradient is not finite.
  // What the host reads: losses [B], predicted [B], found_.
  std::shared_ptr<Buffer> downloads_;
  Recordings forwards_;   // By the images.
  Recordings backwards_;  // By the rows, with gradient_scale_.
  float gradient_scale_ = 1.0f;
  absl::Status refusal_;

  State state_ = State::kIdle;
  int64_t run_step_ = -1;
  Tensor features_;             // Of the forward pass.
  std::vector<int32_t> slots_;  // Of the backward pass, and its tensors.
  LossResult loss_result_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_NET_PASS_H_
