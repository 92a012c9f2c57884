// Session: the objects that the stages of a run share: threads, the device, the net, and the
// classifiers that the stages have made so far.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto session, Session::Create(config));
//   Tensor features;  // [B, D]
//   PROTOPAGE_RETURN_IF_ERROR(session->net()->Forward(images, {}, &features));
#ifndef PROTOPAGE_TRAINER_SESSION_SESSION_H_
#define PROTOPAGE_TRAINER_SESSION_SESSION_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/open_source.h"
#include "protopage/model/backend.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/nets/nets.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/dense_head.h"
#include "protopage/trainer/session/embedder.h"
#include "protopage/trainer/session/prototype_set.h"

namespace protopage {

class Session {
 public:
  // The config must have been validated. Prototypes go to `file_system`.
  // Errors: InvalidArgument (model), FailedPrecondition (device), ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const TrainConfig& config, FileSystem* file_system = DefaultFileSystem());
  // On the given device; the config's is ignored.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const TrainConfig& config, std::unique_ptr<Backend> backend,
      FileSystem* file_system = DefaultFileSystem());

  const TrainConfig& config() const { return config_; }
  ThreadPool& pool() { return pool_; }
  Backend* backend() { return backend_.get(); }
  Net* net() { return net_.get(); }
  // The head of the last source stage; null before the first.
  DenseHead* head() { return head_.get(); }
  // Replaces the head by a new one with random rows.
  absl::Status MakeHead(int64_t num_classes);
  // Null before the first imprint or dominant stage.
  PrototypeSet* prototypes() { return prototypes_.get(); }
  void set_prototypes(std::unique_ptr<PrototypeSet> set) { prototypes_ = std::move(set); }
  PrototypeSetOptions prototype_options() const;
  // Options of the prototypes' log.
  void set_log_options(const TableLogOptions& options) { log_options_ = options; }

  // Work that may take long asks `stop` now and then, and returns Cancelled once it is true.
  void set_stop(std::function<bool()> stop) { stop_ = std::move(stop); }
  // Errors: Cancelled, once `stop` is true.
  absl::Status CheckStop() const;

  // The images of the splits. Each split is opened at its first use; a slow one shows its progress
  // on the console.
  SplitSources& images() { return images_; }
  // Looks at the image files of a split, as CheckImages of data/check_images.h does, unless
  // data.check_images is false. A split is checked once. Errors: as it, and as Open.
  absl::Status CheckImages(Split split);
  // The same of images that belong to no split, which `what` names.
  absl::Status CheckImages(const ImageSource& source, absl::string_view what);
  // Warns the user of something that the run leaves out, on the console; of each text once.
  void Warn(const std::string& text);
  // Threads that load images: the config's number, or the default that its help gives.
  int LoaderThreads() const;
  Embedder MakeEmbedder();
  // The session's sections of a model checkpoint: net, and head if there is one.
  std::vector<CheckpointSection> Sections();

 private:
  Session(const TrainConfig& config, FileSystem* file_system);

  absl::Status Init(std::unique_ptr<Backend> backend);

  TrainConfig config_;
  FileSystem* const file_system_;
  TableLogOptions log_options_;
  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<DenseHead> head_;
  std::unique_ptr<PrototypeSet> prototypes_;
  SplitSources images_;
  std::function<bool()> stop_;
  std::set<Split> checked_;
  std::set<std::string> warned_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_SESSION_H_
