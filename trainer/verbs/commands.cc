#include "protopage/trainer/verbs/commands.h"

#include "protopage/trainer/verbs/check_verb.h"
#include "protopage/trainer/verbs/classes_verbs.h"
#include "protopage/trainer/verbs/embed_verb.h"
#include "protopage/trainer/verbs/eval_verb.h"
#include "protopage/trainer/verbs/export_verb.h"
#include "protopage/trainer/verbs/inspect_verb.h"
#include "protopage/trainer/verbs/plan_verb.h"
#include "protopage/trainer/verbs/train_verb.h"
#include "protopage/trainer/verbs/version_text.h"

namespace protopage {

CommandProgram ProtopageProgram() {
  CommandProgram program;
  program.name = "protopage";
  program.summary = "Trains embedding networks with more classes than memory holds.";
  program.version = VersionText();
  program.verbs = {TrainVerb(),       EvalVerb(),        EmbedVerb(), PlanVerb(),
                   InspectVerb(),     ExportVerb(),      CheckVerb(), AddClassesVerb(),
                   DropClassesVerb(), MergeClassesVerb()};
  return program;
}

}  // namespace protopage
