#include "protopage/trainer/verbs/plan_verb.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/run_plan.h"
#include "protopage/trainer/verbs/run_plan_report.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string config;
  std::vector<std::string> set;
  std::string class_names = "exact";
  double reads_per_second = RunPlanOptions().reads_per_second;
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  if (!(flags.reads_per_second > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--reads_per_second: found ", flags.reads_per_second, ", expected a number above 0"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadUserConfig(flags.config, flags.set));
  RunPlanOptions options;
  options.reads_per_second = flags.reads_per_second;
  PROTOPAGE_ASSIGN_OR_RETURN(options.class_policy, ParseClassPolicy(flags.class_names));
  PROTOPAGE_ASSIGN_OR_RETURN(const RunPlan plan, PlanRun(config, options));
  return PrintResults(flags.json ? DumpJson(ToJson(plan)) : FormatRunPlan(plan));
}

}  // namespace

CommandVerb PlanVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "plan";
  verb.summary = "Tells the memory, the disk and the time of a step that a config needs.";
  verb.flags = {ConfigFlag(&flags->config),
                SetFlag(&flags->set),
                ClassNamesFlag(&flags->class_names),
                {.name = "reads_per_second",
                 .value = &flags->reads_per_second,
                 .help = "scattered reads of 4 KiB that the run's disk delivers a second"},
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Run(*flags); };
  verb.details =
      "Each training stage is rehearsed for a few steps on computed images with a small table; "
      "what\n"
      "grows with the number of classes is scaled up from there.\n";
  return verb;
}

}  // namespace protopage
