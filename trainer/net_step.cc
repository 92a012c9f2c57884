#include "trainer/net_step.h"

#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "data/open_source.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<NetStep>> NetStep::Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra) {
  const TrainConfig& config = session->config();
  std::unique_ptr<NetStep> step(new NetStep(session, stage));
  step->extra_ = std::move(extra);
  RETURN_IF_ERROR(session->SetDropout(stage.dropout >= 0 ? stage.dropout : config.model.dropout));

  LossConfig loss = config.loss;
  if (stage.margin >= 0) loss.margin = stage.margin;
  ASSIGN_OR_RETURN(step->loss_, MarginLoss::Create(loss, session->backend()));

  std::vector<Parameter*> parameters;
  if (stage.train_net) {
    for (const Parameter* parameter : session->net()->parameters()) {
      if (parameter->gradient) continue;
      ASSIGN_OR_RETURN(Tensor before, session->backend()->Allocate(parameter->value.dtype(),
                                                                   parameter->value.shape()));
      step->statistics_.push_back({parameter->value, std::move(before)});
    }
    parameters.assign(session->net()->parameters().begin(), session->net()->parameters().end());
  }
  parameters.insert(parameters.end(), step->extra_.begin(), step->extra_.end());
  ASSIGN_OR_RETURN(step->optimizer_,
                   Optimizer::Create(stage.optimizer, parameters, session->backend()));

  const ImageShape& image = session->net()->image();
  LoaderOptions options;
  options.height = static_cast<int>(image.height);
  options.width = static_cast<int>(image.width);
  options.channels = static_cast<int>(image.channels);
  if (stage.augment) options.augment = AugmentFor(config.data);
  options.seed = config.seed;
  options.threads = static_cast<int>(config.loader_threads);
  step->loader_ = std::make_unique<Loader>(source, options);
  return step;
}

absl::StatusOr<NetStep::Result> NetStep::ForwardBackward(const Tensor& rows,
                                                         absl::Span<const int32_t> slots,
                                                         int64_t run_step) {
  Backend* backend = session_->backend();
  for (const Statistic& statistic : statistics_) {
    RETURN_IF_ERROR(backend->Copy(statistic.value, statistic.before));
  }
  ASSIGN_OR_RETURN(Result result, Compute(rows, slots, run_step));
  if (!result.finite) {
    for (const Statistic& statistic : statistics_) {
      RETURN_IF_ERROR(backend->Copy(statistic.before, statistic.value));
    }
  }
  return result;
}

absl::StatusOr<NetStep::Result> NetStep::Compute(const Tensor& rows,
                                                 absl::Span<const int32_t> slots,
                                                 int64_t run_step) {
  Backend* backend = session_->backend();
  Net* net = session_->net();
  ASSIGN_OR_RETURN(ImageBatch batch, loader_->Next());
  const ImageShape& shape = net->image();
  ASSIGN_OR_RETURN(
      const Tensor images,
      images_.Get(backend, DType::kUint8, {batch.size, shape.height, shape.width, shape.channels}));
  RETURN_IF_ERROR(backend->CopyToDevice(batch.pixels.data(), images));
  loader_->Recycle(std::move(batch));

  Result result;
  Tensor features;
  RETURN_IF_ERROR(net->Forward(
      images, {.training = stage_.train_net, .step = static_cast<uint64_t>(run_step)}, &features));
  ASSIGN_OR_RETURN(
      result.loss,
      loss_->Compute({.features = features, .rows = rows, .slots = slots, .step = run_step}));
  result.finite = std::isfinite(result.loss.loss);
  if (!result.finite) return result;
  std::vector<Tensor> gradients;
  if (stage_.train_net) {
    RETURN_IF_ERROR(net->Backward(result.loss.d_features));
    gradients = net->gradients();
  }
  gradients.push_back(result.loss.d_rows);
  ASSIGN_OR_RETURN(result.finite, backend->AllFinite(gradients));
  return result;
}

absl::Status NetStep::Update(double factor) {
  return optimizer_->Update(stage_.optimizer.learning_rate * factor);
}

std::vector<CheckpointSection> NetStep::Sections() {
  std::vector<CheckpointSection> sections;
  sections.push_back({"optimizer", [this](StateVisitor& v) { optimizer_->State(v); }});
  sections.push_back({"loss", [this](StateVisitor& v) { loss_->State(v); }});
  return sections;
}

}  // namespace protopage
