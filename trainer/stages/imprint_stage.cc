#include "protopage/trainer/stages/imprint_stage.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/stages/imprint.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

std::string Summary(const ImprintStats& stats) {
  return absl::StrCat("imprinted ", stats.classes, " classes from ", stats.images, " images",
                      stats.imageless > 0
                          ? absl::StrCat("; ", stats.imageless, " have none and are not imprinted")
                          : "");
}

class ImprintStageKind : public StageKind {
 public:
  ImprintStageKind() : StageKind("imprint") {}

  absl::Status Check(Session& session, int64_t stage, const ImageSource& source,
                     ClassifierSizes* sizes) const override {
    const std::string& domain = session.config().stages[stage].domain;
    if (!domain.empty() && FindDomain(source, domain) < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "domain: found \"", domain, "\", expected one of ",
          absl::StrJoin(source.domain_names(), ", "), " (", source.Description(), ")"));
    }
    sizes->prototypes = source.num_classes();
    return absl::OkStatus();
  }

  absl::StatusOr<StageOutcome> Run(const StageRun& run) const override {
    Session& session = *run.session;
    const StageConfig& stage = session.config().stages[run.stage];
    PROTOPAGE_ASSIGN_OR_RETURN(const auto source,
                               session.images().Open(StageSplit(session.config(), run.stage)));
    ImprintOptions options;
    if (!stage.domain.empty()) options.domain = FindDomain(*source, stage.domain);
    options.progress = run.progress;
    PrototypeSetOptions set_options = session.prototype_options();
    if (session.prototypes() != nullptr) {
      set_options.generation = session.prototypes()->generation() + 1;
    }
    PROTOPAGE_ASSIGN_OR_RETURN(auto set, PrototypeSet::Create(run.directory, source->num_classes(),
                                                              session.net()->embedding_dim(),
                                                              set_options, &session.pool()));
    session.set_prototypes(std::move(set));
    Embedder embedder = session.MakeEmbedder();
    PROTOPAGE_ASSIGN_OR_RETURN(const ImprintStats stats,
                               Imprint(embedder, *source, options, session.prototypes()->store()));
    PROTOPAGE_RETURN_IF_ERROR(session.prototypes()->Flush());
    StageOutcome outcome;
    outcome.messages.push_back(Summary(stats));
    return outcome;
  }
};

}  // namespace

const StageKind& ImprintStage() {
  static const StageKind* const kind = new ImprintStageKind;
  return *kind;
}

}  // namespace protopage
