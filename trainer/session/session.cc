#include "protopage/trainer/session/session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/check_images.h"
#include "protopage/model/device.h"

namespace protopage {
namespace {

ImageShape ShapeOf(const DataConfig& data) {
  return {data.image_size, data.image_size, ChannelsFor(data)};
}

OpenOptions OptionsOf(const ThreadPool& pool) {
  OpenOptions options;
  options.threads = pool.num_threads();
  options.progress = [](absl::string_view what, int64_t done, int64_t total) {
    if (StderrIsTerminal()) {
      DrawProgress(done < total ? absl::StrCat(what, " ", done, "/", total) : "");
    } else if (done == 0) {
      LogInfo(absl::StrCat(what, ", ", total, " in all"));
    }
  };
  options.note = [](const std::string& line) { LogInfo(line); };
  return options;
}

}  // namespace

Session::Session(const TrainConfig& config, FileSystem* file_system)
    : config_(config),
      file_system_(file_system),
      pool_(static_cast<int>(config.threads)),
      images_(config_.data, OptionsOf(pool_)) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const TrainConfig& config,
                                                         FileSystem* file_system) {
  std::unique_ptr<Session> session(new Session(config, file_system));
  DeviceOptions device;
  PROTOPAGE_ASSIGN_OR_RETURN(device.precision, ParsePrecision(config.precision));
  PROTOPAGE_ASSIGN_OR_RETURN(auto backend, NewBackend(config.device, device, &session->pool_));
  PROTOPAGE_RETURN_IF_ERROR(session->Init(std::move(backend)));
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const TrainConfig& config,
                                                         std::unique_ptr<Backend> backend,
                                                         FileSystem* file_system) {
  std::unique_ptr<Session> session(new Session(config, file_system));
  PROTOPAGE_RETURN_IF_ERROR(session->Init(std::move(backend)));
  return session;
}

absl::Status Session::Init(std::unique_ptr<Backend> backend) {
  PROTOPAGE_RETURN_IF_ERROR(pool_.status());
  backend_ = std::move(backend);
  absl::StatusOr<std::unique_ptr<Net>> net =
      Net::Create(config_.model, ShapeOf(config_.data), config_.seed, backend_.get());
  if (!net.ok()) return WithContext(net.status(), "model");
  net_ = *std::move(net);
  return absl::OkStatus();
}

absl::Status Session::CheckImages(Split split) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, images_.Open(split));
  if (checked_.count(split) > 0) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(WithContext(CheckImages(*source, SplitName(split)),
                                        absl::StrCat("split ", SplitName(split))));
  checked_.insert(split);
  return absl::OkStatus();
}

absl::Status Session::CheckImages(const ImageSource& source, absl::string_view what) {
  if (!config_.data.check_images) return absl::OkStatus();
  return protopage::CheckImages(source, what, &pool_, OptionsOf(pool_).progress);
}

void Session::Warn(const std::string& text) {
  if (warned_.insert(text).second) LogWarning(text);
}

PrototypeSetOptions Session::prototype_options() const {
  PrototypeSetOptions options;
  options.prototypes = config_.prototypes;
  options.selection = config_.selection;
  options.seed = config_.seed;
  options.log = log_options_;
  options.file_system = file_system_;
  return options;
}

absl::Status Session::MakeHead(int64_t num_classes) {
  PROTOPAGE_ASSIGN_OR_RETURN(
      head_, DenseHead::Create(num_classes, net_->embedding_dim(), config_.seed, backend_.get()));
  return absl::OkStatus();
}

absl::Status Session::CheckStop() const {
  return stop_ && stop_() ? absl::CancelledError("interrupted") : absl::OkStatus();
}

int Session::LoaderThreads() const {
  if (config_.loader_threads > 0) return static_cast<int>(config_.loader_threads);
  if (backend_->device() == DeviceType::kCpu) return 1;
  return std::clamp(pool_.num_threads() / 2, 1, 8);
}

Embedder Session::MakeEmbedder() {
  EmbedderOptions options;
  options.loader_threads = LoaderThreads();
  options.check_stop = [this] { return CheckStop(); };
  return Embedder(net_.get(), backend_.get(), options);
}

std::vector<CheckpointSection> Session::Sections() {
  std::vector<CheckpointSection> sections;
  sections.push_back({"net", [this](StateVisitor& v) { net_->State(v); }});
  if (head_ != nullptr) {
    sections.push_back({"head", [this](StateVisitor& v) { head_->State(v); }});
  }
  return sections;
}

}  // namespace protopage
