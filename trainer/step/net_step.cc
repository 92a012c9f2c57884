#include "protopage/trainer/step/net_step.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<NetStep>> NetStep::Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra) {
  const TrainConfig& config = session->config();
  std::unique_ptr<NetStep> step(new NetStep(session, stage));
  step->extra_ = std::move(extra);
  step->dropout_ = static_cast<float>(stage.dropout >= 0 ? stage.dropout : config.model.dropout);

  LossConfig loss = config.loss;
  if (stage.margin >= 0) loss.margin = stage.margin;
  PROTOPAGE_ASSIGN_OR_RETURN(step->loss_, MarginLoss::Create(loss, session->backend()));

  std::vector<Parameter*> parameters;
  if (stage.train_net) {
    for (const Parameter* parameter : session->net()->parameters()) {
      if (parameter->gradient) continue;
      PROTOPAGE_ASSIGN_OR_RETURN(
          Tensor before,
          session->backend()->Allocate(parameter->value.dtype(), parameter->value.shape()));
      step->statistics_.push_back({parameter->value, std::move(before)});
    }
    parameters.assign(session->net()->parameters().begin(), session->net()->parameters().end());
  }
  parameters.insert(parameters.end(), step->extra_.begin(), step->extra_.end());
  PROTOPAGE_ASSIGN_OR_RETURN(step->optimizer_,
                             Optimizer::Create(stage.optimizer, parameters, session->backend()));

  Backend* const backend = session->backend();
  PROTOPAGE_ASSIGN_OR_RETURN(step->found_, backend->Allocate(DType::kInt32, {1}));
  PROTOPAGE_ASSIGN_OR_RETURN(
      step->downloads_,
      backend->AllocateHost(stage.batch_size * (BytesOf(DType::kFloat32) + BytesOf(DType::kInt32)) +
                            step->found_.bytes()));

  const ImageShape& image = session->net()->image();
  LoaderOptions options;
  options.height = static_cast<int>(image.height);
  options.width = static_cast<int>(image.width);
  options.channels = static_cast<int>(image.channels);
  if (stage.augment) options.augment = AugmentFor(config.data);
  options.seed = config.seed;
  options.threads = session->LoaderThreads();
  step->loader_ = std::make_unique<Loader>(source, options);
  return step;
}

absl::StatusOr<NetStep::Result> NetStep::ForwardBackward(const Tensor& rows,
                                                         absl::Span<const int32_t> slots,
                                                         int64_t run_step,
                                                         absl::FunctionRef<absl::Status()> beside) {
  Backend* backend = session_->backend();
  if (!is_ahead_) PROTOPAGE_RETURN_IF_ERROR(Forward(run_step));
  PROTOPAGE_CHECK(step_of_pass_ == run_step);
  is_ahead_ = false;
  PROTOPAGE_RETURN_IF_ERROR(loss_->SetSlots(slots, rows.shape()[0]));
  if (loss_scale_.scale() != backward_scale_) {
    backwards_.clear();
    backward_scale_ = loss_scale_.scale();
  }
  PROTOPAGE_RETURN_IF_ERROR(
      Run(backwards_, rows, run_step, [&] { return QueueBackward(rows, run_step); }));
  PROTOPAGE_RETURN_IF_ERROR(BringImages());
  PROTOPAGE_RETURN_IF_ERROR(beside());
  PROTOPAGE_RETURN_IF_ERROR(backend->FinishDownloads());

  Result result;
  result.loss = loss_of_pass_;
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
  PROTOPAGE_RETURN_IF_ERROR(RestoreStatistics());
  return result;
}

absl::Status NetStep::BeginNext() {
  PROTOPAGE_RETURN_IF_ERROR(BringImages());
  if (!brought_) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(Forward(step_of_pass_ + 1));
  is_ahead_ = true;
  return absl::OkStatus();
}

absl::Status NetStep::TakeBackNext() {
  if (!is_ahead_) return absl::OkStatus();
  is_ahead_ = false;
  brought_ = images_of_pass_;
  return RestoreStatistics();
}

absl::Status NetStep::RestoreStatistics() {
  for (const Statistic& statistic : statistics_) {
    PROTOPAGE_RETURN_IF_ERROR(session_->backend()->Copy(statistic.before, statistic.value));
  }
  return absl::OkStatus();
}

absl::Status NetStep::Run(Recordings& recordings, const Tensor& tensor, int64_t run_step,
                          absl::FunctionRef<absl::Status()> operations) {
  std::unique_ptr<Recording>& recording = recordings[tensor.data<void>()];
  if (recording == nullptr) recording = session_->backend()->NewRecording();
  PROTOPAGE_RETURN_IF_ERROR(
      session_->backend()->Run(recording.get(), static_cast<uint64_t>(run_step), operations));
  if (const absl::Status refusal = recording->refusal(); !refusal.ok() && !told_) {
    LogWarning(absl::StrCat("steps are slower, as they are not CUDA graphs: ", refusal.message()));
    told_ = true;
  }
  return absl::OkStatus();
}

absl::Status NetStep::Forward(int64_t run_step) {
  PROTOPAGE_ASSIGN_OR_RETURN(images_of_pass_, NextImages());
  step_of_pass_ = run_step;
  return Run(forwards_, images_of_pass_, run_step,
             [&] { return QueueForward(images_of_pass_, run_step); });
}

absl::Status NetStep::QueueForward(const Tensor& images, int64_t run_step) {
  for (const Statistic& statistic : statistics_) {
    PROTOPAGE_RETURN_IF_ERROR(session_->backend()->Copy(statistic.value, statistic.before));
  }
  return session_->net()->Forward(images, ForwardOptions(run_step), &features_);
}

absl::Status NetStep::QueueBackward(const Tensor& rows, int64_t run_step) {
  Backend* backend = session_->backend();
  Net* net = session_->net();
  // Forward may not have been called for this step.
  PROTOPAGE_RETURN_IF_ERROR(net->NoteForward(features_.shape()[0], ForwardOptions(run_step)));
  PROTOPAGE_ASSIGN_OR_RETURN(loss_of_pass_, loss_->Start({.features = features_,
                                                          .rows = rows,
                                                          .step = run_step,
                                                          .gradient_scale = backward_scale_}));
  std::vector<Tensor> gradients;
  if (stage_.train_net) {
    PROTOPAGE_RETURN_IF_ERROR(net->Backward(loss_of_pass_.d_features));
    gradients = net->gradients();
  }
  gradients.push_back(loss_of_pass_.d_rows);
  if (backward_scale_ != 1) {
    // What is not finite stays so.
    for (const Tensor& gradient : gradients) {
      PROTOPAGE_RETURN_IF_ERROR(backend->Scale(1 / backward_scale_, gradient));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(backend->FindNonFinite(gradients, found_));
  auto* downloads = static_cast<char*>(downloads_->data());
  for (const Tensor& tensor : {loss_of_pass_.losses, loss_of_pass_.predicted, found_}) {
    PROTOPAGE_RETURN_IF_ERROR(backend->Download(tensor, downloads));
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
    PROTOPAGE_RETURN_IF_ERROR(session_->backend()->FinishUploads());
    return std::exchange(brought_, Tensor());
  }
  PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader_->Next());
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor images, ImageTensor(batch.size));
  PROTOPAGE_RETURN_IF_ERROR(session_->backend()->CopyToDevice(batch.pixels.data(), images));
  loader_->Recycle(std::move(batch));
  return images;
}

absl::Status NetStep::BringImages() {
  if (brought_ || !loader_->ready()) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader_->Next());
  current_ = 1 - current_;
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor images, ImageTensor(batch.size));
  std::shared_ptr<Buffer>& host = images_[current_].host;
  if (host == nullptr || host->bytes() < images.bytes()) {
    PROTOPAGE_ASSIGN_OR_RETURN(host, session_->backend()->AllocateHost(images.bytes()));
  }
  std::memcpy(host->data(), batch.pixels.data(), static_cast<size_t>(images.bytes()));
  PROTOPAGE_RETURN_IF_ERROR(session_->backend()->Upload(host->data(), images));
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
