// StageKind: the behaviour of one kind of stage; its name, keys and needs are its StageSpec. A kind
// is a file of its own, trainer/stages/NAME_stage.cc, and an entry of stage_kinds.cc:
//
//   class WarmUpStage : public StageKind {
//    public:
//     WarmUpStage() : StageKind("warm_up") {}
//     absl::Status Check(Session&, int64_t, const ImageSource&, ClassifierSizes*) const override {
//       return absl::OkStatus();
//     }
//   };
//
// Stages are named by their position in the session's config, which has been validated.
#ifndef PROTOPAGE_TRAINER_STAGES_STAGE_KIND_H_
#define PROTOPAGE_TRAINER_STAGES_STAGE_KIND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/image_source.h"
#include "protopage/eval/report.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/configs/stage_specs.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/stage_trainer.h"

namespace protopage {

// The numbers of classes of the classifiers that the stages so far leave; -1 when not known,
// because a checkpoint holds the classifier or no stage has made it.
struct ClassifierSizes {
  int64_t head = -1;
  int64_t prototypes = -1;
};

// What a stage that does not train works with.
struct StageRun {
  Session* session = nullptr;
  int64_t stage = 0;
  std::string directory;  // Of the run.
  // Called now and then with images done and in all.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

// What such a stage reports.
struct StageOutcome {
  std::vector<std::string> messages = {};     // For the user, a line each.
  std::optional<EvalReport> evaluation = {};  // Of a stage that evaluates.
};

class StageKind {
 public:
  virtual ~StageKind() = default;

  const StageSpec& spec() const { return *spec_; }

  // Checks all that can be known of the stage before the run begins, except for its schedule.
  // `source` holds its images, at least one. Then updates `sizes` to what the stage leaves. Errors:
  // InvalidArgument that names the key, those of opening more images.
  virtual absl::Status Check(Session& session, int64_t stage, const ImageSource& source,
                             ClassifierSizes* sizes) const = 0;

  // Checks the stage on prototypes that start as a copy of `store`, some of whose classes were
  // dropped. Errors: InvalidArgument that names the key.
  virtual absl::Status CheckDropped(const TrainConfig& config, const StageConfig& stage,
                                    const ImageSource& source, const PrototypeStore& store) const;

  // The classes whose rows take part in a step, of `num_classes`. Of stages that train.
  virtual int64_t ActiveClasses(const SelectionConfig& selection, int64_t num_classes) const;

  // For stages that train. `first_run_step` is the run_step of the stage's stage_step 0, and
  // `resumed` says that the session holds what a checkpoint in the middle of the stage saved.
  // Errors: InvalidArgument (config), those of the data; Internal for other stages.
  virtual absl::StatusOr<std::unique_ptr<StageTrainer>> NewTrainer(Session* session, int64_t stage,
                                                                   int64_t first_run_step,
                                                                   const std::string& directory,
                                                                   bool resumed) const;

  // For stages that do not train: does all that the stage does. Errors: those of data, device and
  // disk; Internal for other stages.
  virtual absl::StatusOr<StageOutcome> Run(const StageRun& run) const;

 protected:
  // `name` must be one of StageSpecs().
  explicit StageKind(absl::string_view name);

 private:
  const StageSpec* const spec_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGE_KIND_H_
