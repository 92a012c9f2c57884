#include "protopage/trainer/step/net_pass.h"

#include <utility>

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<NetPass>> NetPass::Create(Net* net, const LossConfig& loss,
                                                         const NetPassOptions& options,
                                                         Backend* backend) {
  std::unique_ptr<NetPass> pass(new NetPass(net, options, backend));
  PROTOPAGE_ASSIGN_OR_RETURN(pass->loss_, MarginLoss::Create(loss, backend));
  if (options.train_net) {
    for (const Parameter* parameter : net->parameters()) {
      if (parameter->gradient) continue;
      PROTOPAGE_ASSIGN_OR_RETURN(
          Tensor before, backend->Allocate(parameter->value.dtype(), parameter->value.shape()));
      pass->statistics_.push_back({parameter->value, std::move(before)});
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(pass->found_, backend->Allocate(DType::kInt32, {1}));
  const int64_t image_bytes = BytesOf(DType::kFloat32) + BytesOf(DType::kInt32);
  PROTOPAGE_ASSIGN_OR_RETURN(
      pass->downloads_,
      backend->AllocateHost(options.batch_size * image_bytes + pass->found_.bytes()));
  return pass;
}

absl::Status NetPass::QueueForward(const Tensor& images, int64_t run_step) {
  PROTOPAGE_CHECK(state_ == State::kIdle || state_ == State::kDone);
  run_step_ = run_step;
  PROTOPAGE_RETURN_IF_ERROR(RunRecorded(forwards_, images, [&] { return Forward(images); }));
  state_ = State::kForward;
  return absl::OkStatus();
}

absl::Status NetPass::QueueBackward(const Tensor& rows, absl::Span<const int32_t> slots,
                                    float gradient_scale) {
  PROTOPAGE_CHECK(state_ == State::kForward);
  PROTOPAGE_CHECK(static_cast<int64_t>(slots.size()) <= options_.batch_size);
  slots_.assign(slots.begin(), slots.end());
  PROTOPAGE_RETURN_IF_ERROR(loss_->SetSlots(slots_, rows.shape()[0]));
  if (gradient_scale != gradient_scale_) {
    backwards_.clear();
    gradient_scale_ = gradient_scale;
  }
  PROTOPAGE_RETURN_IF_ERROR(RunRecorded(backwards_, rows, [&] { return Backward(rows); }));
  state_ = State::kBackward;
  return absl::OkStatus();
}

absl::StatusOr<NetPass::Result> NetPass::Await() {
  PROTOPAGE_CHECK(state_ == State::kBackward);
  PROTOPAGE_RETURN_IF_ERROR(backend_->FinishDownloads());
  state_ = State::kDone;
  Result result;
  result.loss = loss_result_;
  const size_t batch = slots_.size();
  const auto* losses = static_cast<const float*>(downloads_->data());
  const auto* predicted = reinterpret_cast<const int32_t*>(losses + batch);
  MarginLoss::Finish(slots_, {losses, batch}, {predicted, batch}, &result.loss);
  result.finite = predicted[batch] == 0;
  return result;
}

absl::Status NetPass::Undo() {
  PROTOPAGE_CHECK(state_ == State::kForward || state_ == State::kDone);
  for (const Statistic& statistic : statistics_) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(statistic.before, statistic.value));
  }
  state_ = State::kIdle;
  return absl::OkStatus();
}

RunOptions NetPass::Run() const {
  RunOptions run;
  run.training = options_.train_net;
  run.step = static_cast<uint64_t>(run_step_);
  run.dropout = options_.dropout;
  return run;
}

absl::Status NetPass::RunRecorded(Recordings& recordings, const Tensor& tensor,
                                  absl::FunctionRef<absl::Status()> operations) {
  std::unique_ptr<Recording>& recording = recordings[tensor.data<void>()];
  if (recording == nullptr) recording = backend_->NewRecording();
  PROTOPAGE_RETURN_IF_ERROR(
      backend_->Run(recording.get(), static_cast<uint64_t>(run_step_), operations));
  if (refusal_.ok()) refusal_ = recording->refusal();
  return absl::OkStatus();
}

absl::Status NetPass::Forward(const Tensor& images) {
  for (const Statistic& statistic : statistics_) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(statistic.value, statistic.before));
  }
  return net_->Forward(images, Run(), &features_);
}

absl::Status NetPass::Backward(const Tensor& rows) {
  // The forward pass may have been replayed, which the net does not see.
  PROTOPAGE_RETURN_IF_ERROR(net_->NoteForward(features_.shape()[0], Run()));
  PROTOPAGE_ASSIGN_OR_RETURN(loss_result_, loss_->Start({.features = features_,
                                                         .rows = rows,
                                                         .step = run_step_,
                                                         .gradient_scale = gradient_scale_}));
  std::vector<Tensor> gradients;
  if (options_.train_net) {
    PROTOPAGE_RETURN_IF_ERROR(net_->Backward(loss_result_.d_features));
    gradients = net_->gradients();
  }
  gradients.push_back(loss_result_.d_rows);
  if (gradient_scale_ != 1) {
    // Infinities and NaNs stay what they are.
    for (const Tensor& gradient : gradients) {
      PROTOPAGE_RETURN_IF_ERROR(backend_->Scale(1 / gradient_scale_, gradient));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(backend_->FindNonFinite(gradients, found_));
  auto* downloads = static_cast<char*>(downloads_->data());
  for (const Tensor& tensor : {loss_result_.losses, loss_result_.predicted, found_}) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Download(tensor, downloads));
    downloads += tensor.bytes();
  }
  return absl::OkStatus();
}

}  // namespace protopage
