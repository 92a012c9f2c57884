// Training with a row cache of the documented minimum, the rows of two steps: steps that gather,
// pin and scatter rows, searches for the steps ahead, and updates of the index.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/pinned_rows.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/step/row_prefetcher.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 700, kDim = 16, kRowsPerStep = 24, kPositives = 8, kLookAhead = 3;
constexpr int64_t kStepsPerEpoch = 40, kEpochs = 2;

PrototypeSetOptions Options(int64_t cache_bytes) {
  PrototypeSetOptions options;
  options.selection.dominant_queue = 3;
  options.selection.candidate_queue = 6;
  options.selection.candidate_refresh_steps = 10;
  options.prototypes.index_update_steps = 16;
  options.prototypes.cache_bytes = cache_bytes;
  options.seed = 9;
  return options;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> NewSet(const std::string& name, int64_t cache_bytes,
                                                     ThreadPool* pool) {
  const std::string directory =
      absl::StrCat(testing::TempDir(), "/small_cache_test_", getpid(), "_", name);
  PROTOPAGE_RETURN_IF_ERROR(DefaultFileSystem()->CreateDirectories(directory));
  return PrototypeSet::Create(directory, kClasses, kDim, Options(cache_bytes), pool);
}

// The classes of a step: some that are drawn, the classes in their dominant queues, and random ones
// until there are enough.
absl::StatusOr<std::vector<ClassId>> PlanStep(PrototypeSet& set, int64_t step) {
  RandomStream random(3, RandomPurpose::kTest, step);
  std::vector<ClassId> classes = SampleWithoutReplacement(random, kClasses, kPositives);
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<ClassId> others,
                             set.dominants()->Dominants(step, classes));
  const std::vector<ClassId> more = SampleWithoutReplacement(random, kClasses, 2 * kRowsPerStep);
  others.insert(others.end(), more.begin(), more.end());
  for (const ClassId id : others) {
    if (static_cast<int64_t>(classes.size()) == kRowsPerStep) break;
    if (std::find(classes.begin(), classes.end(), id) == classes.end()) classes.push_back(id);
  }
  return classes;
}

// All rows after the epochs.
absl::StatusOr<RowMatrixXf> TrainEpochs(PrototypeSet& set) {
  PROTOPAGE_RETURN_IF_ERROR(set.BeginStage());
  PrototypeStore& store = set.store();
  {
    RowPrefetcher prefetcher(&store, kRowsPerStep);
    std::deque<std::vector<ClassId>> plans;
    StepRows rows, next_rows;
    for (int64_t step = -kLookAhead; step < kEpochs * kStepsPerEpoch; ++step) {
      if (step >= 0) {
        PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, prefetcher.Finish(step));
        PROTOPAGE_RETURN_IF_ERROR(store.GatherStep(plans[0], &rows));
        pinned.Release();
        {  // The next step's rows, while this one trains.
          PROTOPAGE_ASSIGN_OR_RETURN(pinned, prefetcher.Finish(step + 1));
          PROTOPAGE_RETURN_IF_ERROR(store.GatherStep(plans[1], &next_rows));
          pinned.Release();
        }
        rows.rows += 0.1f * rows.rows.rowwise().reverse();
        rows.rows.rowwise().normalize();
        PROTOPAGE_RETURN_IF_ERROR(store.ScatterStep(plans[0], rows, step));
        set.NoteTrained(plans[0]);
        plans.pop_front();
        if ((step + 1) % set.index_update_steps() == 0 || (step + 1) % kStepsPerEpoch == 0) {
          PROTOPAGE_RETURN_IF_ERROR(set.UpdateIndex());
        }
      }
      const int64_t planned = step + kLookAhead;
      PROTOPAGE_ASSIGN_OR_RETURN(plans.emplace_back(), PlanStep(set, planned));
      prefetcher.Submit(planned, plans.back());
    }
  }
  RowMatrixXf all(kClasses, kDim);
  PROTOPAGE_RETURN_IF_ERROR(store.ReadRange(0, all));
  return all;
}

TEST(SmallCacheTest, TheRowsOfTwoStepsAreEnoughAndGiveTheSameBits) {
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto large, NewSet("large", int64_t{8} << 20, &pool));
  EXPECT_EQ(large->store().stats().capacity_rows, kClasses);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf expected, TrainEpochs(*large));

  // The fewest bytes that hold the rows of two steps.
  int64_t cache_bytes = 0;
  std::unique_ptr<PrototypeSet> small;
  for (int64_t attempt = 0; small == nullptr; ++attempt) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(small,
                                   NewSet(absl::StrCat("small", attempt), cache_bytes, &pool));
    const int64_t lacking = 2 * kRowsPerStep - small->store().stats().capacity_rows;
    if (lacking == 0) break;
    ASSERT_GT(lacking, 0);
    cache_bytes += 64 + 200 * (lacking - 1);  // A row takes more.
    small.reset();
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf found, TrainEpochs(*small));
  EXPECT_EQ(found, expected);
  EXPECT_LE(small->store().stats().cached_rows, 2 * kRowsPerStep);
}

}  // namespace
}  // namespace protopage
