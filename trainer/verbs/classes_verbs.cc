#include "protopage/trainer/verbs/classes_verbs.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/eval/text_table.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/store_classes.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

struct AddFlags {
  std::string store;
  std::string run;
  std::string input;
  std::vector<std::string> set;
  bool json = false;
};

struct DropFlags {
  std::string store;
  std::string classes;
  std::vector<std::string> names;
};

struct MergeFlags {
  std::string store;
  std::string into, into_name;
  std::string from;
  std::vector<std::string> from_names;
};

// The store to change.
CommandFlag OwnStoreFlag(std::string* store) {
  return {.name = "store",
          .value = store,
          .help = "a prototype store that belongs to no run, as protopage export writes it",
          .value_name = "FILE",
          .required = true,
          .is_path = true};
}

std::string ClassesLeft(const StoreClassCounts& counts, const std::string& store) {
  return absl::StrCat(store, " has ", counts.num_classes - counts.dropped, " classes, and ",
                      counts.dropped, " that were dropped");
}

absl::Status Add(const AddFlags& flags) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenRun(flags.run, flags.set));
  const auto source = OpenClasses(flags.input, session->config().data);
  if (!source.ok()) return WithContext(source.status(), "--input");
  if (!(*source)->LeftOut().empty()) LogInfo((*source)->LeftOut());
  PROTOPAGE_RETURN_IF_ERROR(WithContext(session->CheckImages(**source, flags.input), "--input"));
  ImprintOptions options;
  if (StderrIsTerminal()) {
    options.progress = [](int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("imprint ", done, "/", total, " images"));
    };
  }
  Embedder embedder = session->MakeEmbedder();
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::vector<AddedClass> added,
      AddClasses(fs, flags.store, embedder, session->net()->embedding_dim(), **source, options));
  if (StderrIsTerminal()) DrawProgress("");
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  TextTable table({"class", "id", "images"});
  for (const AddedClass& c : added) {
    json.push_back({{"name", c.name}, {"id", c.id}, {"images", c.images}});
    table.AddRow({ClassNames::Printable(c.name), absl::StrCat(c.id), absl::StrCat(c.images)});
  }
  return WithContext(PrintResults(flags.json ? DumpJson(json) : table.ToString()),
                     absl::StrCat(flags.store, " has the new classes"));
}

// A set of classes, by the values of two flags.
struct ClassesFlags {
  const char* ids_flag;
  const std::string& ids;
  const char* names_flag;
  const std::vector<std::string>& names;
};

// Errors: InvalidArgument (neither is given).
absl::StatusOr<std::vector<ClassId>> ChooseClasses(const std::string& store,
                                                   const ClassesFlags& flags) {
  if (flags.ids.empty() && flags.names.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--", flags.ids_flag, " or --", flags.names_flag,
                                                   ": found neither, expected at least one"));
  }
  std::vector<ClassId> classes;
  if (!flags.ids.empty()) {
    const auto ids = ParseClassIds(flags.ids);
    if (!ids.ok()) return WithContext(ids.status(), absl::StrCat("--", flags.ids_flag));
    classes = *ids;
  }
  if (!flags.names.empty()) {
    const auto ids = FindStoreClasses(DefaultFileSystem(), store, flags.names);
    if (!ids.ok()) return WithContext(ids.status(), absl::StrCat("--", flags.names_flag));
    classes.insert(classes.end(), ids->begin(), ids->end());
  }
  return classes;
}

absl::Status Drop(const DropFlags& flags) {
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::vector<ClassId> ids,
      ChooseClasses(flags.store, {"classes", flags.classes, "name", flags.names}));
  PROTOPAGE_ASSIGN_OR_RETURN(const StoreClassCounts counts,
                             DropClasses(DefaultFileSystem(), flags.store, ids));
  LogInfo(ClassesLeft(counts, flags.store));
  return absl::OkStatus();
}

absl::Status Merge(const MergeFlags& flags) {
  std::vector<std::string> into_names;
  if (!flags.into_name.empty()) into_names.push_back(flags.into_name);
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::vector<ClassId> into,
      ChooseClasses(flags.store, {"into", flags.into, "into_name", into_names}));
  if (into.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--into: found ", into.size(), " classes, expected one"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::vector<ClassId> from,
      ChooseClasses(flags.store, {"from", flags.from, "from_name", flags.from_names}));
  PROTOPAGE_ASSIGN_OR_RETURN(const StoreClassCounts counts,
                             MergeClasses(DefaultFileSystem(), flags.store, into[0], from));
  LogInfo(ClassesLeft(counts, flags.store));
  return absl::OkStatus();
}

}  // namespace

CommandVerb AddClassesVerb() {
  const auto flags = std::make_shared<AddFlags>();
  CommandVerb verb;
  verb.name = "classes add";
  verb.summary = "Adds classes to a store: imprints their prototypes from images.";
  verb.flags = {OwnStoreFlag(&flags->store),
                RunFlag(&flags->run),
                {.name = "input",
                 .value = &flags->input,
                 .help = "a folder of images for each new class, in a folder, or a list file "
                         "(path<TAB>label a line)",
                 .value_name = "PATH",
                 .required = true,
                 .is_path = true},
                SetFlag(&flags->set),
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Add(*flags); };
  verb.details =
      "The net of the run's newest checkpoint embeds the images. The new ids follow the last one; "
      "which\n"
      "id a class got is printed. A class is known by its name, that of its folder or its label in "
      "the\n"
      "list: when the store has one of these names already, no class is added.\n";
  return verb;
}

CommandVerb DropClassesVerb() {
  const auto flags = std::make_shared<DropFlags>();
  CommandVerb verb;
  verb.name = "classes drop";
  verb.summary = "Drops classes from a store. Their ids are never used again.";
  verb.flags = {
      OwnStoreFlag(&flags->store),
      {.name = "classes", .value = &flags->classes, .help = "their ids", .value_name = "ID,ID,..."},
      {.name = "name",
       .value = &flags->names,
       .help = "the name of one, as protopage inspect shows it; may be repeated",
       .value_name = "NAME"}};
  verb.run = [flags] { return Drop(*flags); };
  return verb;
}

CommandVerb MergeClassesVerb() {
  const auto flags = std::make_shared<MergeFlags>();
  CommandVerb verb;
  verb.name = "classes merge";
  verb.summary = "Makes one class of several: the mean of their prototypes.";
  verb.flags = {
      OwnStoreFlag(&flags->store),
      {.name = "into", .value = &flags->into, .help = "the class that stays", .value_name = "ID"},
      {.name = "into_name",
       .value = &flags->into_name,
       .help = "the same by its name",
       .value_name = "NAME"},
      {.name = "from",
       .value = &flags->from,
       .help = "the classes that become part of it, and are dropped",
       .value_name = "ID,ID,..."},
      {.name = "from_name",
       .value = &flags->from_names,
       .help = "one of them by its name; may be repeated",
       .value_name = "NAME"}};
  verb.run = [flags] { return Merge(*flags); };
  return verb;
}

}  // namespace protopage
