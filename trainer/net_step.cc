#include "trainer/net_step.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
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
  ASSIGN_OR_RETURN(const Tensor images, NextImages());
  RETURN_IF_ERROR(loss_->SetSlots(slots, rows.shape()[0]));
  ASSIGN_OR_RETURN(Repeated * repeated, RepeatedFor(images, rows));
  RETURN_IF_ERROR(backend->Run(repeated->recording.get(), static_cast<uint64_t>(run_step),
                               [&] { return Queue(images, rows, run_step, &repeated->loss); }));
  if (const absl::Status refusal = repeated->recording->refusal(); !refusal.ok() && !told_) {
    LogWarning(absl::StrCat("steps are slower, as they are not CUDA graphs: ", refusal.message()));
    told_ = true;
  }
  RETURN_IF_ERROR(BringImages());
  RETURN_IF_ERROR(beside());
  RETURN_IF_ERROR(backend->FinishDownloads());

  Result result;
  result.loss = repeated->loss;
  const size_t batch = slots.size();
  const auto* losses = static_cast<const float*>(downloads_->data());
  const auto* predicted = reinterpret_cast<const int32_t*>(losses + batch);
  MarginLoss::Finish(slots, {losses, batch}, {predicted, batch}, &result.loss);
  result.finite = predicted[batch] == 0;
  if (!std::isfinite(result.loss.loss)) {
    result.finite = false;
  } else if (!result.finite) {
    result.overflowed = loss_scale_.Overflowed();
  }
  if (result.finite) {
    loss_scale_.Passed();
    return result;
  }
  for (const Statistic& statistic : statistics_) {
    RETURN_IF_ERROR(backend->Copy(statistic.before, statistic.value));
  }
  return result;
}

absl::StatusOr<NetStep::Repeated*> NetStep::RepeatedFor(const Tensor& images, const Tensor& rows) {
  if (loss_scale_.scale() != repeated_scale_) {
    repeated_.clear();
    repeated_scale_ = loss_scale_.scale();
  }
  Backend* backend = session_->backend();
  if (downloads_ == nullptr) {
    ASSIGN_OR_RETURN(found_, backend->Allocate(DType::kInt32, {1}));
    const int64_t batch = images.shape()[0];
    ASSIGN_OR_RETURN(downloads_, backend->AllocateHost(
                                     batch * (BytesOf(DType::kFloat32) + BytesOf(DType::kInt32)) +
                                     BytesOf(DType::kInt32)));
  }
  Repeated& repeated = repeated_[{images.data<void>(), rows.data<void>()}];
  if (repeated.recording == nullptr) repeated.recording = backend->NewRecording();
  return &repeated;
}

absl::Status NetStep::Queue(const Tensor& images, const Tensor& rows, int64_t run_step,
                            LossResult* loss) {
  Backend* backend = session_->backend();
  Net* net = session_->net();
  for (const Statistic& statistic : statistics_) {
    RETURN_IF_ERROR(backend->Copy(statistic.value, statistic.before));
  }
  Tensor features;
  RETURN_IF_ERROR(net->Forward(
      images, {.training = stage_.train_net, .step = static_cast<uint64_t>(run_step)}, &features));
  ASSIGN_OR_RETURN(*loss, loss_->Start({.features = features,
                                        .rows = rows,
                                        .step = run_step,
                                        .gradient_scale = repeated_scale_}));
  std::vector<Tensor> gradients;
  if (stage_.train_net) {
    RETURN_IF_ERROR(net->Backward(loss->d_features));
    gradients = net->gradients();
  }
  gradients.push_back(loss->d_rows);
  if (repeated_scale_ != 1) {
    // What is not finite stays so.
    for (const Tensor& gradient : gradients) {
      RETURN_IF_ERROR(backend->Scale(1 / repeated_scale_, gradient));
    }
  }
  RETURN_IF_ERROR(backend->FindNonFinite(gradients, found_));
  auto* downloads = static_cast<char*>(downloads_->data());
  for (const Tensor& tensor : {loss->losses, loss->predicted, found_}) {
    RETURN_IF_ERROR(backend->Download(tensor, downloads));
    downloads += tensor.bytes();
  }
  return absl::OkStatus();
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
