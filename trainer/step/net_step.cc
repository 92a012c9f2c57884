#include "protopage/trainer/step/net_step.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"

namespace protopage {
namespace {

LoaderOptions LoaderOptionsOf(Session* session, const StageConfig& stage) {
  const ImageShape& image = session->net()->image();
  LoaderOptions options;
  options.height = static_cast<int>(image.height);
  options.width = static_cast<int>(image.width);
  options.channels = static_cast<int>(image.channels);
  if (stage.augment) options.augment = AugmentFor(session->config().data);
  options.seed = session->config().seed;
  options.threads = session->LoaderThreads();
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetStep>> NetStep::Create(Session* session, const StageConfig& stage,
                                                         const ImageSource* source,
                                                         std::vector<Parameter*> extra) {
  const TrainConfig& config = session->config();
  LossConfig loss = config.loss;
  if (stage.margin >= 0) loss.margin = stage.margin;
  NetPassOptions options;
  options.batch_size = stage.batch_size;
  options.train_net = stage.train_net;
  options.dropout = static_cast<float>(stage.dropout >= 0 ? stage.dropout : config.model.dropout);
  PROTOPAGE_ASSIGN_OR_RETURN(auto pass,
                             NetPass::Create(session->net(), loss, options, session->backend()));

  std::vector<Parameter*> parameters;
  if (stage.train_net) {
    parameters.assign(session->net()->parameters().begin(), session->net()->parameters().end());
  }
  parameters.insert(parameters.end(), extra.begin(), extra.end());
  PROTOPAGE_ASSIGN_OR_RETURN(auto optimizer,
                             Optimizer::Create(stage.optimizer, parameters, session->backend()));
  return std::unique_ptr<NetStep>(
      new NetStep(session, stage, source, std::move(pass), std::move(optimizer)));
}

NetStep::NetStep(Session* session, const StageConfig& stage, const ImageSource* source,
                 std::unique_ptr<NetPass> pass, std::unique_ptr<Optimizer> optimizer)
    : learning_rate_(stage.optimizer.learning_rate),
      feed_(source, LoaderOptionsOf(session, stage), session->backend()),
      pass_(std::move(pass)),
      optimizer_(std::move(optimizer)),
      loss_scale_(session->backend()->precision()) {}

absl::Status NetStep::QueueForward(int64_t run_step) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor images, feed_.Next());
  return pass_->QueueForward(images, run_step);
}

absl::Status NetStep::QueueGradients(const Tensor& rows, absl::Span<const int32_t> slots,
                                     int64_t run_step) {
  if (pass_->state() != NetPass::State::kForward) {
    PROTOPAGE_RETURN_IF_ERROR(QueueForward(run_step));
  }
  PROTOPAGE_CHECK(pass_->run_step() == run_step);
  return pass_->QueueBackward(rows, slots, loss_scale_.scale());
}

absl::StatusOr<NetStep::Result> NetStep::AwaitGradients() {
  PROTOPAGE_ASSIGN_OR_RETURN(NetPass::Result pass, pass_->Await());
  Result result;
  const bool finite_loss = std::isfinite(pass.loss.loss);
  result.finite = finite_loss && pass.finite;
  result.loss = std::move(pass.loss);
  if (result.finite) {
    loss_scale_.Passed();
    return result;
  }
  if (finite_loss) result.overflowed = loss_scale_.Overflowed();
  PROTOPAGE_RETURN_IF_ERROR(pass_->Undo());
  return result;
}

absl::Status NetStep::Update(double factor) {
  PROTOPAGE_CHECK(pass_->state() == NetPass::State::kDone);
  return optimizer_->Update(learning_rate_ * factor);
}

absl::Status NetStep::QueueNextForward() {
  PROTOPAGE_CHECK(pass_->state() == NetPass::State::kDone);
  PROTOPAGE_RETURN_IF_ERROR(PrefetchNext());
  if (!feed_.next_is_prefetched()) return absl::OkStatus();
  return QueueForward(pass_->run_step() + 1);
}

absl::Status NetStep::CancelNextForward() {
  if (pass_->state() != NetPass::State::kForward) return absl::OkStatus();
  feed_.PutBack();
  return pass_->Undo();
}

std::vector<CheckpointSection> NetStep::Sections() {
  std::vector<CheckpointSection> sections;
  sections.push_back({"optimizer", [this](StateVisitor& v) { optimizer_->State(v); }});
  sections.push_back({"loss", [this](StateVisitor& v) { pass_->LossState(v); }});
  sections.push_back({"loss_scale", [this](StateVisitor& v) { loss_scale_.State(v); }});
  return sections;
}

std::vector<std::string> NetStep::TakeMessages() {
  const absl::Status& refusal = pass_->recording_refusal();
  if (refusal.ok() || warned_) return {};
  warned_ = true;
  return {absl::StrCat("steps are slower, as they are not CUDA graphs: ", refusal.message())};
}

}  // namespace protopage
