#include "protopage/trainer/verbs/eval_verb.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/data/split.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string run;
  std::string split;
  std::vector<std::string> set;
  int64_t checkpoint = -1;
  std::string class_names = "exact";
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  // A mistake in the flags shows before anything is read.
  PROTOPAGE_RETURN_IF_ERROR(
      WithContext(ParseSplitOr(flags.split, Split::kTargetTest).status(), "--split"));
  ReadRunOptions options;
  options.checkpoint = flags.checkpoint;
  PROTOPAGE_ASSIGN_OR_RETURN(options.class_policy, ParseClassPolicy(flags.class_names));
  EvalReport report;
  const auto evaluate = [&](std::unique_ptr<Session> session) -> absl::Status {
    const Split fallback =
        session->prototypes() != nullptr ? Split::kTargetTest : Split::kSourceTest;
    PROTOPAGE_ASSIGN_OR_RETURN(const Split split, ParseSplitOr(flags.split, fallback));
    if (IsSource(split) && HasSplit(session->config().data, Split::kUnseen)) {
      session->Warn(absl::StrCat("split unseen is not measured with ", SplitName(split),
                                 ", only with images of target classes"));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(report, IsSource(split)
                                           ? EvaluateSource(*session, split, SplitName(split))
                                           : EvaluateTarget(*session, split, SplitName(split)));
    return absl::OkStatus();
  };
  PROTOPAGE_RETURN_IF_ERROR(ReadUserRun(flags.run, flags.set, options, evaluate));
  return PrintResults(flags.json ? DumpJson(ToJson(report)) : FormatReport(report));
}

}  // namespace

CommandVerb EvalVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "eval";
  verb.summary = "Evaluates the model of a run: closed set, identification, verification.";
  verb.flags = {RunFlag(&flags->run),
                {.name = "split",
                 .value = &flags->split,
                 .help = "the images of the closed set: target_test, target_validation, "
                         "source_test, ...; by default target_test, or source_test for a run "
                         "without prototypes",
                 .value_name = "SPLIT"},
                ClassNamesFlag(&flags->class_names),
                SetFlag(&flags->set),
                CheckpointFlag(&flags->checkpoint),
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Run(*flags); };
  return verb;
}

}  // namespace protopage
