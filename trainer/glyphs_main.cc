// The README's first command: Han characters as an ID-vs-spot problem, from nothing to a
// before/after table. `bazel run //trainer:glyphs -- --help`.
#include "protopage/trainer/configs/presets.h"
#include "protopage/trainer/verbs/job.h"

int main(int argc, char** argv) {
  protopage::Job job;
  job.name = "glyphs";
  job.summary =
      "Trains on rendered Han characters, id faces against distorted spots, with dominant "
      "prototypes.";
  job.presets = {{"default", protopage::GlyphsPreset()}};
  return protopage::RunJob(job, {argv + 1, argv + argc});
}
