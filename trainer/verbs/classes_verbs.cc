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
};

struct MergeFlags {
  std::string store;
  int64_t into = 0;
  std::string from;
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
    table.AddRow({c.name, absl::StrCat(c.id), absl::StrCat(c.images)});
  }
  return WithContext(PrintResults(flags.json ? DumpJson(json) : table.ToString()),
                     absl::StrCat(flags.store, " has the new classes"));
}

absl::Status Drop(const DropFlags& flags) {
  const auto ids = ParseClassIds(flags.classes);
  if (!ids.ok()) return WithContext(ids.status(), "--classes");
  PROTOPAGE_ASSIGN_OR_RETURN(const StoreClassCounts counts,
                             DropClasses(DefaultFileSystem(), flags.store, *ids));
  LogInfo(ClassesLeft(counts, flags.store));
  return absl::OkStatus();
}

absl::Status Merge(const MergeFlags& flags) {
  const auto from = ParseClassIds(flags.from);
  if (!from.ok()) return WithContext(from.status(), "--from");
  PROTOPAGE_ASSIGN_OR_RETURN(const StoreClassCounts counts,
                             MergeClasses(DefaultFileSystem(), flags.store, flags.into, *from));
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
                         "(path<TAB>label a line, labels from 0)",
                 .value_name = "PATH",
                 .required = true,
                 .is_path = true},
                SetFlag(&flags->set),
                JsonFlag(&flags->json)};
  verb.run = [flags] { return Add(*flags); };
  verb.details =
      "The net of the run's newest checkpoint embeds the images. The new ids follow the last one; "
      "which\n"
      "id a class got is printed.\n";
  return verb;
}

CommandVerb DropClassesVerb() {
  const auto flags = std::make_shared<DropFlags>();
  CommandVerb verb;
  verb.name = "classes drop";
  verb.summary = "Drops classes from a store. Their ids are never used again.";
  verb.flags = {OwnStoreFlag(&flags->store),
                {.name = "classes",
                 .value = &flags->classes,
                 .help = "their ids",
                 .value_name = "ID,ID,...",
                 .required = true}};
  verb.run = [flags] { return Drop(*flags); };
  return verb;
}

CommandVerb MergeClassesVerb() {
  const auto flags = std::make_shared<MergeFlags>();
  CommandVerb verb;
  verb.name = "classes merge";
  verb.summary = "Makes one class of several: the mean of their prototypes.";
  verb.flags = {OwnStoreFlag(&flags->store),
                {.name = "into",
                 .value = &flags->into,
                 .help = "the class that stays",
                 .value_name = "ID",
                 .required = true},
                {.name = "from",
                 .value = &flags->from,
                 .help = "the classes that become part of it, and are dropped",
                 .value_name = "ID,ID,...",
                 .required = true}};
  verb.run = [flags] { return Merge(*flags); };
  return verb;
}

}  // namespace protopage
