#include "protopage/trainer/stages/evaluate_stage.h"

#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

bool EvaluatesHead(const TrainConfig& config, int64_t stage) {
  const StageSpec* maker = ClassifierMaker(config, stage);
  return maker != nullptr && maker->makes == ClassifierKind::kHead;
}

class EvaluateStageKind : public StageKind {
 public:
  EvaluateStageKind() : StageKind("evaluate") {}

  absl::Status Check(Session& session, int64_t stage, const ImageSource& source,
                     ClassifierSizes* sizes) const override {
    const TrainConfig& config = session.config();
    const bool of_head = EvaluatesHead(config, stage);
    const int64_t classes = of_head ? sizes->head : sizes->prototypes;
    if (classes >= 0) {
      PROTOPAGE_RETURN_IF_ERROR(CheckClosedSet(StageSplit(config, stage), source, classes));
    }
    if (!of_head && HasSplit(config.data, Split::kUnseen)) {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto unseen, session.images().Open(Split::kUnseen));
      PROTOPAGE_ASSIGN_OR_RETURN(const Gallery gallery, ChooseGallery(*unseen));
      WarnOfUnmeasured(session, *unseen, gallery);
    }
    return absl::OkStatus();
  }

  absl::Status CheckDropped(const TrainConfig&, const StageConfig&, const ImageSource& source,
                            const PrototypeStore& store) const override {
    return RecordsToClassify(source, store).status();
  }

  absl::StatusOr<StageOutcome> Run(const StageRun& run) const override {
    const TrainConfig& config = run.session->config();
    const std::string name = EvaluationName(config, run.stage);
    const Split split = StageSplit(config, run.stage);
    StageOutcome outcome;
    PROTOPAGE_ASSIGN_OR_RETURN(outcome.evaluation, EvaluatesHead(config, run.stage)
                                                       ? EvaluateSource(*run.session, split, name)
                                                       : EvaluateTarget(*run.session, split, name));
    return outcome;
  }
};

}  // namespace

const StageKind& EvaluateStage() {
  static const StageKind* const kind = new EvaluateStageKind;
  return *kind;
}

}  // namespace protopage
