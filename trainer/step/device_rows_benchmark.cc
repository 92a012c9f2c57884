// Rows per second from the prototype store to the device and back: K of N rows with their momentum,
// D floats each, which the store's cache holds. Ceilings of the same run are copies of as many
// bytes between pinned memory and a GPU, or by memcpy on a CPU.
//
//   ./bazelw run //trainer/step:device_rows_benchmark -- --device=cpu
//   ./bazelw run --config=cuda //trainer/step:device_rows_benchmark -- --device=cuda
//
// One line per figure, fields separated by tabs: name, value, unit, and the share of its ceiling in
// percent or "-". Figures are medians of rounds that take turns. The net's work, which hides the
// way to the device, is left out; writes from the cache to the disk are not waited for.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/model/backend.h"
#include "protopage/model/device.h"
#include "protopage/model/tensor.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/step/device_rows.h"

ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int64_t, classes, 32768, "N, in the store");
ABSL_FLAG(int64_t, slots, 1024, "K, classes a step");
ABSL_FLAG(int64_t, dim, 512, "D, floats a row");
ABSL_FLAG(int64_t, cache_mib, 256, "of the store; less than 8 N D bytes is paged from disk");
ABSL_FLAG(std::string, directory, "/tmp", "for the store");
ABSL_FLAG(double, seconds, 0.4, "length of each round");
ABSL_FLAG(int, rounds, 5, "of each kind");

namespace protopage {
namespace {

constexpr int kPlans = 64;

class DeviceRowsBenchmark {
 public:
  DeviceRowsBenchmark(Backend* backend, PrototypeStore* store, int64_t slots)
      : backend_(*backend), store_(*store), slots_(slots) {}

  absl::Status Run() {
    PROTOPAGE_ASSIGN_OR_RETURN(rows_, DeviceRows::Create(&store_, slots_, &backend_));
    PROTOPAGE_ASSIGN_OR_RETURN(
        copy_, backend_.Allocate(DType::kFloat32, {slots_, store_.dim() + store_.state_floats()}));
    PROTOPAGE_ASSIGN_OR_RETURN(pinned_, backend_.AllocateHost(copy_.bytes()));
    for (int plan = 0; plan < kPlans; ++plan) {
      RandomStream random(1, RandomPurpose::kTest, plan);
      const std::vector<int64_t> ids =
          SampleWithoutReplacement(random, store_.num_classes(), slots_);
      plans_.emplace_back(ids.begin(), ids.end());
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteAll());

    const std::function<absl::Status()> kinds[] = {
        [this] { return Copy(false); },
        [this] { return Copy(true); },
        [this] { return Step(false); },
        [this] { return Step(true); },
    };
    std::vector<double> rates[4];
    for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
      for (int kind = 0; kind < 4; ++kind) {
        PROTOPAGE_ASSIGN_OR_RETURN(const double rate, RowsPerSecond(kinds[kind]));
        rates[kind].push_back(rate);
      }
    }
    const double in = Median(rates[0]), both = Median(rates[1]);
    Print("copied to the device (ceiling)", in, 0);
    Print("copied to the device and back (ceiling)", both, 0);
    Print("store to device", Median(rates[2]), in);
    Print("store to device and back", Median(rates[3]), both);
    return absl::OkStatus();
  }

 private:
  void Print(const char* name, double value, double ceiling) const {
    absl::PrintF("%d rows of 2 x %d floats, %s\t%.4g\trows/s\t%s\n", slots_, store_.dim(), name,
                 value, ceiling > 0 ? absl::StrFormat("%.1f", 100 * value / ceiling) : "-");
  }

  // Afterwards no row is computed on the fly, as rows are that were never written.
  absl::Status WriteAll() {
    for (ClassId first = 0; first < store_.num_classes(); first += slots_) {
      std::vector<ClassId> ids(slots_);
      std::iota(ids.begin(), ids.end(), std::min(first, store_.num_classes() - slots_));
      PROTOPAGE_RETURN_IF_ERROR(rows_->Begin(ids));
      PROTOPAGE_RETURN_IF_ERROR(rows_->QueueFetch());
      PROTOPAGE_RETURN_IF_ERROR(rows_->AwaitFetch());
      PROTOPAGE_RETURN_IF_ERROR(rows_->Scatter(step_++));
    }
    return absl::OkStatus();
  }

  absl::Status Copy(bool back) {
    PROTOPAGE_RETURN_IF_ERROR(backend_.Upload(pinned_->data(), copy_));
    PROTOPAGE_RETURN_IF_ERROR(backend_.FinishUploads());
    if (!back) return backend_.Synchronize();
    PROTOPAGE_RETURN_IF_ERROR(backend_.Download(copy_, pinned_->data()));
    return backend_.FinishDownloads();
  }

  // A step of the dominant stage without the net.
  absl::Status Step(bool back) {
    PROTOPAGE_RETURN_IF_ERROR(rows_->Begin(plans_[step_ % kPlans]));
    PROTOPAGE_RETURN_IF_ERROR(rows_->PrefetchNext(plans_[(step_ + 1) % kPlans]));
    if (back) {
      PROTOPAGE_RETURN_IF_ERROR(rows_->QueueFetch());
      PROTOPAGE_RETURN_IF_ERROR(rows_->AwaitFetch());
      PROTOPAGE_RETURN_IF_ERROR(rows_->Scatter(step_));
    } else {
      PROTOPAGE_RETURN_IF_ERROR(backend_.Synchronize());
    }
    ++step_;
    return absl::OkStatus();
  }

  absl::StatusOr<double> RowsPerSecond(const std::function<absl::Status()>& body) {
    PROTOPAGE_RETURN_IF_ERROR(body());
    const Stopwatch stopwatch;
    double seconds = 0;
    int64_t calls = 0;
    do {
      PROTOPAGE_RETURN_IF_ERROR(body());
      ++calls;
      seconds = stopwatch.Seconds();
    } while (seconds < absl::GetFlag(FLAGS_seconds));
    return static_cast<double>(calls * slots_) / seconds;
  }

  Backend& backend_;
  PrototypeStore& store_;
  const int64_t slots_;
  std::unique_ptr<DeviceRows> rows_;
  Tensor copy_;  // Of the size of a step's rows and state.
  std::shared_ptr<Buffer> pinned_;
  std::vector<std::vector<ClassId>> plans_;
  int64_t step_ = 0;
};

absl::Status RunIn(const std::string& path) {
  PrototypeStoreSpec spec;
  spec.num_classes = absl::GetFlag(FLAGS_classes);
  spec.dim = absl::GetFlag(FLAGS_dim);
  const int64_t slots = absl::GetFlag(FLAGS_slots);
  if (slots < 1 || slots > spec.num_classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slots=", slots, " must be in [1, --classes=", spec.num_classes, "]"));
  }
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto backend,
                             NewBackend(absl::GetFlag(FLAGS_device), {}, &pool));
  PrototypeStoreOptions options;
  options.cache_bytes = absl::GetFlag(FLAGS_cache_mib) << 20;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Create(path, spec, options));
  return DeviceRowsBenchmark(backend.get(), store.get(), slots).Run();
}

int Main() {
  const std::string path = JoinPath(absl::GetFlag(FLAGS_directory),
                                    absl::StrCat("device_rows_benchmark_", getpid(), ".h5"));
  const absl::Status status = RunIn(path);
  for (const char* suffix : {"", ".lock"}) {
    DefaultFileSystem()->Remove(path + suffix).IgnoreError();  // An error left none.
  }
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "device_rows_benchmark: %s\n", status.ToString());
  return 1;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Rows/s between the prototype store and the device.");
  absl::ParseCommandLine(argc, argv);
  return protopage::Main();
}
