#include "protopage/trainer/stages/source_stage.h"

#include "absl/strings/str_cat.h"

namespace protopage {
namespace {

class SourceStageKind : public StageKind {
 public:
  SourceStageKind() : StageKind("source") {}

  absl::Status Check(Session& session, int64_t stage, const ImageSource& source,
                     ClassifierSizes* sizes) const override {
    const int64_t batch_size = session.config().stages[stage].batch_size;
    if (source.size() < batch_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("batch_size: found ", batch_size,
                       ", expected at most the number of images: ", source.Description()));
    }
    sizes->head = source.num_classes();
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<StageTrainer>> NewTrainer(Session* session, int64_t stage,
                                                           int64_t first_run_step,
                                                           const std::string&,
                                                           bool resumed) const override {
    return NewSourceTrainer(session, stage, first_run_step, resumed);
  }
};

}  // namespace

const StageKind& SourceStage() {
  static const StageKind* const kind = new SourceStageKind;
  return *kind;
}

}  // namespace protopage
