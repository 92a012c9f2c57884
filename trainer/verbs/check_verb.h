// The verb check: reads all of a run, and tells what is damaged.
#ifndef PROTOPAGE_TRAINER_VERBS_CHECK_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_CHECK_VERB_H_

#include <nlohmann/json.hpp>
#include <string>

#include "protopage/trainer/run/run_check.h"
#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb CheckVerb();

// One line a finding, and one that sums up.
std::string FormatRunCheck(const std::string& path, const RunCheck& check);
nlohmann::ordered_json ToJson(const RunCheck& check);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_CHECK_VERB_H_
