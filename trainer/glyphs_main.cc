// The README's first command: Han characters as an ID-vs-spot problem, from nothing to a
// before/after table. `bazel run //trainer:glyphs -- --help`.
#include <string>
#include <vector>

#include "protopage/trainer/configs/presets.h"
#include "protopage/trainer/verbs/job.h"
#include "protopage/trainer/verbs/run_main.h"

int main(int argc, char** argv) {
  protopage::Job job;
  job.name = "glyphs";
  job.summary =
      "Trains on rendered Han characters, id faces against distorted spots, with dominant "
      "prototypes.";
  job.presets = {{"default", protopage::GlyphsPreset()}};
  return protopage::RunMain(argc, argv, [&job](const std::vector<std::string>& arguments) {
    return protopage::RunJob(job, arguments);
  });
}
