#include "protopage/trainer/verbs/check_verb.h"

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_scrub.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string run;
  std::string store;
  bool json = false;
};

// The findings of a store by itself.
absl::StatusOr<RunCheck> CheckStore(const std::string& path,
                                    const std::function<void(int64_t, int64_t)>& progress) {
  PrototypeStoreOptions options;
  options.read_only = true;
  const auto store = PrototypeStore::Open(path, options);
  if (absl::IsNotFound(store.status())) return store.status();
  RunCheck check;
  check.of_run = false;
  std::vector<absl::Status> errors = {store.status()};
  if (store.ok()) {
    if ((*store)->had_log_when_opened()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--store: ", path, " is the file of a run, which --run=DIR checks"));
    }
    check.format = (*store)->format_version();
    errors = ScrubStore(store->get(), progress);
  }
  for (const absl::Status& error : errors) {
    check.findings.push_back(
        {std::string(error.message()), "export it again, or take an earlier copy", -1});
  }
  return check;
}

absl::Status Run(const Flags& flags) {
  if (flags.store.empty() == flags.run.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("check needs --run=DIR or --store=FILE, found ",
                                                   flags.store.empty() ? "neither" : "both"));
  }
  RunCheckProgress progress;
  if (StderrIsTerminal()) {
    progress = [](int64_t checkpoint, int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("check ", checkpoint < 0 ? "" : absl::StrCat(checkpoint, ": "),
                                done, "/", total));
    };
  }
  ThreadPool pool(0);
  PROTOPAGE_RETURN_IF_ERROR(pool.status());
  PROTOPAGE_ASSIGN_OR_RETURN(const RunCheck check,
                             flags.run.empty()
                                 ? CheckStore(flags.store,
                                              [&](int64_t done, int64_t total) {
                                                if (progress) progress(-1, done, total);
                                              })
                                 : CheckRun(DefaultFileSystem(), flags.run, &pool, progress));
  if (StderrIsTerminal()) DrawProgress("");
  const std::string& what = flags.run.empty() ? flags.store : flags.run;
  PROTOPAGE_RETURN_IF_ERROR(
      PrintResults(flags.json ? DumpJson(ToJson(check)) : FormatRunCheck(what, check)));
  if (check.findings.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(what, " is damaged: ", check.findings.size(),
                                          check.findings.size() == 1 ? " finding" : " findings"));
}

}  // namespace

std::string FormatRunCheck(const std::string& path, const RunCheck& check) {
  std::string text;
  for (const RunFinding& finding : check.findings) {
    absl::StrAppend(&text, finding.what, "; ", finding.meaning, "\n");
  }
  if (check.findings.empty()) {
    absl::StrAppend(&text, path, " is whole");
    const size_t count = check.checkpoints.size();
    if (check.of_run)
      absl::StrAppend(&text, ": ", count, count == 1 ? " checkpoint" : " checkpoints");
    absl::StrAppend(&text, ", format ", check.format, "\n");
  }
  return text;
}

nlohmann::ordered_json ToJson(const RunCheck& check) {
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  for (const RunFinding& finding : check.findings) {
    nlohmann::ordered_json json = {{"what", finding.what}, {"meaning", finding.meaning}};
    if (finding.checkpoint >= 0) json["checkpoint"] = finding.checkpoint;
    findings.push_back(std::move(json));
  }
  nlohmann::ordered_json json;
  json["whole"] = check.findings.empty();
  json["format"] = check.format;
  if (check.of_run) json["checkpoints"] = check.checkpoints;
  json["findings"] = std::move(findings);
  return json;
}

CommandVerb CheckVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "check";
  verb.summary =
      "Reads all of a run, or of a store, compares every checksum, and tells what is damaged.";
  verb.flags = {{.name = "run",
                 .value = &flags->run,
                 .help = "the directory of a run",
                 .value_name = "DIR",
                 .is_path = true},
                {.name = "store",
                 .value = &flags->store,
                 .help = "a prototype store by itself, as protopage export makes it",
                 .value_name = "FILE",
                 .is_path = true},
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Run(*flags); };
  verb.details =
      "Exit status 0: all is whole; 1: something is damaged. The run may be training meanwhile.";
  return verb;
}

}  // namespace protopage
