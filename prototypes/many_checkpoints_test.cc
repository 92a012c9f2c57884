// A store, its queues and their log over thousands of checkpoints that change little: descriptors,
// threads, memory and files do not grow with their number. Prints a table.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 2000, kDim = 16, kRowsPerStep = 8, kKept = 3;

struct Resources {
  int64_t descriptors = 0;
  int64_t threads = 0;
  int64_t files = 0;  // Of the store and its log.
  int64_t segments = 0;
  int64_t index_rows = 0;
  int64_t resident_bytes = 0;
};

int64_t CountNames(const std::string& directory) {
  return static_cast<int64_t>(DefaultFileSystem()->List(directory).value().size());
}

int64_t ResidentBytes() {
  FILE* const file = std::fopen("/proc/self/statm", "r");
  long pages = 0, resident = 0;
  EXPECT_EQ(std::fscanf(file, "%ld %ld", &pages, &resident), 2);
  std::fclose(file);
  return int64_t{resident} * sysconf(_SC_PAGESIZE);
}

class ManyCheckpointsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/many_checkpoints_test_", getpid());
    PROTOPAGE_ASSERT_OK(fs_.CreateDirectories(directory_));
    TableLogOptions log_options;
    log_options.background = false;  // So that the numbers do not depend on time.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(log_, TableLog::Create(&fs_, directory_ + "/log", log_options));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    PrototypeStoreOptions options;
    options.cache_bytes = 40'000;
    options.log = log_.get();
    options.file_system = &fs_;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        store_, PrototypeStore::Create(directory_ + "/prototypes.h5", spec, options));
    ClassQueuesOptions queues_options;
    queues_options.dominant_queue = 2;
    queues_options.candidate_queue = 4;
    queues_options.log = log_.get();
    queues_options.file_system = &fs_;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        queues_, ClassQueues::Create(directory_ + "/queues.h5", kClasses, queues_options));
  }

  absl::Status Step(int64_t step) {
    RandomStream random(1, RandomPurpose::kTest, step);
    const std::vector<ClassId> ids = SampleWithoutReplacement(random, kClasses, kRowsPerStep);
    StepRows rows;
    PROTOPAGE_RETURN_IF_ERROR(store_->GatherStep(ids, &rows));
    rows.rows.setConstant(static_cast<float>(step));
    PROTOPAGE_RETURN_IF_ERROR(store_->ScatterStep(ids, rows, step));
    return queues_->EnsureBuilt(
        ids, step, [](absl::Span<const ClassId> searched, int64_t k, absl::Span<ClassId> found) {
          for (size_t i = 0; i < found.size(); ++i) {
            found[i] = (searched[i / k] + 1 + static_cast<int64_t>(i) % k) % kClasses;
          }
          return absl::OkStatus();
        });
  }

  absl::Status Checkpoint(int64_t number) {
    PROTOPAGE_RETURN_IF_ERROR(queues_->Flush());
    PROTOPAGE_RETURN_IF_ERROR(store_->Flush());
    PROTOPAGE_RETURN_IF_ERROR(log_->Commit(number));
    return log_->Retire(number - kKept + 1);
  }

  Resources Measure() {
    Resources r;
    r.descriptors = CountNames("/proc/self/fd");
    r.threads = CountNames("/proc/self/task");
    r.files = CountNames(directory_) + CountNames(directory_ + "/log");
    r.segments = log_->stats().segments;
    r.index_rows = log_->stats().index_rows;
    r.resident_bytes = ResidentBytes();
    return r;
  }

  FaultyFileSystem fs_;  // Does not sync: this is no test of durability.
  std::string directory_;
  std::unique_ptr<TableLog> log_;  // Outlives the tables.
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassQueues> queues_;
};

TEST_F(ManyCheckpointsTest, NothingGrowsWithTheirNumber) {
  const TableLogOptions defaults;
  std::printf("%12s %12s %8s %6s %9s %11s %13s\n", "checkpoints", "descriptors", "threads", "files",
              "segments", "index rows", "resident MiB");
  Resources early;
  for (int64_t c = 1; c <= 10'000; ++c) {
    PROTOPAGE_ASSERT_OK(Step(c));
    PROTOPAGE_ASSERT_OK(Checkpoint(c));
    if (c != 100 && c != 1'000 && c != 10'000) continue;
    const Resources r = Measure();
    std::printf("%12d %12d %8d %6d %9d %11d %13.1f\n", static_cast<int>(c),
                static_cast<int>(r.descriptors), static_cast<int>(r.threads),
                static_cast<int>(r.files), static_cast<int>(r.segments),
                static_cast<int>(r.index_rows), static_cast<double>(r.resident_bytes) / (1 << 20));
    if (early.descriptors == 0) early = r;
    EXPECT_LE(r.descriptors, 3 + 4 + 1 + 1 + defaults.open_segments + 2);
    EXPECT_EQ(r.threads, early.threads);
    EXPECT_LE(r.segments, defaults.merge_segments + kKept + 1);
    EXPECT_LE(r.files, 4 + 1 + 1 + r.segments);  // Two tables and locks, the log and its lock.
    EXPECT_LE(r.index_rows, 2 * kRowsPerStep * (defaults.merge_segments + kKept));
    EXPECT_LE(r.resident_bytes, early.resident_bytes + (int64_t{8} << 20));
  }
}

}  // namespace
}  // namespace protopage
