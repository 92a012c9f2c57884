// Measures the class index at N classes of 512 dimensions: the time to build it, to search 256
// queries for their 50 nearest classes, and to re-encode 256 rows that moved; its recall, with and
// without scoring the candidates again by the rows; and its memory. For comparison it measures a
// scan of all rows by a matrix product.
//
//   ./bazelw run -c opt //prototypes:class_index_benchmark -- --classes=100000,1000000
//       [--kinds=flat,auto,ivf_sq8,ivf_pq] [--index_bytes=268435456] [--rounds=5] [--threads=0]
//       [--directory=DIR] [--store=FILE]
//
// The rows are those of prototypes/testing/mixture_rows.h (clustered: uniform random vectors have
// no meaningful neighbours), or those of a store. Mixture rows are first written to a store in DIR
// (by default the current folder), because candidates are read from one as FindNeighbors reads
// them, without caching rows; the kernel's page cache holds them as far as memory allows. Kind
// "auto" is what the default options give with index_bytes; the other kinds may take as much as
// they need. The queries are the rows of 256 random classes. The kinds take turns; the table shows
// medians over the rounds. Recall is that of 128 other classes, against a scan of all rows. Times
// are wall-clock times, followed by CPU times of all threads in brackets, for machines with other
// load. "scan" is the product of the 256 queries with all rows, in blocks that are in memory
// already: the least that a search without an index costs. "decoded" is a search that scores
// candidates by their codes only.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/neighbor_search.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 512, kQueries = 256, kRecallClasses = 128, kNeighbors = 50;

[[noreturn]] void Die(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Die(status);
}

template <typename T>
T Value(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status());
  return *std::move(value);
}

struct Flags {
  std::vector<int64_t> classes = {100000, 1000000};
  std::vector<std::string> kinds = {"auto", "ivf_sq8"};
  int64_t index_bytes = ClassIndexOptions().index_bytes;
  int64_t rounds = 5;
  int64_t threads = 0;
  std::string directory = ".";
  std::string store;
};

std::unique_ptr<PrototypeStore> MixtureStore(const std::string& path, int64_t classes) {
  PrototypeStoreSpec spec;
  spec.num_classes = classes;
  spec.dim = kDim;
  spec.row_state = RowState::kNone;
  unlink(path.c_str());
  auto store = Value(PrototypeStore::Create(path, spec, {}));
  const MixtureRows mixture(classes, kDim, 1);
  RowMatrixXf rows(4096, kDim);
  for (int64_t first = 0; first < classes; first += rows.rows()) {
    const int64_t count = std::min<int64_t>(rows.rows(), classes - first);
    mixture.Read(first, rows.topRows(count));
    Check(store->WriteRange(first, rows.topRows(count)));
  }
  Check(store->Flush());
  return store;
}

struct Kind {
  std::string name;
  std::unique_ptr<ClassIndex> index;
  double build_seconds = 0, build_cpu = 0, save_seconds = 0, load_seconds = 0;
  double recall20 = 0, recall50 = 0, decoded50 = 0;
  std::map<std::string, std::vector<double>> ms, cpu_ms;
};

void Run(const Flags& flags, int64_t classes) {
  ThreadPool pool(static_cast<int>(flags.threads));
  const std::string path = JoinPath(flags.directory, absl::StrCat("class_index_", classes, ".h5"));
  const bool given = !flags.store.empty();
  std::unique_ptr<PrototypeStore> store;
  if (given) {
    PrototypeStoreOptions options;
    options.read_only = true;
    store = Value(PrototypeStore::Open(flags.store, options));
    classes = store->num_classes();
  } else {
    store = MixtureStore(path, classes);
  }
  const int64_t dim = store->dim();
  const auto reader = [&](ClassId first, RowMatrixRef rows) {
    return store->ReadRange(first, rows);
  };
  const RowFetcher fetch = UncachedRows(store.get());

  // The queries to time, and others to measure the recall with.
  RandomStream random(1, RandomPurpose::kTest, 1);
  const int64_t num_queries = std::min(kQueries, classes / 2);
  const int64_t num_recall = std::min(kRecallClasses, classes / 2);
  std::vector<ClassId> drawn = SampleWithoutReplacement(random, classes, num_queries + num_recall);
  std::vector<ClassId> ids(drawn.begin(), drawn.begin() + num_queries);
  std::vector<ClassId> recall_ids(drawn.begin() + num_queries, drawn.end());
  std::sort(ids.begin(), ids.end());
  std::sort(recall_ids.begin(), recall_ids.end());
  RowMatrixXf queries(ids.size(), dim), recall_queries(recall_ids.size(), dim);
  Check(fetch(ids, queries));
  Check(fetch(recall_ids, recall_queries));
  ExactNeighbors exact(recall_queries, kNeighbors, recall_ids);
  RowMatrixXf rows(4096, dim);
  for (int64_t first = 0; first < classes; first += rows.rows()) {
    const int64_t count = std::min<int64_t>(rows.rows(), classes - first);
    Check(reader(first, rows.topRows(count)));
    exact.Add(first, rows.topRows(count), &pool);
  }
  exact.Finish();

  std::printf("\n%lld classes, dim %lld, %s, %d threads, index_bytes %lld\n",
              static_cast<long long>(classes), static_cast<long long>(dim),
              given ? flags.store.c_str() : "mixture rows", pool.num_threads(),
              static_cast<long long>(flags.index_bytes));
  std::vector<Kind> kinds;
  NearestClasses nearest;
  const std::string file = JoinPath(flags.directory, absl::StrCat("class_index_", classes, ".idx"));
  for (const std::string& name : flags.kinds) {
    ClassIndexOptions options;
    options.kind = name;
    options.reencode_below = 2;  // Update re-encodes all rows that it gets.
    options.index_bytes = name == "auto" ? flags.index_bytes : int64_t{1} << 40;
    Kind kind;
    kind.name = name;
    Stopwatch building;
    const double cpu = CpuSeconds();
    kind.index = Value(BuildClassIndex(classes, dim, options, &pool, reader));
    kind.build_seconds = building.Seconds();
    kind.build_cpu = CpuSeconds() - cpu;
    const Stopwatch saving;
    Check(kind.index->Save(DefaultFileSystem(), file));
    kind.save_seconds = saving.Seconds();
    kind.index.reset();
    const Stopwatch loading;
    kind.index = Value(LoadClassIndex(DefaultFileSystem(), file, options));
    kind.load_seconds = loading.Seconds();
    unlink(file.c_str());
    Check(kind.index->Search(recall_queries, 20, recall_ids, fetch, &pool, &nearest));
    kind.recall20 = RecallOf(exact, 20, nearest.ids);
    Check(kind.index->Search(recall_queries, kNeighbors, recall_ids, fetch, &pool, &nearest));
    kind.recall50 = RecallOf(exact, kNeighbors, nearest.ids);
    Check(kind.index->Search(recall_queries, kNeighbors, recall_ids, &pool, &nearest));
    kind.decoded50 = RecallOf(exact, kNeighbors, nearest.ids);
    kinds.push_back(std::move(kind));
    std::fprintf(stderr, "%s built in %.1f s\n", name.c_str(), kinds.back().build_seconds);
  }

  std::vector<double> scan;
  const int64_t scan_rows = std::min<int64_t>(rows.rows(), classes);
  for (int64_t round = 0; round < flags.rounds; ++round) {
    // The product of all queries with one block, as many times as there are blocks.
    {
      RowMatrixXf scores(num_queries, scan_rows);
      const int64_t blocks = std::min<int64_t>(64, (classes + scan_rows - 1) / scan_rows);
      const Stopwatch stopwatch;
      pool.ParallelFor(blocks, [&](int64_t) {
        RowMatrixXf mine(num_queries, scan_rows);
        mine.noalias() = queries * rows.topRows(scan_rows).transpose();
      });
      scan.push_back(stopwatch.Seconds() / static_cast<double>(blocks * scan_rows));
    }
    RowMatrixXf moved = queries;
    RandomStream noise(2, RandomPurpose::kTest, round);
    for (int64_t i = 0; i < moved.size(); ++i) moved.data()[i] += 0.01f * noise.Normal();
    moved.rowwise().normalize();
    for (Kind& kind : kinds) {
      const auto time = [&](const char* what, absl::FunctionRef<void()> body) {
        const double cpu = CpuSeconds();
        const Stopwatch stopwatch;
        body();
        kind.ms[what].push_back(stopwatch.Seconds() * 1e3);
        kind.cpu_ms[what].push_back((CpuSeconds() - cpu) * 1e3);
      };
      time("search",
           [&] { Check(kind.index->Search(queries, kNeighbors, ids, fetch, &pool, &nearest)); });
      time("decoded",
           [&] { Check(kind.index->Search(queries, kNeighbors, ids, &pool, &nearest)); });
      time("update", [&] { Check(kind.index->Update(ids, moved, &pool).status()); });
    }
  }
  std::printf("%-8s %6s %6s %7s %7s %7s %6s %6s  %15s %15s %15s %8s %8s %8s\n", "kind", "lists",
              "probes", "bytes/N", "MiB", "build s", "save s", "load s", "search ms (cpu)",
              "decoded (cpu)", "update (cpu)", "recall20", "recall50", "decoded");
  for (Kind& kind : kinds) {
    const ClassIndexStats stats = kind.index->stats();
    const auto both = [&](const char* what) {
      char text[32];
      std::snprintf(text, sizeof(text), "%.1f (%.1f)", Median(kind.ms[what]),
                    Median(kind.cpu_ms[what]));
      return std::string(text);
    };
    std::printf(
        "%-8s %6lld %6lld %7.1f %7.1f %7.1f %6.2f %6.2f  %15s %15s %15s %8.3f %8.3f %8.3f\n",
        stats.kind.c_str(), static_cast<long long>(stats.lists),
        static_cast<long long>(stats.probes),
        static_cast<double>(stats.bytes) / static_cast<double>(classes),
        static_cast<double>(stats.bytes) / 1048576.0, kind.build_seconds, kind.save_seconds,
        kind.load_seconds, both("search").c_str(), both("decoded").c_str(), both("update").c_str(),
        kind.recall20, kind.recall50, kind.decoded50);
    std::printf("         build took %.1f s of CPU time; recall@%lld measured by Build: %.3f\n",
                kind.build_cpu, static_cast<long long>(stats.recall_k), stats.recall);
  }
  const double seconds_per_row = Median(scan);
  std::printf("scan: %.0f ms for all rows, %.1f GFLOP/s\n",
              seconds_per_row * static_cast<double>(classes) * 1e3,
              2e-9 * static_cast<double>(num_queries * dim) / seconds_per_row);
  std::fflush(stdout);
  store.reset();
  if (!given) {
    unlink(path.c_str());
    unlink(absl::StrCat(path, ".lock").c_str());
  }
}

int Main(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> flag =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    bool good = true;
    if (flag.first == "--classes") {
      flags.classes.clear();
      for (const absl::string_view part : absl::StrSplit(flag.second, ',')) {
        good = good && absl::SimpleAtoi(part, &flags.classes.emplace_back());
      }
    } else if (flag.first == "--kinds") {
      flags.kinds = absl::StrSplit(flag.second, ',');
    } else if (flag.first == "--index_bytes") {
      good = absl::SimpleAtoi(flag.second, &flags.index_bytes);
    } else if (flag.first == "--rounds") {
      good = absl::SimpleAtoi(flag.second, &flags.rounds);
    } else if (flag.first == "--threads") {
      good = absl::SimpleAtoi(flag.second, &flags.threads);
    } else if (flag.first == "--directory") {
      flags.directory = flag.second;
    } else if (flag.first == "--store") {
      flags.store = flag.second;
    } else {
      good = false;
    }
    if (!good) {
      std::fprintf(stderr, "%s: not a flag of this benchmark; see its source\n", argv[i]);
      return 2;
    }
  }
  if (const char* where = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(where) != 0) std::perror(where);
  }
  if (!flags.store.empty()) flags.classes = {0};
  for (const int64_t classes : flags.classes) Run(flags, classes);
  return 0;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) { return protopage::Main(argc, argv); }
