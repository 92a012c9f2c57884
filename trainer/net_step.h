// NetStep: the part of a step that all training stages share: images to the device, forward,
// loss, backward, the check that all is finite, and the update of the net.
#ifndef PROTOPAGE_TRAINER_NET_STEP_H_
#define PROTOPAGE_TRAINER_NET_STEP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "data/image_source.h"
#include "data/loader.h"
#include "model/checkpoint.h"
#include "model/margin_loss.h"
#include "model/optimizer.h"
#include "model/scratch.h"
#include "trainer/config.h"
#include "trainer/session.h"

namespace protopage {

class NetStep {
 public:
  // `extra` parameters are updated with the net's. Makes the loader of `source`, which must outlive it.
  static absl::StatusOr<std::unique_ptr<NetStep>> Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra);

  Loader& loader() { return *loader_; }

  struct Result {
    LossResult loss;
    bool finite = true;
  };
  // Trains on the loader's next batch, whose image i belongs to rows[slots[i]], up to the
  // gradients. `rows` [K, D] is on the device. When loss or gradients are not finite, the net is
  // as before the step, its running statistics too.
  absl::StatusOr<Result> ForwardBackward(const Tensor& rows, absl::Span<const int32_t> slots,
                                         int64_t run_step);
  // Updates the net, unless the stage does not train it, and the extra parameters.
  absl::Status Update(double factor);

  std::vector<CheckpointSection> Sections();

 private:
  NetStep(Session* session, const StageConfig& stage) : session_(session), stage_(stage) {}

  absl::StatusOr<Result> Compute(const Tensor& rows, absl::Span<const int32_t> slots,
                                 int64_t run_step);

  // What a forward pass moves: the running statistics of batch norm, and how they were before it.
  struct Statistic {
    Tensor value;
    Tensor before;
  };

  Session* const session_;
  const StageConfig stage_;
  std::vector<Parameter*> extra_;
  std::vector<Statistic> statistics_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<MarginLoss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  ScratchBuffer images_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_NET_STEP_H_
