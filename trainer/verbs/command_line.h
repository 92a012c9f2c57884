// The command line: `protopage VERB --flag=value`. A verb declares each flag once, bound to a
// variable whose value is the default; that serves parsing and --help.
//
//   std::string config;
//   bool resume = false;
//   CommandVerb train;
//   train.name = "train";
//   train.summary = "Trains as a config says.";
//   train.flags = {{.name = "config", .value = &config, .help = "the config", .required = true},
//                  {.name = "resume", .value = &resume, .help = "goes on from a checkpoint"}};
//   train.run = [&] { return Train(config, resume); };
//   const CommandProgram program = {.name = "protopage", .version = "1.0", .verbs = {train}};
//   return RunCommandLine(program, {argv + 1, argv + argc});
//
// Forms: `--flag=value`, `--flag value`, `--flag` for a bool (and `--flag=false`), a list flag any
// number of times. A verb may be two words ("classes add"). A program whose only verb has an empty
// name takes no verb. `--help`, `VERB --help` and `--version` print to stdout.
#ifndef PROTOPAGE_TRAINER_VERBS_COMMAND_LINE_H_
#define PROTOPAGE_TRAINER_VERBS_COMMAND_LINE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "absl/types/variant.h"

namespace protopage {

// The variable that takes a flag's value; its type is the flag's. A list takes the flag many times,
// one element each.
using FlagTarget = absl::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*>;

struct CommandFlag {
  std::string name;
  FlagTarget value;
  std::string help = {};
  std::string value_name = {};  // In the help; "" for one of the type.
  bool required = false;
  // A path: a relative one starts at the user's working directory.
  bool is_path = false;
  // For texts: when not empty, the only values allowed.
  std::vector<std::string> choices = {};
  // For integers: the least one allowed.
  int64_t min = std::numeric_limits<int64_t>::min();
};

struct CommandVerb {
  std::string name;
  std::string summary = {};  // One line.
  std::vector<CommandFlag> flags = {};
  std::function<absl::Status()> run = {};
  std::string details = {};  // More text for `VERB --help`.
};

struct CommandProgram {
  std::string name;
  std::string summary = {};
  std::string version = {};  // What --version prints.
  std::vector<CommandVerb> verbs = {};
};

// A command to carry out: run `verb`, or, when it is null, print `text` to stdout.
struct ParsedCommand {
  const CommandVerb* verb = nullptr;
  std::string text = {};
};

// Parses the arguments that follow the program's name and fills the flags of the verb. Errors:
// InvalidArgument with the flag, the value found and the values allowed; an unknown verb or flag
// suggests the nearest known one.
absl::StatusOr<ParsedCommand> ParseCommandLine(const CommandProgram& program,
                                               absl::Span<const std::string> arguments);

std::string ProgramHelp(const CommandProgram& program);
std::string VerbHelp(const CommandProgram& program, const CommandVerb& verb);

// Parses, runs the verb, logs the error, returns the exit status.
int RunCommandLine(const CommandProgram& program, const std::vector<std::string>& arguments);

// 0 done; 2 InvalidArgument: the command line or the config cannot be right; 3 Cancelled:
// interrupted, --resume goes on; 1 everything else: files that they name are missing, damaged or in
// the way, or the work failed.
int ExitStatus(const absl::Status& status);

// `path` as the user means it: a relative one starts at BUILD_WORKING_DIRECTORY when that is set
// (`bazel run` starts programs elsewhere). "" stays "".
std::string ResolveUserPath(absl::string_view path);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_COMMAND_LINE_H_
