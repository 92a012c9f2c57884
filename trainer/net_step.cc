#include "trainer/net_step.h"

#include <cmath>
#include <cstring>
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
                                                         int64_t run_step,
                                                         absl::FunctionRef<absl::Status()> beside) {
  Backend* backend = session_->backend();
  for (const Statistic& statistic : statistics_) {
    RETURN_IF_ERROR(backend->Copy(statistic.value, statistic.before));
  }
  ASSIGN_OR_RETURN(Result result, Compute(rows, slots, run_step, beside));
  if (!result.finite) {
    for (const Statistic& statistic : statistics_) {
      RETURN_IF_ERROR(backend->Copy(statistic.before, statistic.value));
    }
  }
  return result;
}

absl::StatusOr<NetStep::Result> NetStep::Compute(const Tensor& rows,
                                                 absl::Span<const int32_t> slots, int64_t run_step,
                                                 absl::FunctionRef<absl::Status()> beside) {
  Backend* backend = session_->backend();
  Net* net = session_->net();
  ASSIGN_OR_RETURN(const Tensor images, NextImages());
  Tensor features;
  RETURN_IF_ERROR(net->Forward(
      images, {.training = stage_.train_net, .step = static_cast<uint64_t>(run_step)}, &features));
  const float scale = loss_scale_.scale();
  const LossInput input = {.features = features,
                           .rows = rows,
                           .slots = slots,
                           .step = run_step,
                           .gradient_scale = scale};
  Result result;
  ASSIGN_OR_RETURN(result.loss, loss_->Start(input));
  std::vector<Tensor> gradients;
  if (stage_.train_net) {
    RETURN_IF_ERROR(net->Backward(result.loss.d_features));
    gradients = net->gradients();
  }
  gradients.push_back(result.loss.d_rows);
  RETURN_IF_ERROR(BringImages());
  RETURN_IF_ERROR(beside());

  RETURN_IF_ERROR(loss_->Finish(input, &result.loss));
  ASSIGN_OR_RETURN(result.finite, backend->AllFinite(gradients));
  if (!std::isfinite(result.loss.loss)) {
    result.finite = false;
  } else if (!result.finite) {
    result.overflowed = loss_scale_.Overflowed();
  }
  if (!result.finite) return result;
  loss_scale_.Passed();
  if (scale != 1) {
    for (const Tensor& gradient : gradients) {
      RETURN_IF_ERROR(backend->Scale(1 / scale, gradient));
    }
  }
  return result;
}

absl::StatusOr<Tensor> NetStep::ImageTensor(int64_t batch_size) {
  const ImageShape& shape = session_->net()->image();
  return images_[current_].pixels.Get(session_->backend(), DType::kUint8,
                                      {batch_size, shape.height, shape.width, shape.channels});
}

absl::StatusOr<Tensor> NetStep::NextImages() {
  if (brought_) {
    RETURN_IF_ERROR(session_->backend()->FinishUploads());
    return std::exchange(brought_, Tensor());
  }
  ASSIGN_OR_RETURN(ImageBatch batch, loader_->Next());
  ASSIGN_OR_RETURN(Tensor images, ImageTensor(batch.size));
  RETURN_IF_ERROR(session_->backend()->CopyToDevice(batch.pixels.data(), images));
  loader_->Recycle(std::move(batch));
  return images;
}

absl::Status NetStep::BringImages() {
  if (!loader_->ready()) return absl::OkStatus();
  ASSIGN_OR_RETURN(ImageBatch batch, loader_->Next());
  current_ = 1 - current_;
  ASSIGN_OR_RETURN(const Tensor images, ImageTensor(batch.size));
  std::shared_ptr<Buffer>& host = images_[current_].host;
  if (host == nullptr || host->bytes() < images.bytes()) {
    ASSIGN_OR_RETURN(host, session_->backend()->AllocateHost(images.bytes()));
  }
  std::memcpy(host->data(), batch.pixels.data(), static_cast<size_t>(images.bytes()));
  RETURN_IF_ERROR(session_->backend()->Upload(host->data(), images));
  loader_->Recycle(std::move(batch));
  brought_ = images;
  return absl::OkStatus();
}

absl::Status NetStep::Update(double factor) {
  return optimizer_->Update(stage_.optimizer.learning_rate * factor);
}

std::vector<CheckpointSection> NetStep::Sections() {
  std::vector<CheckpointSection> sections;
  sections.push_back({"optimizer", [this](StateVisitor& v) { optimizer_->State(v); }});
  sections.push_back({"loss", [this](StateVisitor& v) { loss_->State(v); }});
  sections.push_back({"loss_scale", [this](StateVisitor& v) { loss_scale_.State(v); }});
  return sections;
}

}  // namespace protopage
