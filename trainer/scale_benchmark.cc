// The cost of a training step by the number of classes N: tables of 1e3 to 1e7 real rows with
// momentum on disk, or larger tables of rows that were never written, trained by the trainer's own
// dominant stage.
//
//   ./bazelw run -c opt //trainer:scale_benchmark -- --directory=DIR
//   ... --classes=1000 --classes=10000000 --sparse=100000000 --rounds=5 --steps=64
//
// B 256, K 256, 85 positive classes a step (a third, as by default) by Zipf's law, D 512, seed_cnn
// on computed 32 x 32 images; --set changes the config. The index's budget is 560 bytes per class,
// but at least its default. Rows are families of near ones (prototypes/testing/mixture_rows.h).
// Each table is made once, with its index and a checkpoint (4.1 KB per class on disk: 41 GB for
// 1e7). Later calls use it again when it is in DIR and the config is the same. A table of --sparse
// has no rows and no index; its classes are drawn at random.
//
// Each round restores each table in turn from its checkpoint, in a process of its own, continues at
// other steps than the rounds before, and takes medians over --steps steps after --warmup; the
// table shows medians over rounds. Columns: start, the time until the first step begins; the first
// step, which plans ahead; step, and its ratio to that of the first table; the time of a step spent
// waiting for rows, plans and images; CPU time of all threads per step; rows read from disk per
// step, and the cache's hit rate; rows that searches fetched and that the index encoded per step;
// index, the share of a step's time in which the planner's thread updates it; resident memory; the
// index's memory; bytes on disk; the time that a checkpoint of rows, queues and index stalls
// training.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/prototypes/testing/mixture_rows.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/open_stages.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/verbs/command_line.h"

namespace protopage {
namespace {

constexpr char kConfig[] = R"({
  "data": {"type": "synthetic", "image_size": 32},
  "selection": {"mode": "dominant", "classes_per_step": 256, "positive_classes": 85,
                "class_order": "power_law", "images_for": "positives"},
  "stages": [{"name": "dominant", "steps": 1000000, "batch_size": 256}]
})";
// The index's budget, but at least the default: 8-bit codes of 512 dimensions.
constexpr int64_t kIndexBytesPerClass = 560;
constexpr char kPrepared[] = "prepared.json";  // Holds the config; written last.
constexpr char kCheckpoint[] = "checkpoint";

struct Table {
  int64_t classes = 0;
  bool sparse = false;
  std::string directory;
  TrainConfig config;
};

using Figures = std::map<std::string, double>;

// The peak resident memory of this process, in MiB.
double ResidentMib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return static_cast<double>(kib) / 1024;
  }
  return 0;
}

// Bytes on the device of all files in `directory`.
double DiskGib(const std::string& directory) {
  double bytes = 0;
  const auto names = DefaultFileSystem()->List(directory);
  if (!names.ok()) return 0;
  for (const std::string& name : *names) {
    struct stat info;
    const std::string path = JoinPath(directory, name);
    if (stat(path.c_str(), &info) != 0) continue;
    bytes += S_ISDIR(info.st_mode) ? DiskGib(path) * (1 << 30)
                                   : 512 * static_cast<double>(info.st_blocks);
  }
  return bytes / (1 << 30);
}

absl::StatusOr<TrainConfig> MakeConfig(int64_t classes, bool sparse,
                                       const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(kConfig, "scale_benchmark"));
  json["data"]["synthetic"]["target_classes"] = classes;
  json["prototypes"]["index_bytes"] =
      std::max(PrototypesConfig().index_bytes, kIndexBytesPerClass * classes);
  if (sparse) json["selection"]["mode"] = "random";
  for (const std::string& assignment : set)
    PROTOPAGE_RETURN_IF_ERROR(SetJsonValue(assignment, json));
  TrainConfig config;
  PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "", config));
  PROTOPAGE_RETURN_IF_ERROR(ValidateConfig(&config));
  return config;
}

// Makes rows, momentum, index and a checkpoint, as if every class had been trained once.
absl::Status Prepare(Table table) {
  FileSystem* fs = DefaultFileSystem();
  const std::string done = JoinPath(table.directory, kPrepared);
  const std::string text = WriteConfig(table.config).dump();
  if (fs->Exists(done)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string before, ReadFile(fs, done));
    if (before == text) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(table.directory, " holds a table of another config; remove it"));
  }
  const Stopwatch stopwatch;
  PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(JoinPath(table.directory, kCheckpoint)));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session, Session::Create(table.config));
  const int64_t dim = session->net()->embedding_dim();
  PROTOPAGE_ASSIGN_OR_RETURN(auto set,
                             PrototypeSet::Create(table.directory, table.classes, dim,
                                                  session->prototype_options(), &session->pool()));
  constexpr int64_t kBlock = 4096;
  const MixtureRows mixture(table.sparse ? 1 : table.classes, dim, 1);
  const auto for_each_block =
      [&](const char* what,
          absl::FunctionRef<absl::Status(const std::vector<ClassId>&, RowMatrixXf&)> body) {
        RowMatrixXf rows;
        std::vector<ClassId> ids;
        for (ClassId first = 0; first < table.classes; first += kBlock) {
          ids.clear();
          for (ClassId id = first; id < std::min(first + kBlock, table.classes); ++id) {
            ids.push_back(id);
          }
          rows.resize(ids.size(), dim);
          mixture.Read(first, rows);
          PROTOPAGE_RETURN_IF_ERROR(body(ids, rows));
          if (first % (kBlock * 64) == 0 && StderrIsTerminal()) {
            DrawProgress(absl::StrCat(what, " ", first, " of ", table.classes));
          }
        }
        return absl::OkStatus();
      };
  if (!table.sparse) {
    PROTOPAGE_RETURN_IF_ERROR(
        for_each_block("rows", [&](const std::vector<ClassId>& ids, RowMatrixXf& rows) {
          return set->store().WriteRange(ids[0], rows);
        }));
    LogInfo(absl::StrFormat("%d rows written after %.0f s", table.classes, stopwatch.Seconds()));
  }
  PROTOPAGE_RETURN_IF_ERROR(set->BeginStage());
  LogInfo(absl::StrFormat("%d classes: index after %.0f s", table.classes, stopwatch.Seconds()));
  if (!table.sparse) {
    StepRows step;
    PROTOPAGE_RETURN_IF_ERROR(
        for_each_block("momentum", [&](const std::vector<ClassId>& ids, RowMatrixXf& rows) {
          // Any vector will do: the first step projects it on the tangent space.
          step.state = 0.01f * rows.rowwise().reverse();
          step.rows.swap(rows);
          return set->store().ScatterStep(ids, step, 0);
        }));
  }
  PROTOPAGE_RETURN_IF_ERROR(set->SaveCheckpoint(JoinPath(table.directory, kCheckpoint)));
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, done, text));
  LogInfo(absl::StrFormat("%d classes: prepared in %.0f s", table.classes, stopwatch.Seconds()));
  return absl::OkStatus();
}

absl::StatusOr<Figures> Measure(const Table& table, int64_t round, int64_t warmup, int64_t steps) {
  Figures figures;
  // Each round has steps of its own, so that their rows are not in the page cache from the last
  // round.
  const int64_t first_step = 1 + round * (warmup + steps);
  const Stopwatch starting;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session, Session::Create(table.config));
  PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, 0));
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto restored, PrototypeSet::Restore(table.directory, JoinPath(table.directory, kCheckpoint),
                                           session->prototype_options(), &session->pool()));
  session->set_prototypes(std::move(restored));
  PrototypeSet* set = session->prototypes();
  PROTOPAGE_ASSIGN_OR_RETURN(
      const auto trainer,
      NewDominantTrainer(session.get(), 0, first_step, table.directory, /*resumed=*/true));
  figures["start"] = starting.Seconds();

  StageTotals totals;
  ClassIndexStats index;
  double cpu = 0;
  std::vector<double> times;
  Stopwatch measured;
  for (int64_t s = 0; s < warmup + steps; ++s) {
    if (s == warmup) {
      totals = trainer->totals();
      index = set->index_stats();
      cpu = CpuSeconds();
      measured = Stopwatch();
    }
    const Stopwatch step;
    PROTOPAGE_ASSIGN_OR_RETURN(const StepOutcome outcome,
                               trainer->Step({first_step + s, s, warmup + steps}, 1));
    if (outcome.skipped) return absl::InternalError("a step was not finite");
    if (s == 0) figures["first step"] = step.Seconds();
    if (s >= warmup) times.push_back(step.Seconds() * 1e3);
  }
  PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
  const double n = static_cast<double>(steps);
  const double mean = measured.Seconds() * 1e3 / n;
  const StageTotals end = trainer->totals();
  const ClassIndexStats index_end = set->index_stats();
  figures["step"] = Median(times);
  figures["mean"] = mean;
  figures["wait rows"] = (end.wait_rows_seconds - totals.wait_rows_seconds) * 1e3 / n;
  figures["wait plan"] = (end.wait_plan_seconds - totals.wait_plan_seconds) * 1e3 / n;
  figures["wait images"] = (end.wait_images_seconds - totals.wait_images_seconds) * 1e3 / n;
  figures["cpu"] = (CpuSeconds() - cpu) * 1e3 / n;
  figures["rows"] = static_cast<double>(end.rows_paged - totals.rows_paged) / n;
  figures["hits"] = static_cast<double>(end.row_hits - totals.row_hits) /
                    static_cast<double>(std::max<int64_t>(1, end.row_lookups - totals.row_lookups));
  figures["fetched"] = static_cast<double>(index_end.rows_fetched - index.rows_fetched) / n;
  figures["encoded"] = static_cast<double>(index_end.rows_reencoded - index.rows_reencoded) / n;
  figures["index share"] = (end.index_seconds - totals.index_seconds) * 1e3 / n / mean;
  figures["index mib"] = static_cast<double>(index_end.bytes) / (1 << 20);

  // An empty folder, as for a run's checkpoint.
  const std::string folder = JoinPath(table.directory, "stall");
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(folder));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> left, fs->List(folder));
  for (const std::string& name : left)
    PROTOPAGE_RETURN_IF_ERROR(fs->Remove(JoinPath(folder, name)));
  const Stopwatch saving;
  PROTOPAGE_RETURN_IF_ERROR(set->SaveCheckpoint(folder));
  figures["checkpoint"] = saving.Seconds() * 1e3;
  figures["resident"] = ResidentMib();
  figures["disk"] = DiskGib(table.directory);
  return figures;
}

// Returns what `body` returns, which runs in a process of its own.
absl::StatusOr<Figures> InProcess(absl::FunctionRef<absl::StatusOr<Figures>()> body) {
  int pipes[2];
  if (pipe(pipes) != 0) return absl::InternalError("pipe");
  const pid_t child = fork();
  if (child < 0) return absl::InternalError("fork");
  if (child == 0) {
    close(pipes[0]);
    const absl::StatusOr<Figures> figures = body();
    const std::string text =
        figures.ok() ? nlohmann::json(*figures).dump() : std::string(figures.status().ToString());
    const bool written = write(pipes[1], text.data(), text.size()) >= 0;
    _exit(written && figures.ok() ? 0 : 1);
  }
  close(pipes[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(pipes[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, got);
  close(pipes[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0)
    return absl::InternalError(absl::StrCat("process ended with ", status, ": ", text));
  return nlohmann::json::parse(text).get<Figures>();
}

struct Flags {
  std::string directory;
  std::vector<std::string> classes;
  std::vector<std::string> sparse;
  std::vector<std::string> set;
  int64_t rounds = 5;
  int64_t warmup = 8;
  int64_t steps = 64;  // One update of the index, with its default.
};

absl::Status Run(const Flags& flags) {
  std::vector<Table> tables;
  const auto add = [&](const std::vector<std::string>& counts, bool sparse) -> absl::Status {
    for (const std::string& count : counts) {
      Table table;
      table.sparse = sparse;
      if (!absl::SimpleAtoi(count, &table.classes) || table.classes < 256) {
        return absl::InvalidArgumentError(
            absl::StrCat("found ", count, " classes, expected a number of 256 or more"));
      }
      PROTOPAGE_ASSIGN_OR_RETURN(table.config, MakeConfig(table.classes, sparse, flags.set));
      table.directory =
          JoinPath(flags.directory, absl::StrCat(sparse ? "sparse-" : "classes-", table.classes));
      tables.push_back(std::move(table));
    }
    return absl::OkStatus();
  };
  PROTOPAGE_RETURN_IF_ERROR(add(flags.classes, false));
  PROTOPAGE_RETURN_IF_ERROR(add(flags.sparse, true));
  if (tables.empty()) PROTOPAGE_RETURN_IF_ERROR(add({"1000", "100000", "1000000"}, false));
  for (const Table& table : tables) {
    PROTOPAGE_RETURN_IF_ERROR(InProcess([&]() -> absl::StatusOr<Figures> {
                                PROTOPAGE_RETURN_IF_ERROR(Prepare(table));
                                return Figures();
                              }).status());
  }

  std::vector<std::map<std::string, std::vector<double>>> figures(tables.size());
  for (int64_t round = 0; round < flags.rounds; ++round) {
    for (size_t i = 0; i < tables.size(); ++i) {
      PROTOPAGE_ASSIGN_OR_RETURN(const Figures now, InProcess([&] {
                                   return Measure(tables[i], round, flags.warmup, flags.steps);
                                 }));
      for (const auto& [name, value] : now) figures[i][name].push_back(value);
      LogInfo(absl::StrFormat("round %d of %d, %d classes: step %.0f ms", round + 1, flags.rounds,
                              tables[i].classes, now.at("step")));
    }
  }

  const TrainConfig& config = tables[0].config;
  std::printf(
      "dominant stage, %s, %d dimensions, batch %d, %d of N classes a step, %d positive (%s), "
      "threads "
      "%d, cache %d MiB; ms but for start and first step, which are s; medians of %d rounds of %d "
      "steps\n",
      config.model.net.c_str(), static_cast<int>(config.model.embedding_dim),
      static_cast<int>(config.stages[0].batch_size),
      static_cast<int>(config.selection.classes_per_step),
      static_cast<int>(config.selection.positive_classes), config.selection.class_order.c_str(),
      static_cast<int>(config.threads), static_cast<int>(config.prototypes.cache_bytes >> 20),
      static_cast<int>(flags.rounds), static_cast<int>(flags.steps));
  std::printf("%11s %6s %6s %7s %6s %6s %6s %6s %7s %6s %5s %7s %7s %6s %8s %7s %7s %7s\n",
              "classes", "start", "first", "step", "ratio", "rows", "plan", "images", "cpu", "read",
              "hits", "fetched", "encoded", "index", "resident", "i. MiB", "disk G", "ckpt");
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto m = [&](const char* name) { return Median(figures[i][name]); };
    std::vector<double> ratios;
    for (int64_t round = 0; round < flags.rounds; ++round) {
      ratios.push_back(figures[i]["step"][round] / figures[0]["step"][round]);
    }
    std::printf(
        "%10lld%s %6.2f %6.2f %7.1f %6.3f %6.2f %6.2f %6.2f %7.0f %6.0f %5.2f %7.0f %7.1f %5.1f%% "
        "%8.0f %7.0f %7.2f %7.0f\n",
        static_cast<long long>(tables[i].classes), tables[i].sparse ? "s" : " ", m("start"),
        m("first step"), m("step"), Median(ratios), m("wait rows"), m("wait plan"),
        m("wait images"), m("cpu"), m("rows"), m("hits"), m("fetched"), m("encoded"),
        100 * m("index share"), m("resident"), m("index mib"), m("disk"), m("checkpoint"));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CommandVerb verb;
  verb.flags = {
      {.name = "directory",
       .value = &flags.directory,
       .help = "where the tables are made and kept",
       .required = true,
       .is_path = true},
      {.name = "classes",
       .value = &flags.classes,
       .help = "a table of so many real rows; default 1000, 100000 and 1000000",
       .value_name = "N"},
      {.name = "sparse",
       .value = &flags.sparse,
       .help = "a table of so many classes without rows",
       .value_name = "N"},
      {.name = "set", .value = &flags.set, .help = "changes the config", .value_name = "KEY=VALUE"},
      {.name = "rounds", .value = &flags.rounds, .help = "rounds"},
      {.name = "warmup", .value = &flags.warmup, .help = "steps before the measured ones"},
      {.name = "steps", .value = &flags.steps, .help = "measured steps of a round"}};
  verb.run = [&flags] { return Run(flags); };
  const CommandProgram program = {.name = "scale_benchmark",
                                  .summary = "How training scales with the number of classes.",
                                  .verbs = {verb}};
  return RunCommandLine(program, {argv + 1, argv + argc});
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) { return protopage::Main(argc, argv); }
