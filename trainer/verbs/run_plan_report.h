// The text and the JSON of a RunPlan, as `protopage plan` prints them.
//
//   std::cout << FormatRunPlan(plan);
//   std::cout << DumpJson(ToJson(plan));
#ifndef PROTOPAGE_TRAINER_VERBS_RUN_PLAN_REPORT_H_
#define PROTOPAGE_TRAINER_VERBS_RUN_PLAN_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "protopage/trainer/verbs/run_plan.h"

namespace protopage {

// Lines of text.
std::string FormatRunPlan(const RunPlan& plan);
nlohmann::ordered_json ToJson(const RunPlan& plan);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_RUN_PLAN_REPORT_H_
