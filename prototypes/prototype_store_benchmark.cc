// The cost of a training step's rows: GatherStep and ScatterStep of K rows of 512 floats with
// momentum, in stores of N classes; with its ceilings in the same run: memcpy, and sorted pread and
// pwrite of the same bytes; and with an h5py loop that moves one row at a time.
//
//   ./bazelw run -c opt //prototypes:prototype_store_benchmark -- [--classes=N,...] [--rounds=7]
//       [--quick] [--directory=DIR]
//
// The cache has its default size. cached: the classes drawn (16384) fit into it. page cache: they
// do not (131072, room for less than half), their file does; they lie at random among the N. cold:
// the same, but the page cache is emptied of the file before each round. Each round is 262144 rows
// (cold: 16384) and the write-back of all that they changed: in place, or, with a log, to a segment
// that is then committed as a checkpoint. Segments are merged into the file in every second round
// or so, as merge_bytes determines; that time is spread over all scattered rows and added to the
// median, although in training a thread merges concurrently with the steps. Syncs are left out:
// they measure the disk. The kinds take turns; the table shows medians over the rounds, in ms per
// step. pread and pwrite: one call for each cell, rows and momentum, K rows of 131072 in ascending
// order, from and to the page cache. The h5py loop reads, then writes the rows (no momentum) one by
// one, as the Keras demo does; it is left out where python3 has no h5py. The last table shows a
// checkpoint with its syncs after 1 % of the classes have changed, followed by a merge concurrent
// with training.
//
// --quick measures steps of 256 rows alone, without the cold rounds, the h5py loop and checkpoints.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/file.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 512;
constexpr int64_t kSteps[] = {256, 1024, 8192};  // K

double Milliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The machine's file system without syncs.
class NoSyncFileSystem : public ForwardingFileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, base()->Open(path, mode));
    return std::unique_ptr<File>(new NoSyncFile(std::move(file)));
  }
  absl::Status SyncDirectory(const std::string&) override { return absl::OkStatus(); }

 private:
  class NoSyncFile : public ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    absl::Status Sync() override { return absl::OkStatus(); }
  };
};

// Rows in a round, for every K. 1024 steps of 256 rows are a short checkpoint interval.
constexpr int64_t kRoundRows = 262144, kColdRows = 16384;

// The file, its lock, and its log if it has one.
void RemoveStore(const std::string& path) {
  FileSystem* fs = DefaultFileSystem();
  const std::string log = path + ".log";
  const absl::StatusOr<std::vector<std::string>> names = fs->List(log);
  if (names.ok()) {
    for (const std::string& name : *names) unlink(JoinPath(log, name).c_str());
    rmdir(log.c_str());
  }
  unlink(path.c_str());
  unlink((path + ".lock").c_str());
}

// Steps over a fixed set of classes.
class StoreSteps {
 public:
  StoreSteps(FileSystem* fs, std::string path, int64_t num_classes, int64_t working_set,
             bool logged)
      : path_(std::move(path)) {
    working_set = std::min(working_set, num_classes);
    RandomStream random(1, RandomPurpose::kTest, working_set);
    classes_ = SampleWithoutReplacement(random, num_classes, working_set);
    PrototypeStoreSpec spec;
    spec.num_classes = num_classes;
    spec.dim = kDim;
    PrototypeStoreOptions options;
    options.file_system = fs;
    fs->Remove(path_).IgnoreError();
    if (logged) {
      TableLogOptions log_options;
      log_options.background = false;  // So that the average includes merges.
      auto log = TableLog::Create(fs, path_ + ".log", log_options);
      if (!log.ok()) Die(log.status());
      log_ = *std::move(log);
      options.log = log_.get();
    }
    auto store = PrototypeStore::Create(path_, spec, options);
    if (!store.ok()) Die(store.status());
    store_ = *std::move(store);
    // Every class is written once, so that no round computes initial rows.
    StepRows rows;
    for (int64_t i = 0; i < working_set; i += 1024) {
      const absl::Span<const ClassId> ids = absl::MakeConstSpan(classes_).subspan(i, 1024);
      Check(store_->GatherStep(ids, &rows));
      Check(store_->ScatterStep(ids, rows, 0));
    }
    Check(store_->Flush());
    if (logged) Check(log_->Commit(++checkpoint_));
  }
  ~StoreSteps() {
    store_.reset();
    log_.reset();
    RemoveStore(path_);
  }

  // Milliseconds per step.
  double Round(int64_t k, int64_t rows = kRoundRows) {
    const int64_t steps = std::max<int64_t>(1, rows / k);
    std::vector<std::vector<ClassId>> ids(steps);
    for (std::vector<ClassId>& step_ids : ids) {
      RandomStream random(2, RandomPurpose::kTest, ++draws_);
      for (int64_t i : SampleWithoutReplacement(random, classes_.size(), k)) {
        step_ids.push_back(classes_[i]);
      }
    }
    const double start = Milliseconds(), cpu_start = CpuSeconds();
    for (const std::vector<ClassId>& step_ids : ids) {
      Check(store_->GatherStep(step_ids, &rows_));
      Check(store_->ScatterStep(step_ids, rows_, ++step_));
    }
    steps_only_ = (Milliseconds() - start) / static_cast<double>(steps);
    Check(store_->Flush());
    if (log_ != nullptr) Check(log_->Commit(++checkpoint_));
    cpu_ = (CpuSeconds() - cpu_start) * 1e3 / static_cast<double>(steps);
    const double milliseconds = (Milliseconds() - start) / static_cast<double>(steps);
    rows_scattered_ += steps * k;
    Merge(/*all=*/false);
    return milliseconds;
  }
  // The average of milliseconds per step of k rows. Merges what is left of earlier rounds first.
  double MergeTime(int64_t k) {
    Merge(/*all=*/true);
    return merge_ / static_cast<double>(rows_scattered_) * static_cast<double>(k);
  }
  // Nothing of the file is in the page cache then.
  void Cool() {
    Check(store_->Flush());
    const int fd = open(path_.c_str(), O_RDWR);
    if (fd < 0 || fdatasync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) {
      Die(absl::UnavailableError(absl::StrCat("cannot empty the page cache of ", path_)));
    }
    close(fd);
  }
  double cpu() const { return cpu_; }
  double steps_only() const { return steps_only_; }

  double HitRate() const {
    const PrototypeStoreStats stats = store_->stats();
    return static_cast<double>(stats.hits) / static_cast<double>(stats.hits + stats.misses);
  }

  static void Check(const absl::Status& status) {
    if (!status.ok()) Die(status);
  }
  [[noreturn]] static void Die(const absl::Status& status) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }

 private:
  void Merge(bool all) {
    if (log_ == nullptr) return;
    const double start = Milliseconds();
    Check(all ? log_->RetireNow(checkpoint_) : log_->Retire(checkpoint_));
    merge_ += Milliseconds() - start;
  }

  const std::string path_;
  std::vector<ClassId> classes_;
  std::unique_ptr<TableLog> log_;
  std::unique_ptr<PrototypeStore> store_;
  StepRows rows_;
  int64_t checkpoint_ = 0;
  int64_t step_ = 0;
  uint64_t draws_ = 0;
  double steps_only_ = 0;
  double cpu_ = 0;
  double merge_ = 0;  // Of all rounds.
  int64_t rows_scattered_ = 0;
};

// Milliseconds for which a checkpoint of the prototypes stops training, with all syncs, when 1 % of
// the classes have changed, half of which the cache had written back already.
double CheckpointStall(const std::string& path, int64_t num_classes) {
  FileSystem* fs = DefaultFileSystem();
  TableLogOptions log_options;
  log_options.merge_bytes = 0;
  auto log = TableLog::Create(fs, path + ".log", log_options);
  StoreSteps::Check(log.status());
  PrototypeStoreSpec spec;
  spec.num_classes = num_classes;
  spec.dim = kDim;
  PrototypeStoreOptions options;
  options.log = log->get();
  double stall = 0;
  {
    auto store = PrototypeStore::Create(path, spec, options);
    StoreSteps::Check(store.status());
    StepRows rows;
    for (int64_t c = 1; c <= 3; ++c) {
      for (int64_t i = 0; i < num_classes / 100 / 250; ++i) {
        RandomStream random(4, RandomPurpose::kTest, c * 1000 + i);
        const std::vector<ClassId> ids = SampleWithoutReplacement(random, num_classes, 250);
        StoreSteps::Check((*store)->GatherStep(ids, &rows));
        StoreSteps::Check((*store)->ScatterStep(ids, rows, i));
        if (i == num_classes / 100 / 500) StoreSteps::Check((*store)->Flush());
      }
      const double start = Milliseconds();
      StoreSteps::Check((*store)->Flush());
      StoreSteps::Check((*log)->Commit(c));
      StoreSteps::Check((*log)->Retire(c - 1));
      stall = Milliseconds() - start;  // The last: the first is written in place.
    }
  }
  log->reset();
  RemoveStore(path);
  return stall;
}

// K rows and momenta out of a table of 64 MiB, and back into it.
double MemcpyRound(int64_t k) {
  static std::vector<float> table(int64_t{64} << 18, 1.0f);
  static std::vector<float> step(2 * kSteps[2] * kDim);
  const int64_t rows = static_cast<int64_t>(table.size()) / (2 * kDim);
  RandomStream random(3, RandomPurpose::kTest, k);
  const std::vector<int64_t> ids = SampleWithoutReplacement(random, rows, k);
  const double start = Milliseconds();
  const int64_t steps = kRoundRows / k;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t i = 0; i < k; ++i) {
      std::memcpy(&step[i * 2 * kDim], &table[(ids[i] + s) % rows * 2 * kDim], 8 * kDim);
    }
    for (int64_t i = 0; i < k; ++i) {
      std::memcpy(&table[(ids[i] + s) % rows * 2 * kDim], &step[i * 2 * kDim], 8 * kDim);
    }
  }
  return (Milliseconds() - start) / static_cast<double>(steps);
}

// A file of 131072 rows and as many momenta, which the page cache holds.
class PlainFile {
 public:
  explicit PlainFile(std::string path) : path_(std::move(path)) {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    const std::vector<float> row(kDim, 1.0f);
    for (int64_t i = 0; i < 2 * kRows; ++i) Move(pwrite(fd_, row.data(), kBytes, i * kBytes));
  }
  ~PlainFile() {
    close(fd_);
    unlink(path_.c_str());
  }
  // Milliseconds per step of k rows.
  double Round(int64_t k, bool write) {
    const int64_t steps = std::max<int64_t>(1, kRoundRows / 8 / k);
    double milliseconds = 0;
    for (int64_t s = 0; s < steps; ++s) {
      RandomStream random(5, RandomPurpose::kTest, ++draws_);
      std::vector<int64_t> ids = SampleWithoutReplacement(random, kRows, k);
      std::sort(ids.begin(), ids.end());
      const double start = Milliseconds();
      for (const int64_t column : {int64_t{0}, kRows}) {
        for (int64_t i = 0; i < k; ++i) {
          float* const cell = &step_[i * kDim];
          const int64_t offset = (column + ids[i]) * kBytes;
          Move(write ? pwrite(fd_, cell, kBytes, offset) : pread(fd_, cell, kBytes, offset));
        }
      }
      milliseconds += Milliseconds() - start;
    }
    return milliseconds / static_cast<double>(steps);
  }

 private:
  static constexpr int64_t kRows = 131072, kBytes = kDim * 4;
  static void Move(ssize_t moved) {
    if (moved != kBytes)
      StoreSteps::Die(absl::UnavailableError("cannot read or write a plain file"));
  }
  const std::string path_;
  int fd_ = -1;
  uint64_t draws_ = 0;
  std::vector<float> step_ = std::vector<float>(kSteps[2] * kDim);
};

// Milliseconds per step, or a negative number if there is no h5py.
double H5pyRound(const std::string& script, const std::string& path, int64_t k) {
  // Debian's h5py belongs to Debian's python, which need not be the first on the path.
  const std::string arguments = absl::StrCat(" '", script, "' '", path, "' ", k, " 2>/dev/null");
  FILE* pipe =
      popen(absl::StrCat("python3", arguments, " || /usr/bin/python3", arguments).c_str(), "r");
  double milliseconds = -1;
  if (pipe == nullptr) return -1;
  if (std::fscanf(pipe, "%lf", &milliseconds) != 1) milliseconds = -1;
  pclose(pipe);
  return milliseconds;
}

// `quick`: steps of 256 rows alone, without cold rounds, the h5py loop and checkpoints.
void Run(const std::string& dir, int rounds, int64_t num_classes, bool quick) {
  const std::vector<int64_t> step_sizes =
      quick ? std::vector<int64_t>{256}
            : std::vector<int64_t>(std::begin(kSteps), std::end(kSteps));
  const std::string base = JoinPath(dir, absl::StrCat("store_benchmark_", getpid()));
  const std::string script = "prototypes/h5py_loop.py";

  NoSyncFileSystem fs;
  PlainFile plain(base + "_plain");
  StoreSteps cached(&fs, base + "_cached.h5", num_classes, 16384, false);
  StoreSteps paged(&fs, base + "_paged.h5", num_classes, 131072, false);
  StoreSteps cold(&fs, base + "_cold.h5", num_classes, 131072, false);
  StoreSteps cached_log(&fs, base + "_cached_log.h5", num_classes, 16384, true);
  StoreSteps paged_log(&fs, base + "_paged_log.h5", num_classes, 131072, true);
  std::vector<double> stalls;
  std::map<std::string, std::vector<double>> times;
  for (int round = 0; round < rounds + 1; ++round) {
    for (const int64_t k : step_sizes) {
      std::map<std::string, double> now;
      now[absl::StrCat(k, " memcpy")] = MemcpyRound(k);
      now[absl::StrCat(k, " pread")] = plain.Round(k, /*write=*/false);
      now[absl::StrCat(k, " pwrite")] = plain.Round(k, /*write=*/true);
      const std::pair<const char*, StoreSteps*> kinds[] = {{" cached", &cached},
                                                           {" page cache", &paged},
                                                           {" cached, log", &cached_log},
                                                           {" page cache, log", &paged_log}};
      for (const auto& [name, kind] : kinds) {
        now[absl::StrCat(k, name)] = kind->Round(k);
        now[absl::StrCat(k, name, ", steps")] = kind->steps_only();
        now[absl::StrCat(k, name, ", cpu")] = kind->cpu();
      }
      if (!quick) {
        cold.Cool();
        now[absl::StrCat(k, " cold")] = cold.Round(k, kColdRows);
        now[absl::StrCat(k, " cold, steps")] = cold.steps_only();
      }
      // Once is enough where a step of the loop takes seconds.
      if (!quick && (k < kSteps[2] || round < 2)) {
        now[absl::StrCat(k, " h5py")] = H5pyRound(script, base + "_h5py.h5", k);
      }
      if (round == 0) continue;  // Warms up.
      for (const auto& [name, value] : now) times[name].push_back(value);
    }
    if (round > 0 && !quick) stalls.push_back(CheckpointStall(base + "_stall.h5", num_classes));
  }
  unlink((base + "_h5py.h5").c_str());
  const std::pair<const char*, StoreSteps*> logged[] = {{" cached, log", &cached_log},
                                                        {" page cache, log", &paged_log}};
  for (const int64_t k : step_sizes) {
    for (const auto& [name, kind] : logged) {
      const double merge = kind->MergeTime(k);
      times[absl::StrCat(k, name, ", merge")] = {merge};
      for (double& total : times[absl::StrCat(k, name)]) total += merge;
    }
  }

  std::printf(
      "gather + scatter of K rows of %d floats with momentum, %lld classes; ms a step, "
      "medians of %d rounds\n",
      static_cast<int>(kDim), static_cast<long long>(num_classes), rounds);
  std::printf("%-34s", "");
  for (const int64_t k : step_sizes) std::printf(" %10s", absl::StrCat("K = ", k).c_str());
  std::printf("\n");
  const auto median = [&](int64_t k, const std::string& key) {
    return Median(times[absl::StrCat(k, " ", key)]);
  };
  const auto line = [&](const std::string& name, const std::string& key) {
    std::printf("%-34s", name.c_str());
    for (const int64_t k : step_sizes) std::printf(" %10.3f", median(k, key));
    std::printf("\n");
  };
  line("memcpy of the same bytes", "memcpy");
  line("sorted pread of rows and momenta", "pread");
  line("sorted pwrite of the same", "pwrite");
  for (const std::string kind : {"cached", "page cache"}) {
    line(kind + ", in place", kind);
    line("  of that, until the last step", kind + ", steps");
    line("  CPU time of all threads", kind + ", cpu");
    line(kind + ", with a log", kind + ", log");
    line("  of that, until the last step", kind + ", log, steps");
    line("  of that, the merge", kind + ", log, merge");
    line("  CPU time but for the merge", kind + ", log, cpu");
  }
  if (!quick) {
    line("cold, in place", "cold");
    line("  of that, until the last step", "cold, steps");
  }
  const auto ratio = [&](const std::string& name, const std::string& a, const std::string& b) {
    std::printf("%-34s", name.c_str());
    for (const int64_t k : step_sizes) std::printf(" %9.1fx", median(k, a) / median(k, b));
    std::printf("\n");
  };
  ratio("cached / memcpy", "cached", "memcpy");
  if (quick) {
    std::printf("quick: no cold rounds, h5py loop and checkpoints\n");
  } else if (median(256, "h5py") > 0) {
    line("h5py loop, rows only", "h5py");
    ratio("h5py loop / cached", "h5py", "cached");
    ratio("h5py loop / page cache", "h5py", "page cache");
    ratio("h5py loop / page cache, log", "h5py", "page cache, log");
  } else {
    std::printf("h5py loop: not run, python3 has no h5py\n");
  }
  std::printf("hit rate: cached %.3f, page cache %.3f\n", cached.HitRate(), paged.HitRate());
  if (!quick) std::printf("checkpoint of 1 %% changed rows, synced: %.0f ms\n", Median(stalls));
  std::printf("\n");
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const char* tmp = std::getenv("TMPDIR");
  std::string dir = tmp != nullptr ? tmp : "/tmp";
  std::vector<int64_t> classes = {100000, 1000000, 10000000};
  int rounds = 7;
  bool quick = false;
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> flag =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    bool good = true;
    if (flag.first == "--classes") {
      classes.clear();
      for (const absl::string_view part : absl::StrSplit(flag.second, ',')) {
        good = good && absl::SimpleAtoi(part, &classes.emplace_back()) && classes.back() >= 100000;
      }
    } else if (flag.first == "--rounds") {
      good = absl::SimpleAtoi(flag.second, &rounds) && rounds >= 1;
    } else if (flag.first == "--quick") {
      quick = true;
    } else if (flag.first == "--directory") {
      dir = flag.second;
    } else {
      good = false;
    }
    if (!good) {
      std::fprintf(stderr, "%s: not a flag of this benchmark; see its source\n", argv[i]);
      return 2;
    }
  }
  for (const int64_t n : classes) Run(dir, rounds, n, quick);
  return 0;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) { return protopage::Main(argc, argv); }
