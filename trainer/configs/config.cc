#include "protopage/trainer/configs/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "protopage/base/check.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/trainer/configs/stage_specs.h"

namespace protopage {

void PrototypesConfig::Fields(ConfigVisitor& v) {
  v.Integer("cache_bytes", &cache_bytes,
            {.help = "Memory for cached rows and their state, in bytes. Never changes a result.",
             .min = 1 << 20,
             .max = 1e15,
             .safe_to_change = true});
  v.Integer("index_bytes", &index_bytes,
            {.help = "Memory for the class index, in bytes.", .min = 1 << 20, .max = 1e15});
  v.Text(
      "index", &index,
      {.help = "How the index keeps rows: flat (exact), or in lists as 8-bit integers (ivf_sq8) or "
               "product-quantized (ivf_pq); auto takes the first that fits in index_bytes, flat "
               "only up to 65536 classes.",
       .choices = {"auto", "flat", "ivf_sq8", "ivf_pq"}});
  v.Integer("index_lists", &index_lists,
            {.help = "Lists of an ivf index; 0 is 4 sqrt(classes).", .min = 0, .max = 1e10});
  v.Integer(
      "index_probes", &index_probes,
      {.help = "Lists that a search scans; 0 takes as many as hold .98 of the nearest classes "
               "of sampled ones when the index is built.",
       .min = 0,
       .max = 1e10});
  v.Number(
      "index_candidates", &index_candidates,
      {.help =
           "Rows that a search reads to score them again, for each neighbour asked for; up to 1, "
           "none are read. 0 is 1 for ivf_sq8, 2.5 to 4 for ivf_pq.",
       .min = 0,
       .max = 1000});
  v.Text("dtype", &dtype,
         {.help = "How rows are stored. float16 takes half the room and rounds each row when it is "
                  "updated: what changes an element by less than 1/4096 of itself is lost.",
          .choices = {"float32", "float16"}});
  v.Text(
      "row_state", &row_state,
      {.help = "What the row optimizer keeps for each class.", .choices = {"momentum", "adagrad"}});
  v.Text("init_from", &init_from,
         {.help =
              "New prototypes start as a copy of this store by itself (protopage export, protopage "
              "classes), dropped classes and all. It has the classes of the images, and "
              "embedding_dim, dtype and row_state as here; \"\" starts at random.",
          .is_path = true});
  v.Integer(
      "index_update_steps", &index_update_steps,
      {.help = "The index learns of trained rows every so many steps, and when an epoch ends.",
       .min = 1,
       .max = 1e15});
  v.Number("reencode_below", &reencode_below,
           {.help = "A row whose cosine to its copy in the index is below this is copied anew.",
            .min = -1,
            .max = 1.1});
}

namespace {

// "What the stage does: source trains ...; imprint writes ..."
std::string StageNamesHelp() {
  std::vector<std::string> kinds;
  for (const StageSpec& spec : StageSpecs())
    kinds.push_back(absl::StrCat(spec.name, " ", spec.help));
  return absl::StrCat("What the stage does: ", absl::StrJoin(kinds, "; "), ".");
}

}  // namespace

namespace {

const StageSpec& SpecOf(const StageConfig& stage) {
  const StageSpec* spec = FindStageSpec(stage.name);
  PROTOPAGE_CHECK(spec != nullptr);
  return *spec;
}

// The images of evaluations of the classifier.
Split TestSplit(const StageSpec* classifier_maker) {
  const bool of_head =
      classifier_maker != nullptr && classifier_maker->makes == ClassifierKind::kHead;
  return of_head ? Split::kSourceTest : Split::kTargetTest;
}

}  // namespace

const StageSpec* ClassifierMaker(const TrainConfig& config, int64_t stage) {
  for (int64_t i = stage - 1; i >= 0; --i) {
    const StageSpec& spec = SpecOf(config.stages[i]);
    if (spec.makes.has_value()) return &spec;
  }
  return nullptr;
}

Split StageSplit(const TrainConfig& config, int64_t stage) {
  const StageSpec& spec = SpecOf(config.stages[stage]);
  const Split own =
      spec.split.has_value() ? *spec.split : TestSplit(ClassifierMaker(config, stage));
  return ParseSplitOr(config.stages[stage].split, own).value();
}

bool StageConfig::trains() const {
  const StageSpec* spec = FindStageSpec(name);
  return spec != nullptr && spec->trains;
}

void StageConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name, {.help = StageNamesHelp(), .choices = StageNames()});
  v.Text("split", &split,
         {.help = "The images: source_train, target_train, target_validation, ...; \"\" is the "
                  "stage's own."});
  v.Number("epochs", &epochs,
           {.help = "Length of a training stage in epochs.", .min = 0, .max = 1e15});
  v.Integer("steps", &steps,
            {.help = "Length of a training stage in steps.", .min = 0, .max = 1e15});
  v.Integer("batch_size", &batch_size, {.help = "Images a step.", .min = 1, .max = 65536});
  v.Text("domain", &domain,
         {.help = "Imprint from images of this domain only (\"id\"); \"\" takes all."});
  v.Flag("augment", &augment, {.help = "Change training images at random, as data.augment says."});
  v.Flag("train_net", &train_net, {.help = "False trains the prototypes only."});
  v.Number("dropout", &dropout,
           {.help = "Dropout of the stage; -1 is model.dropout.", .min = -1, .max = 0.99});
  v.Number("margin", &margin,
           {.help = "Margin of the stage; -1 is loss.margin.", .min = -1, .max = 2});
  v.Object("optimizer", &optimizer, "the optimizer of the net (and of a source stage's head)");
  v.Object("rows", &rows, "the optimizer of the prototypes");
  v.Object("schedule", &schedule, "what both learning rates are multiplied with");
}

void TrainConfig::Fields(ConfigVisitor& v) {
  v.Integer("seed", &seed, {.help = "All random numbers of the run follow from it.", .min = 0});
  v.Text("device", &device,
         {.help = "Where the net runs: auto takes a GPU when the machine has one and the program "
                  "was built with --config=cuda, else the CPU.",
          .choices = {"auto", "cpu", "cuda"}});
  v.Text(
      "precision", &precision,
      {.help = "On a GPU: how products of matrices and convolutions take their inputs, and for "
               "bf16 and fp16 also how feature maps are kept; sums, weights, embeddings and rows "
               "are float32. tf32 has 10 bits of fraction, bf16 7, and fp16 10 with a small "
               "range, for which the loss is scaled.",
       .choices = {"float32", "tf32", "bf16", "fp16"}});
  v.Text("init_from", &init_from,
         {.help = "The net starts from these weights: a run's directory (its newest checkpoint), a "
                  "checkpoint of it (RUN/checkpoints/NUMBER), or a model.h5; \"\" starts at "
                  "random.",
          .is_path = true});
  v.Integer("threads", &threads,
            {.help = "Compute threads; 0 is one a processor. Never changes a result.",
             .min = 0,
             .max = 1024,
             .safe_to_change = true});
  v.Integer(
      "loader_threads", &loader_threads,
      {.help = "Threads that read, decode and augment images; 0 is one when the CPU trains, and "
               "half of the processors, at most 8, when a GPU trains. Never changes a result.",
       .min = 0,
       .max = 1024,
       .safe_to_change = true});
  v.Integer("log_every_steps", &log_every_steps,
            {.help = "Steps between lines of metrics.jsonl.",
             .min = 1,
             .max = 1e15,
             .safe_to_change = true});
  v.Integer(
      "checkpoint_every_steps", &checkpoint_every_steps,
      {.help =
           "Steps between checkpoints, in addition to those at the end of every epoch and stage; "
           "0: none.",
       .min = 0,
       .max = 1e15,
       .safe_to_change = true});
  v.Number("checkpoint_every_minutes", &checkpoint_every_minutes,
           {.help = "The same in minutes.", .min = 0, .max = 1e9, .safe_to_change = true});
  v.Integer("keep_checkpoints", &keep_checkpoints,
            {.help = "The newest checkpoints that are kept.",
             .min = 1,
             .max = 1e6,
             .safe_to_change = true});
  v.Integer(
      "max_bad_steps", &max_bad_steps,
      {.help = "Steps in a row whose loss or gradients are not finite before the run returns to "
               "its last checkpoint with a tenth of the learning rates; the second time it stops.",
       .min = 1,
       .max = 1e15});
  v.Object("data", &data, "the images");
  v.Object("model", &model, "the network");
  v.Object("loss", &loss, "the margin softmax");
  v.Object("prototypes", &prototypes, "the table of class prototypes");
  v.Object("selection", &selection, "which classes take part in a step of a dominant stage");
  v.ObjectList("stages", &stages, "what the run does, in order");
}

namespace {

// Rejects a key that is set and that the stage does not read: it was meant for another stage.
absl::Status CheckKeys(StageConfig& stage, const StageSpec& spec, const std::string& path) {
  StageConfig defaults;
  const nlohmann::ordered_json unset = WriteConfig(defaults).flatten();
  const nlohmann::ordered_json found = WriteConfig(stage).flatten();
  for (const auto& [pointer, value] : found.items()) {
    const std::string key = pointer.substr(1, pointer.find('/', 1) - 1);
    // A list that is empty by default has no elements there.
    const auto by_default = unset.find(pointer);
    const bool is_set = by_default == unset.end() || *by_default != value;
    if (!is_set || std::count(spec.keys.begin(), spec.keys.end(), key) > 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, absl::StrReplaceAll(pointer, {{"/", "."}}), ": found ",
                     ShortText(value.dump()), ", but ", key, " is not an option of stage \"",
                     spec.name, "\"; its options are: ", absl::StrJoin(spec.keys, ", ")));
  }
  return absl::OkStatus();
}

// `path` is the stage's, "stages[0]"; `has_classifier`: a stage before it has made one.
absl::Status CheckStage(StageConfig& stage, const std::string& path, bool has_classifier,
                        const PrototypesConfig& prototypes) {
  const StageSpec* spec = FindStageSpec(stage.name);
  if (spec == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".name: found \"", stage.name,
                                                   "\", expected one of ",
                                                   absl::StrJoin(StageNames(), ", ")));
  }
  if (spec->trains && (stage.epochs > 0) == (stage.steps > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " (", stage.name, "): found epochs ",
                                                   stage.epochs, " and steps ", stage.steps,
                                                   ", expected one of them above 0"));
  }
  PROTOPAGE_RETURN_IF_ERROR(CheckKeys(stage, *spec, path));
  if (!stage.split.empty()) {
    PROTOPAGE_RETURN_IF_ERROR(
        WithContext(ParseSplit(stage.split).status(), absl::StrCat(path, ".split")));
  }
  if (spec->trains_prototypes() && stage.rows.name != prototypes.row_state) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".rows.name: found \"", stage.rows.name,
                                                   "\", expected the prototypes.row_state \"",
                                                   prototypes.row_state, "\""));
  }
  if (spec->needs_classifier && !has_classifier) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": there is nothing to ", stage.name,
                                                   " before a stage that trains or imprints"));
  }
  return absl::OkStatus();
}

}  // namespace

namespace {

// Gives the stage's keys that stand for another key's value that value.
void ResolveStage(int64_t index, TrainConfig* config) {
  StageConfig& stage = config->stages[index];
  const std::vector<std::string>& keys = SpecOf(stage).keys;
  const auto reads = [&keys](const char* key) {
    return std::count(keys.begin(), keys.end(), key) > 0;
  };
  if (reads("split")) stage.split = SplitName(StageSplit(*config, index));
  if (reads("dropout") && stage.dropout < 0) stage.dropout = config->model.dropout;
  if (reads("margin") && stage.margin < 0) stage.margin = config->loss.margin;
}

}  // namespace

absl::Status ValidateConfig(TrainConfig* config) {
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ResolveLossConfig(&config->loss), "loss"));
  if (config->stages.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("stages: found none, expected at least one of ",
                                                   absl::StrJoin(StageNames(), ", ")));
  }
  if (config->data.channels == 2) {
    return absl::InvalidArgumentError("data.channels: found 2, expected 0, 1 or 3");
  }
  bool has_classifier = false;
  for (size_t i = 0; i < config->stages.size(); ++i) {
    StageConfig& stage = config->stages[i];
    PROTOPAGE_RETURN_IF_ERROR(
        CheckStage(stage, absl::StrCat("stages[", i, "]"), has_classifier, config->prototypes));
    has_classifier = has_classifier || FindStageSpec(stage.name)->makes.has_value();
    ResolveStage(static_cast<int64_t>(i), config);
  }
  config->data.augment = AugmentFor(config->data);
  config->data.channels = ChannelsFor(config->data);
  return absl::OkStatus();
}

absl::StatusOr<TrainConfig> ReadTrainConfig(nlohmann::json json,
                                            const std::vector<std::string>& set,
                                            absl::string_view source) {
  for (const std::string& assignment : set) {
    PROTOPAGE_RETURN_IF_ERROR(SetJsonValue(assignment, json));
  }
  TrainConfig config;
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ReadConfig(json, "", config), source));
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ValidateConfig(&config), source));
  return config;
}

}  // namespace protopage
