#include "protopage/trainer/verbs/export_verb.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/trainer/verbs/export.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct Flags {
  std::string run;
  std::string output;
  std::string format;
  int64_t checkpoint = -1;
};

absl::Status Run(const Flags& flags) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ExportFormat format,
                             ChooseExportFormat(flags.format, flags.output));
  ExportOptions options;
  options.checkpoint = flags.checkpoint;
  if (StderrIsTerminal()) {
    options.progress = [](int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("export ", done, "/", total));
    };
  }
  ThreadPool pool(0);
  PROTOPAGE_RETURN_IF_ERROR(pool.status());
  PROTOPAGE_ASSIGN_OR_RETURN(
      const ExportStats stats,
      ExportPrototypes(DefaultFileSystem(), flags.run, flags.output, format, options, &pool));
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("wrote ", stats.num_classes, " prototypes of ", stats.dim, " floats, of ",
                       stats.checkpoint, ", to ", flags.output));
  return absl::OkStatus();
}

}  // namespace

CommandVerb ExportVerb() {
  const auto flags = std::make_shared<Flags>();
  CommandVerb verb;
  verb.name = "export";
  verb.summary = "Writes the prototypes of a run's newest checkpoint to a file, or of another.";
  verb.flags = {
      RunFlag(&flags->run),
      {.name = "output",
       .value = &flags->output,
       .help = "FILE.npy, an array [classes, dim] of float32, or FILE.h5, a prototype store by "
               "itself with the optimizer's state",
       .value_name = "FILE",
       .required = true,
       .is_path = true},
      {.name = "format",
       .value = &flags->format,
       .help = "npy or hdf5; by default the ending of --output decides",
       .value_name = "FORMAT"},
      CheckpointFlag(&flags->checkpoint)};
  verb.run = [flags] { return Run(*flags); };
  return verb;
}

}  // namespace protopage
