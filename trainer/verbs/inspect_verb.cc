#include "protopage/trainer/verbs/inspect_verb.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/trainer/verbs/inspect.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

constexpr int64_t kMostPairs = 1000;

struct Flags {
  std::string store;
  std::string run;
  int64_t pairs = 20;
  int64_t checkpoint = -1;
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  if (flags.store.empty() == flags.run.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("inspect needs --store=FILE or --run=DIR, found ",
                     flags.store.empty() ? "neither" : "both"));
  }
  if (flags.pairs < 0 || flags.pairs > kMostPairs) {
    return absl::InvalidArgumentError(
        absl::StrCat("--pairs: found ", flags.pairs, ", expected 0 to ", kMostPairs));
  }
  FileSystem* fs = DefaultFileSystem();
  ThreadPool pool(0);
  PROTOPAGE_RETURN_IF_ERROR(pool.status());
  StoreInspectionOptions options;
  options.pairs = flags.pairs;
  PROTOPAGE_ASSIGN_OR_RETURN(const Inspection found,
                             flags.run.empty()
                                 ? InspectFile(fs, flags.store, options, &pool)
                                 : InspectRun(fs, flags.run, options, &pool, flags.checkpoint));
  return PrintResults(flags.json ? DumpJson(ToJson(found)) : FormatInspection(found));
}

}  // namespace

CommandVerb InspectVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "inspect";
  verb.summary = "Tells what a prototype store holds, and the classes that are likely the same.";
  verb.flags = {{.name = "store",
                 .value = &flags->store,
                 .help = "a prototypes.h5 by itself",
                 .value_name = "FILE",
                 .is_path = true},
                {.name = "run",
                 .value = &flags->run,
                 .help = "instead: the newest checkpoint of a run, which may be training",
                 .value_name = "DIR",
                 .is_path = true},
                {.name = "pairs", .value = &flags->pairs, .help = "the nearest pairs to print"},
                CheckpointFlag(&flags->checkpoint),
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Run(*flags); };
  return verb;
}

}  // namespace protopage
