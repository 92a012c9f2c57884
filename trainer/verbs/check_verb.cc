#include "protopage/trainer/verbs/check_verb.h"

#include <iostream>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string run;
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  RunCheckProgress progress;
  if (StderrIsTerminal()) {
    progress = [](int64_t checkpoint, int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("check ", checkpoint, ": ", done, "/", total));
    };
  }
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(const RunCheck check,
                             CheckRun(DefaultFileSystem(), flags.run, &pool, progress));
  if (StderrIsTerminal()) DrawProgress("");
  std::cout << (flags.json ? DumpJson(ToJson(check)) : FormatRunCheck(flags.run, check))
            << std::flush;
  if (check.findings.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(flags.run, " is damaged: ", check.findings.size(),
                                          check.findings.size() == 1 ? " finding" : " findings"));
}

}  // namespace

std::string FormatRunCheck(const std::string& directory, const RunCheck& check) {
  std::string text;
  for (const RunFinding& finding : check.findings) {
    absl::StrAppend(&text, finding.what, "; ", finding.meaning, "\n");
  }
  if (check.findings.empty()) {
    absl::StrAppend(&text, directory, " is whole: ", check.checkpoints.size(),
                    check.checkpoints.size() == 1 ? " checkpoint" : " checkpoints", ", format ",
                    check.format, "\n");
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
  json["checkpoints"] = check.checkpoints;
  json["findings"] = std::move(findings);
  return json;
}

CommandVerb CheckVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "check";
  verb.summary = "Reads all of a run, compares every checksum, and tells what is damaged.";
  verb.flags = {RunFlag(&flags->run), JsonFlag(&flags->json)};
  verb.run = [flags] { return Run(*flags); };
  verb.details =
      "Exit status 0: all is whole; 1: something is damaged. The run may be training meanwhile.";
  return verb;
}

}  // namespace protopage
