#include "protopage/trainer/verbs/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/nearest_name.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/verbs/print_results.h"

namespace protopage {
namespace {

// Lines of help are no wider than this.
constexpr size_t kHelpColumns = 80;

// The words of `text` in lines, each indented.
std::string Wrapped(absl::string_view text, size_t indent) {
  std::string out;
  for (const absl::string_view paragraph : absl::StrSplit(text, '\n')) {
    std::string line(indent, ' ');
    for (const absl::string_view word : absl::StrSplit(paragraph, ' ', absl::SkipEmpty())) {
      if (line.size() > indent && line.size() + 1 + word.size() > kHelpColumns) {
        absl::StrAppend(&out, line, "\n");
        line.assign(indent, ' ');
      }
      absl::StrAppend(&line, line.size() > indent ? " " : "", word);
    }
    absl::StrAppend(&out, line.size() > indent ? line : "", "\n");
  }
  return out;
}

bool IsBool(const CommandFlag& flag) { return absl::holds_alternative<bool*>(flag.value); }
bool IsList(const CommandFlag& flag) {
  return absl::holds_alternative<std::vector<std::string>*>(flag.value);
}

std::string ValueName(const CommandFlag& flag) {
  if (!flag.value_name.empty()) return flag.value_name;
  if (!flag.choices.empty()) return absl::StrJoin(flag.choices, "|");
  if (absl::holds_alternative<int64_t*>(flag.value)) return "INTEGER";
  if (absl::holds_alternative<double*>(flag.value)) return "NUMBER";
  return flag.is_path ? "PATH" : "TEXT";
}

// The default as the user would write it; "" when there is none.
std::string DefaultText(const CommandFlag& flag) {
  struct Text {
    std::string operator()(const bool* value) { return *value ? "true" : ""; }
    std::string operator()(const int64_t* value) { return absl::StrCat(*value); }
    std::string operator()(const double* value) { return absl::StrCat(*value); }
    std::string operator()(const std::string* value) { return *value; }
    std::string operator()(const std::vector<std::string>* value) {
      return absl::StrJoin(*value, " ");
    }
  };
  return absl::visit(Text(), flag.value);
}

absl::Status WrongValue(const CommandFlag& flag, absl::string_view found,
                        absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.name, ": found \"", found, "\", expected ", expected));
}

absl::Status SetFlag(const CommandFlag& flag, absl::string_view text) {
  if (bool* const* value = absl::get_if<bool*>(&flag.value)) {
    if (text == "true" || text == "false") {
      **value = text == "true";
      return absl::OkStatus();
    }
    return WrongValue(flag, text, "true or false");
  }
  if (int64_t* const* value = absl::get_if<int64_t*>(&flag.value)) {
    if (absl::SimpleAtoi(text, *value) && **value >= flag.min) return absl::OkStatus();
    const bool bounded = flag.min > std::numeric_limits<int64_t>::min();
    return WrongValue(
        flag, text,
        absl::StrCat("an integer", bounded ? absl::StrCat(" at least ", flag.min) : ""));
  }
  if (double* const* value = absl::get_if<double*>(&flag.value)) {
    if (absl::SimpleAtod(text, *value)) return absl::OkStatus();
    return WrongValue(flag, text, "a number");
  }
  if (!flag.choices.empty() &&
      std::find(flag.choices.begin(), flag.choices.end(), text) == flag.choices.end()) {
    return WrongValue(flag, text, absl::StrCat("one of ", absl::StrJoin(flag.choices, ", ")));
  }
  if (flag.is_path && text.empty()) return WrongValue(flag, text, "a path");
  std::string resolved = flag.is_path ? ResolveUserPath(text) : std::string(text);
  if (std::string* const* value = absl::get_if<std::string*>(&flag.value)) {
    **value = std::move(resolved);
  } else {
    absl::get<std::vector<std::string>*>(flag.value)->push_back(std::move(resolved));
  }
  return absl::OkStatus();
}

std::string HelpCommand(const CommandProgram& program, const CommandVerb& verb) {
  return absl::StrCat(program.name, verb.name.empty() ? "" : " ", verb.name, " --help");
}

// The verb that the arguments start with, and how many of them it takes.
absl::StatusOr<std::pair<const CommandVerb*, size_t>> FindVerb(
    const CommandProgram& program, absl::Span<const std::string> arguments) {
  const CommandVerb* found = nullptr;
  size_t found_words = 0;
  for (const CommandVerb& verb : program.verbs) {
    if (verb.name.empty()) return std::make_pair(&verb, size_t{0});
    const std::vector<std::string> words = absl::StrSplit(verb.name, ' ');
    if (words.size() > found_words && words.size() <= arguments.size() &&
        std::equal(words.begin(), words.end(), arguments.begin())) {
      found = &verb;
      found_words = words.size();
    }
  }
  if (found != nullptr) return std::make_pair(found, found_words);

  // The words up to the first flag are meant as the verb.
  std::vector<std::string> words;
  for (const std::string& argument : arguments) {
    if (absl::StartsWith(argument, "-") || words.size() == 2) break;
    words.push_back(argument);
  }
  std::vector<std::string> names;
  for (const CommandVerb& verb : program.verbs) names.push_back(verb.name);
  std::string message = words.empty() ? std::string("no verb given")
                                      : absl::StrCat("unknown verb \"", words[0], "\"");
  // "classes" or "classes ad" for "classes add".
  std::string nearest = NearestName(absl::StrJoin(words, " "), names);
  if (nearest.empty() && !words.empty()) nearest = NearestName(words[0], names);
  if (!nearest.empty()) {
    absl::StrAppend(&message, ", did you mean \"", nearest, "\"?");
  } else {
    absl::StrAppend(&message, "; the verbs are ", absl::StrJoin(names, ", "));
  }
  return absl::InvalidArgumentError(absl::StrCat(message, " (see ", program.name, " --help)"));
}

absl::StatusOr<const CommandFlag*> FindFlag(const CommandProgram& program, const CommandVerb& verb,
                                            const std::string& name) {
  std::vector<std::string> names;
  for (const CommandFlag& flag : verb.flags) {
    if (flag.name == name) return &flag;
    names.push_back(flag.name);
  }
  const std::string nearest = NearestName(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", name,
                   nearest.empty() ? "" : absl::StrCat(", did you mean --", nearest, "?"), " (see ",
                   HelpCommand(program, verb), ")"));
}

// Sets the flags of the verb from `arguments`, and returns those that were given.
absl::StatusOr<std::vector<const CommandFlag*>> ParseFlags(
    const CommandProgram& program, const CommandVerb& verb,
    const std::vector<std::string>& arguments) {
  std::vector<const CommandFlag*> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!absl::StartsWith(argument, "--") || argument.size() == 2) {
      return absl::InvalidArgumentError(absl::StrCat("unexpected argument \"", argument,
                                                     "\": flags are written --name=value (see ",
                                                     HelpCommand(program, verb), ")"));
    }
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(argument.substr(2), absl::MaxSplits('=', 1));
    PROTOPAGE_ASSIGN_OR_RETURN(const CommandFlag* const flag, FindFlag(program, verb, parts.first));
    const bool again = std::find(given.begin(), given.end(), flag) != given.end();
    if (again && !IsList(*flag)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " is given twice"));
    }
    // A list's default is replaced, not added to.
    if (!again && IsList(*flag)) {
      absl::get<std::vector<std::string>*>(flag->value)->clear();
    }
    given.push_back(flag);
    std::string value = parts.second;
    if (!absl::StrContains(argument, '=')) {
      if (IsBool(*flag)) {
        value = "true";
      } else if (i + 1 < arguments.size() && !absl::StartsWith(arguments[i + 1], "--")) {
        value = arguments[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " needs a value: --",
                                                       flag->name, "=", ValueName(*flag)));
      }
    }
    PROTOPAGE_RETURN_IF_ERROR(SetFlag(*flag, value));
  }
  return given;
}

absl::Status CheckRequired(const CommandVerb& verb, const std::vector<const CommandFlag*>& given) {
  for (const CommandFlag& flag : verb.flags) {
    if (flag.required && std::find(given.begin(), given.end(), &flag) == given.end()) {
      return absl::InvalidArgumentError(absl::StrCat(verb.name, verb.name.empty() ? "" : " ",
                                                     "needs --", flag.name, "=", ValueName(flag),
                                                     " (", flag.help, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParsedCommand> ParseCommandLine(const CommandProgram& program,
                                               absl::Span<const std::string> arguments) {
  if (!arguments.empty()) {
    if (arguments[0] == "--help" || arguments[0] == "-h") {
      return ParsedCommand{nullptr, ProgramHelp(program)};
    }
    if (arguments[0] == "--version") {
      return ParsedCommand{nullptr, absl::StrCat(program.name, " ", program.version, "\n")};
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const auto found, FindVerb(program, arguments));
  const CommandVerb& verb = *found.first;
  const std::vector<std::string> rest(arguments.begin() + found.second, arguments.end());
  // Help is given whatever else is wrong with the command.
  for (const std::string& argument : rest) {
    if (argument == "--help" || argument == "-h") {
      return ParsedCommand{nullptr, VerbHelp(program, verb)};
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<const CommandFlag*> given,
                             ParseFlags(program, verb, rest));
  PROTOPAGE_RETURN_IF_ERROR(CheckRequired(verb, given));
  return ParsedCommand{&verb, ""};
}

std::string ProgramHelp(const CommandProgram& program) {
  PROTOPAGE_CHECK(!program.verbs.empty());
  if (program.verbs[0].name.empty()) {
    return VerbHelp(program, program.verbs[0]);
  }
  std::string out = absl::StrCat(Wrapped(program.summary, 0), "\nUsage: ", program.name,
                                 " VERB --flag=value ...\n\n");
  size_t width = 0;
  for (const CommandVerb& verb : program.verbs) {
    width = std::max(width, verb.name.size());
  }
  for (const CommandVerb& verb : program.verbs) {
    std::string summary = Wrapped(verb.summary, width + 4);
    absl::StrAppend(&out, "  ", verb.name, summary.substr(2 + verb.name.size()));
  }
  absl::StrAppend(&out, "\n", program.name, " VERB --help tells a verb's flags, ", program.name,
                  " --version what this is.\n"
                  "Exit status: 0 done, 1 failed, 2 wrong usage or config, "
                  "3 interrupted, --resume goes on.\n");
  return out;
}

std::string VerbHelp(const CommandProgram& program, const CommandVerb& verb) {
  std::string usage =
      absl::StrCat("Usage: ", program.name, verb.name.empty() ? "" : " ", verb.name);
  for (const CommandFlag& flag : verb.flags) {
    if (flag.required) {
      absl::StrAppend(&usage, " --", flag.name, "=", ValueName(flag));
    }
  }
  const bool all_required = std::all_of(verb.flags.begin(), verb.flags.end(),
                                        [](const CommandFlag& flag) { return flag.required; });
  if (!all_required) absl::StrAppend(&usage, " [--flag=value ...]");
  const std::string& summary = verb.summary.empty() ? program.summary : verb.summary;
  std::string out = absl::StrCat(Wrapped(summary, 0), "\n", usage, "\n");
  for (const CommandFlag& flag : verb.flags) {
    absl::StrAppend(&out, "\n  --", flag.name);
    if (!IsBool(flag)) absl::StrAppend(&out, "=", ValueName(flag));
    std::vector<std::string> notes;
    if (flag.required) notes.push_back("required");
    if (IsList(flag)) notes.push_back("may be repeated");
    const std::string default_text = DefaultText(flag);
    if (!default_text.empty() && !flag.required) {
      notes.push_back(absl::StrCat("default: ", default_text));
    }
    if (!notes.empty()) {
      absl::StrAppend(&out, "  (", absl::StrJoin(notes, "; "), ")");
    }
    absl::StrAppend(&out, "\n", Wrapped(flag.help, 6));
  }
  if (!verb.details.empty()) {
    absl::StrAppend(&out, "\n", verb.details, absl::EndsWith(verb.details, "\n") ? "" : "\n");
  }
  return out;
}

int RunCommandLine(const CommandProgram& program, const std::vector<std::string>& arguments) {
  const absl::StatusOr<ParsedCommand> command = ParseCommandLine(program, arguments);
  absl::Status status = command.status();
  if (status.ok()) {
    if (command->verb != nullptr) {
      status = command->verb->run();
    } else {
      status = PrintResults(command->text);
    }
  }
  DrawProgress("");  // The error must not be followed by the progress line of a failed verb.
  if (absl::IsCancelled(status)) {
    LogInfo(status.message());
  } else if (!status.ok()) {
    LogError(status.message());
  }
  return ExitStatus(status);
}

int ExitStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
      return 2;
    case absl::StatusCode::kCancelled:
      return 3;
    default:
      return 1;
  }
}

std::string ResolveUserPath(absl::string_view path) {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (path.empty() || path[0] == '/' || directory == nullptr || directory[0] == '\0') {
    return std::string(path);
  }
  return JoinPath(directory, path);
}

}  // namespace protopage
