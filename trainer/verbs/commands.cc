#include "protopage/trainer/verbs/commands.h"

#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/open_source.h"
#include "protopage/eval/report.h"
#include "protopage/eval/text_table.h"
#include "protopage/third_party/versions.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/verbs/embedding_writer.h"
#include "protopage/trainer/verbs/export.h"
#include "protopage/trainer/verbs/inspect.h"
#include "protopage/trainer/verbs/store_classes.h"

namespace protopage {
namespace {

CommandFlag SetFlag(std::vector<std::string>* set) {
  return {.name = "set",
          .value = set,
          .help = "replaces a value of the config, as --set stages[0].epochs=2; may be repeated",
          .value_name = "KEY=VALUE"};
}

CommandFlag ConfigFlag(std::string* config) {
  return {.name = "config",
          .value = config,
          .help = "the config, JSON with comments",
          .value_name = "FILE",
          .required = true,
          .is_path = true};
}

CommandFlag RunFlag(std::string* run) {
  return {.name = "run",
          .value = run,
          .help = "the directory of a run",
          .value_name = "DIR",
          .required = true,
          .is_path = true};
}

CommandFlag JsonFlag(bool* json) {
  return {.name = "json", .value = json, .help = "prints results as JSON"};
}

// What the classes verbs change.
CommandFlag OwnStoreFlag(std::string* store) {
  return {.name = "store",
          .value = store,
          .help = "a prototype store that belongs to no run, as protopage export writes it",
          .value_name = "FILE",
          .required = true,
          .is_path = true};
}

std::string ClassesLeft(const ClassCounts& counts, const std::string& store) {
  return absl::StrCat(store, " has ", counts.num_classes - counts.dropped, " classes, and ",
                      counts.dropped, " that were dropped");
}

void Append(std::vector<CommandFlag>& flags, std::vector<CommandFlag> more) {
  for (CommandFlag& flag : more) flags.push_back(std::move(flag));
}

// The file's name without its folder and ending.
std::string Stem(const std::string& path) {
  const std::string name = BaseName(path);
  return name.substr(0, name.find('.'));
}

// Relative paths are taken from where the user stands.
void ResolvePaths(TrainConfig* config) {
  ForEachPath(*config, [](std::string& path) { path = ResolveUserPath(path); });
}

absl::StatusOr<TrainConfig> ParseTrainConfig(const std::string& text, absl::string_view source,
                                             const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, source));
  for (const std::string& assignment : set)
    PROTOPAGE_RETURN_IF_ERROR(SetJsonValue(assignment, json));
  TrainConfig config;
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ReadConfig(json, "", config), source));
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ValidateConfig(&config), source));
  ResolvePaths(&config);
  return config;
}

absl::StatusOr<std::unique_ptr<Session>> OpenRun(const std::string& directory,
                                                 const std::vector<std::string>& set) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(TrainConfig config, ReadRunConfig(fs, directory, set));
  ResolvePaths(&config);
  return LoadRun(fs, directory, config);
}

}  // namespace

std::vector<CommandFlag> TrainFlags::Flags() {
  return {SetFlag(&set),
          {.name = "out",
           .value = &out,
           .help = "where the run goes; by default the first free of runs/NAME-1, runs/NAME-2, ...",
           .value_name = "DIR",
           .is_path = true},
          {.name = "resume",
           .value = &resume,
           .help = "goes on with the run in --out from its last checkpoint"},
          JsonFlag(&json)};
}

std::string FormatTrainResult(const TrainResult& result) {
  if (result.reports.empty()) return "";
  // Side by side, then the last with its intervals and the numbers of images and pairs.
  return absl::StrCat(FormatComparison(result.reports), "\n", FormatReport(result.reports.back()));
}

std::string VersionText() {
  std::string text;
  for (const ComponentVersion& component : ComponentVersions()) {
    absl::StrAppend(&text, component.name, " ", component.version, "\n");
  }
  return text;
}

absl::Status RunTrain(const std::string& text, absl::string_view source, const std::string& name,
                      const TrainFlags& flags,
                      const std::function<std::string(const TrainResult&)>& print) {
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ParseTrainConfig(text, source, flags.set));
  TrainOptions options;
  options.directory = flags.out;
  options.resume = flags.resume;
  options.title = name;
  if (options.directory.empty()) {
    if (flags.resume) {
      return absl::InvalidArgumentError("--resume needs --out=DIR, the run to go on with");
    }
    options.directory =
        FirstFreePath(DefaultFileSystem(), ResolveUserPath(absl::StrCat("runs/", name)));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainResult result, protopage::Train(config, options));
  if (flags.json) {
    std::cout << DumpJson(ToJson(result)) << std::flush;
  } else {
    std::cout << print(result) << std::flush;
  }
  return absl::OkStatus();
}

CommandProgram ProtopageCommands::Program() {
  CommandProgram program;
  program.name = "protopage";
  program.summary = "Trains embedding networks with more classes than memory holds.";
  program.version = VersionText();

  TrainConfig defaults;
  CommandVerb train;
  train.name = "train";
  train.summary = "Trains as a config says.";
  train.flags = {ConfigFlag(&config_)};
  Append(train.flags, train_.Flags());
  train.run = [this] { return Train(); };
  train.details = absl::StrCat("The keys of a config:\n", ConfigHelp(defaults));

  CommandVerb eval;
  eval.name = "eval";
  eval.summary = "Evaluates the model of a run: closed set, identification, verification.";
  eval.flags = {RunFlag(&run_),
                {.name = "split",
                 .value = &split_,
                 .help = "the images of the closed set: target_test, target_validation, "
                         "source_test, ...; by default target_test, or source_test for a run "
                         "without prototypes",
                 .value_name = "SPLIT"},
                SetFlag(&set_),
                JsonFlag(&json_)};
  eval.run = [this] { return Eval(); };

  CommandVerb embed;
  embed.name = "embed";
  embed.summary = "Writes the embeddings of images.";
  embed.flags = {RunFlag(&run_),
                 {.name = "input",
                  .value = &input_,
                  .help = "an image, a folder of images at any depth, or a list file "
                          "(path<TAB>label a line)",
                  .value_name = "PATH",
                  .required = true,
                  .is_path = true},
                 {.name = "output",
                  .value = &output_,
                  .help = "FILE.npy, or FILE.h5 with the images' names beside the embeddings",
                  .value_name = "FILE",
                  .required = true,
                  .is_path = true},
                 SetFlag(&set_)};
  embed.run = [this] { return Embed(); };

  CommandVerb plan;
  plan.name = "plan";
  plan.summary = "Tells the memory, the disk and the time of a step that a config needs.";
  plan.flags = {ConfigFlag(&config_),
                SetFlag(&set_),
                {.name = "reads_per_second",
                 .value = &reads_per_second_,
                 .help = "scattered reads of 4 KiB that the run's disk delivers a second"},
                JsonFlag(&json_)};
  plan.run = [this] { return Plan(); };
  plan.details =
      "Each training stage is rehearsed for a few steps on computed images with a small table; "
      "what\n"
      "grows with the number of classes is scaled up from there.\n";

  CommandVerb inspect;
  inspect.name = "inspect";
  inspect.summary = "Tells what a prototype store holds, and the classes that are likely the same.";
  inspect.flags = {{.name = "store",
                    .value = &store_,
                    .help = "a prototypes.h5 by itself",
                    .value_name = "FILE",
                    .is_path = true},
                   {.name = "run",
                    .value = &run_,
                    .help = "instead: the newest checkpoint of a run, which may be training",
                    .value_name = "DIR",
                    .is_path = true},
                   {.name = "pairs", .value = &pairs_, .help = "the nearest pairs to print"},
                   JsonFlag(&json_)};
  inspect.run = [this] { return Inspect(); };

  CommandVerb export_verb;
  export_verb.name = "export";
  export_verb.summary = "Writes the prototypes of a run's newest checkpoint to a file.";
  export_verb.flags = {
      RunFlag(&run_),
      {.name = "output",
       .value = &output_,
       .help = "FILE.npy, an array [classes, dim] of float32, or FILE.h5, a prototype store by "
               "itself with the optimizer's state",
       .value_name = "FILE",
       .required = true,
       .is_path = true},
      {.name = "format",
       .value = &format_,
       .help = "npy or hdf5; by default the ending of --output decides",
       .value_name = "FORMAT"}};
  export_verb.run = [this] { return Export(); };

  CommandVerb add;
  add.name = "classes add";
  add.summary = "Adds classes to a store: imprints their prototypes from images.";
  add.flags = {OwnStoreFlag(&store_),
               RunFlag(&run_),
               {.name = "input",
                .value = &input_,
                .help = "a folder of images for each new class, in a folder, or a list file "
                        "(path<TAB>label a line, labels from 0)",
                .value_name = "PATH",
                .required = true,
                .is_path = true},
               SetFlag(&set_),
               JsonFlag(&json_)};
  add.run = [this] { return AddClasses(); };
  add.details =
      "The net of the run's newest checkpoint embeds the images. The new ids follow the last one; "
      "which\n"
      "id a class got is printed.\n";

  CommandVerb drop;
  drop.name = "classes drop";
  drop.summary = "Drops classes from a store. Their ids are never used again.";
  drop.flags = {OwnStoreFlag(&store_),
                {.name = "classes",
                 .value = &classes_,
                 .help = "their ids",
                 .value_name = "ID,ID,...",
                 .required = true}};
  drop.run = [this] { return DropClasses(); };

  CommandVerb merge;
  merge.name = "classes merge";
  merge.summary = "Makes one class of several: the mean of their prototypes.";
  merge.flags = {OwnStoreFlag(&store_),
                 {.name = "into",
                  .value = &into_,
                  .help = "the class that stays",
                  .value_name = "ID",
                  .required = true},
                 {.name = "from",
                  .value = &from_,
                  .help = "the classes that become part of it, and are dropped",
                  .value_name = "ID,ID,...",
                  .required = true}};
  merge.run = [this] { return MergeClasses(); };

  program.verbs = {train, eval, embed, plan, inspect, export_verb, add, drop, merge};
  return program;
}

absl::Status ProtopageCommands::Train() {
  const absl::StatusOr<std::string> text = ReadFile(DefaultFileSystem(), config_);
  if (!text.ok()) return WithContext(text.status(), "--config");
  return RunTrain(*text, config_, Stem(config_), train_, FormatTrainResult);
}

absl::Status ProtopageCommands::Eval() {
  // What is wrong with the flags shows before anything is read.
  PROTOPAGE_RETURN_IF_ERROR(
      WithContext(ParseSplitOr(split_, Split::kTargetTest).status(), "--split"));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenRun(run_, set_));
  const Split fallback = session->prototypes() != nullptr ? Split::kTargetTest : Split::kSourceTest;
  PROTOPAGE_ASSIGN_OR_RETURN(const Split split, ParseSplitOr(split_, fallback));
  const bool source = split == Split::kSourceTrain || split == Split::kSourceValidation ||
                      split == Split::kSourceTest;
  PROTOPAGE_ASSIGN_OR_RETURN(const EvalReport report,
                             source ? EvaluateSource(*session, split, SplitName(split))
                                    : EvaluateTarget(*session, split, SplitName(split)));
  if (json_) {
    std::cout << DumpJson(ToJson(report)) << std::flush;
  } else {
    std::cout << FormatReport(report) << std::flush;
  }
  return absl::OkStatus();
}

absl::Status ProtopageCommands::Embed() {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenRun(run_, set_));
  const auto opened = OpenImages(input_, session->config().data);
  if (!opened.ok()) return WithContext(opened.status(), "--input");
  const std::unique_ptr<ImageSource>& source = *opened;
  auto created = EmbeddingWriter::Create(fs, output_, session->net()->embedding_dim());
  if (!created.ok()) return WithContext(created.status(), "--output");
  const std::unique_ptr<EmbeddingWriter> writer = *std::move(created);
  Embedder embedder = session->MakeEmbedder();
  int64_t done = 0;
  // Cosines are what prototypes are compared by, so embeddings are unit vectors.
  PROTOPAGE_RETURN_IF_ERROR(
      embedder.Run(*source, AllRecords(*source),
                   [&](absl::Span<const int64_t> records, ConstRowMatrixRef features) {
                     std::vector<int64_t> labels;
                     std::vector<std::string> names;
                     for (const int64_t record : records) {
                       labels.push_back(source->Label(record));
                       names.push_back(source->RecordName(record));
                     }
                     done += static_cast<int64_t>(records.size());
                     if (StderrIsTerminal())
                       DrawProgress(absl::StrCat("embed ", done, "/", source->size()));
                     const RowMatrixXf unit = features.rowwise().normalized();
                     return writer->Append(unit, labels, names);
                   }));
  PROTOPAGE_RETURN_IF_ERROR(writer->Finish());
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("wrote ", done, " embeddings of ", session->net()->embedding_dim(),
                       " floats to ", output_));
  return absl::OkStatus();
}

absl::Status ProtopageCommands::Plan() {
  if (!(reads_per_second_ > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("--reads_per_second: found ", reads_per_second_,
                                                   ", expected a number above 0"));
  }
  const absl::StatusOr<std::string> text = ReadFile(DefaultFileSystem(), config_);
  if (!text.ok()) return WithContext(text.status(), "--config");
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ParseTrainConfig(*text, config_, set_));
  RunPlanOptions options;
  options.reads_per_second = reads_per_second_;
  PROTOPAGE_ASSIGN_OR_RETURN(const RunPlan plan, PlanRun(config, options));
  std::cout << (json_ ? DumpJson(ToJson(plan)) : FormatRunPlan(plan)) << std::flush;
  return absl::OkStatus();
}

absl::Status ProtopageCommands::Inspect() {
  if (store_.empty() == run_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inspect needs --store=FILE or --run=DIR, found ", store_.empty() ? "neither" : "both"));
  }
  constexpr int64_t kMostPairs = 1000;
  if (pairs_ < 0 || pairs_ > kMostPairs) {
    return absl::InvalidArgumentError(
        absl::StrCat("--pairs: found ", pairs_, ", expected 0 to ", kMostPairs));
  }
  FileSystem* fs = DefaultFileSystem();
  ThreadPool pool(0);
  StoreInspectionOptions options;
  options.pairs = pairs_;
  PROTOPAGE_ASSIGN_OR_RETURN(const Inspection found, run_.empty()
                                                         ? InspectFile(fs, store_, options, &pool)
                                                         : InspectRun(fs, run_, options, &pool));
  std::cout << (json_ ? DumpJson(ToJson(found)) : FormatInspection(found)) << std::flush;
  return absl::OkStatus();
}

absl::Status ProtopageCommands::Export() {
  PROTOPAGE_ASSIGN_OR_RETURN(const ExportFormat format, ChooseExportFormat(format_, output_));
  ExportOptions options;
  if (StderrIsTerminal()) {
    options.progress = [](int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("export ", done, "/", total));
    };
  }
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(
      const ExportStats stats,
      ExportPrototypes(DefaultFileSystem(), run_, output_, format, options, &pool));
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("wrote ", stats.num_classes, " prototypes of ", stats.dim, " floats, of ",
                       stats.checkpoint, ", to ", output_));
  return absl::OkStatus();
}

absl::Status ProtopageCommands::AddClasses() {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenRun(run_, set_));
  const auto source = OpenClasses(input_, session->config().data);
  if (!source.ok()) return WithContext(source.status(), "--input");
  ImprintOptions options;
  if (StderrIsTerminal()) {
    options.progress = [](int64_t done, int64_t total) {
      DrawProgress(absl::StrCat("imprint ", done, "/", total, " images"));
    };
  }
  Embedder embedder = session->MakeEmbedder();
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::vector<AddedClass> added,
      protopage::AddClasses(fs, store_, embedder, session->net()->embedding_dim(), **source,
                            options));
  if (StderrIsTerminal()) DrawProgress("");
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  TextTable table({"class", "id", "images"});
  for (const AddedClass& c : added) {
    json.push_back({{"name", c.name}, {"id", c.id}, {"images", c.images}});
    table.AddRow({c.name, absl::StrCat(c.id), absl::StrCat(c.images)});
  }
  std::cout << (json_ ? DumpJson(json) : table.ToString()) << std::flush;
  return absl::OkStatus();
}

absl::Status ProtopageCommands::DropClasses() {
  const auto ids = ParseClassIds(classes_);
  if (!ids.ok()) return WithContext(ids.status(), "--classes");
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassCounts counts,
                             protopage::DropClasses(DefaultFileSystem(), store_, *ids));
  LogInfo(ClassesLeft(counts, store_));
  return absl::OkStatus();
}

absl::Status ProtopageCommands::MergeClasses() {
  const auto from = ParseClassIds(from_);
  if (!from.ok()) return WithContext(from.status(), "--from");
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassCounts counts,
                             protopage::MergeClasses(DefaultFileSystem(), store_, into_, *from));
  LogInfo(ClassesLeft(counts, store_));
  return absl::OkStatus();
}

int RunJob(const Job& job, const std::vector<std::string>& arguments) {
  TrainFlags flags;
  std::string preset = "default";
  std::string data_dir;
  std::vector<std::string> preset_names;
  for (const auto& named : job.presets) preset_names.push_back(named.first);

  CommandProgram program;
  program.name = job.name;
  program.summary = job.summary;
  program.version = VersionText();
  CommandVerb verb;
  verb.flags = {{.name = "preset",
                 .value = &preset,
                 .help = "the config to start from",
                 .value_name = "NAME",
                 .choices = preset_names}};
  if (job.needs_data_dir) {
    verb.flags.push_back({.name = "data_dir",
                          .value = &data_dir,
                          .help = "the folder that holds the data's official files",
                          .value_name = "DIR",
                          .required = true,
                          .is_path = true});
  }
  Append(verb.flags, flags.Flags());
  verb.run = [&] {
    absl::string_view text;
    for (const auto& named : job.presets) {
      if (named.first == preset) text = named.second;
    }
    if (!data_dir.empty()) {
      // First, so that the user's own --set wins.
      flags.set.insert(flags.set.begin(),
                       absl::StrCat("data.data_dir=", nlohmann::json(data_dir).dump()));
    }
    return RunTrain(std::string(text), absl::StrCat("preset ", preset), job.name, flags,
                    [&](const TrainResult& result) {
                      return absl::StrCat(FormatTrainResult(result),
                                          job.print ? job.print(result) : "");
                    });
  };
  program.verbs = {verb};
  return RunCommandLine(program, arguments);
}

}  // namespace protopage
