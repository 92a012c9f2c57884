#include "protopage/prototypes/class_queues.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/fuzz/table_file.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/class_queues_test_", getpid(), "_", name);
}

// Neighbours of c: c + shift + 1, c + shift + 2, ... modulo `classes`, without c.
struct Circle {
  explicit Circle(int64_t classes) : classes(classes) {}
  const int64_t classes;
  int64_t shift = 0;
  mutable int64_t calls = 0;
  mutable std::vector<ClassId> asked;

  absl::Status operator()(absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> out) const {
    ++calls;
    asked.assign(ids.begin(), ids.end());
    for (size_t i = 0; i < ids.size(); ++i) {
      for (int64_t j = 0; j < k; ++j) {
        out[i * k + j] = j < classes - 1 ? (ids[i] + shift + j + 1) % classes : kNoClass;
        if (out[i * k + j] == ids[i]) out[i * k + j] = (ids[i] + k + 1 + shift) % classes;
      }
    }
    return absl::OkStatus();
  }
};

ClassQueuesOptions Options(int64_t dominant, int64_t candidate, int64_t refresh = 0) {
  ClassQueuesOptions options;
  options.dominant_queue = dominant;
  options.candidate_queue = candidate;
  options.candidate_refresh_steps = refresh;
  return options;
}

std::vector<ClassId> Dominants(ClassQueues* queues, ClassId id) {
  std::vector<ClassId> out(queues->dominant_queue());
  PROTOPAGE_EXPECT_OK(queues->Dominants(id, absl::MakeSpan(out)));
  return out;
}

std::vector<ClassId> Candidates(ClassQueues* queues, ClassId id) {
  std::vector<ClassId> out(queues->candidate_queue());
  PROTOPAGE_EXPECT_OK(queues->Candidates(id, absl::MakeSpan(out)));
  return out;
}

using Ids = std::vector<ClassId>;

absl::Status Example(const std::string& path, int64_t num_classes, const Ids& positives,
                     const Circle& search, const Ids& classes, const std::vector<int32_t>& slots,
                     const std::vector<int32_t>& predicted) {
  const ClassQueuesOptions options = Options(2, 4);
  constexpr int64_t step = 0;
  PROTOPAGE_ASSIGN_OR_RETURN(auto queues, ClassQueues::Create(path, num_classes, options));
  PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(positives, step, search));
  std::vector<ClassId> dominants(queues->dominant_queue());
  PROTOPAGE_RETURN_IF_ERROR(queues->Dominants(positives[0], absl::MakeSpan(dominants)));
  EXPECT_EQ(dominants, (Ids{8, 9}));
  PROTOPAGE_RETURN_IF_ERROR(queues->ApplyMistakes(classes, slots, predicted));
  EXPECT_EQ(Dominants(queues.get(), 7), (Ids{10, 8}));
  return absl::OkStatus();
}

TEST(ClassQueuesTest, QueuesOfOtherClassesAreDataLoss) {
  const std::string path = TempPath("other_classes");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto queues, ClassQueues::Create(path, 9, Options(2, 4)));
    PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({0, 2}, /*step=*/0, Circle(9)));
    PROTOPAGE_ASSERT_OK(queues->Flush());
  }
  // As if there were 5 classes, with checksums that match.
  TableFile file = ReadTableFile(path);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "header") dataset.content[4 * 8] = 5;
  }
  SetChecksums(&file);
  ASSERT_TRUE(WriteTableFile(path, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto queues, ClassQueues::Open(path, Options(2, 4)));
  EXPECT_EQ(Dominants(queues.get(), 0), (std::vector<ClassId>{1, 2}));
  std::vector<ClassId> out(2);
  EXPECT_THAT(queues->Dominants(2, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kDataLoss, "the queues of class 2 have class 5 of 5"));
}

TEST(ClassQueuesTest, TheExampleOfTheHeader) {
  PROTOPAGE_EXPECT_OK(Example(TempPath("example"), 100, {7, 3}, Circle(100), {7, 10}, {0}, {1}));
}

TEST(ClassQueuesTest, StatisticsDoNotWaitForASearch) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("stats"), 100, Options(2, 4)));
  const Circle circle(100);
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({1}, 0, circle));
  int64_t built = -1;
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt(
      {1, 2}, 0, [&](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> out) {
        // In another thread, as the training thread does.
        std::thread([&] { built = queues->stats().built; }).join();
        return circle(ids, k, out);
      }));
  EXPECT_EQ(built, 1);
  EXPECT_EQ(queues->stats().built, 2);
}

TEST(ClassQueuesTest, BuildsOnlyWhatIsMissingInOneSearch) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("build"), 100, Options(2, 4)));
  Circle circle(100);
  std::vector<ClassId> out(2);
  EXPECT_THAT(queues->Dominants(7, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "class 7 were never built"));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7, 3, 7}, 0, circle));
  EXPECT_EQ(circle.asked, (Ids{3, 7}));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({9, 7, 3}, 1, circle));
  EXPECT_EQ(circle.asked, (Ids{9}));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({9, 7, 3}, 1000000, circle));
  EXPECT_EQ(circle.calls, 2);
  EXPECT_EQ(Dominants(queues.get(), 7), (Ids{8, 9}));
  EXPECT_EQ(Candidates(queues.get(), 7), (Ids{8, 9, 10, 11}));
  EXPECT_EQ(queues->stats().built, 3);
}

TEST(ClassQueuesTest, ARefreshReplacesCandidatesNotDominants) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("refresh"), 100, Options(2, 4, 10)));
  Circle circle(100);
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 5, circle));
  circle.shift = 20;
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 15, circle));  // As old as is allowed.
  EXPECT_EQ(circle.calls, 1);
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 16, circle));
  EXPECT_EQ(circle.calls, 2);
  EXPECT_EQ(Dominants(queues.get(), 7), (Ids{8, 9}));
  EXPECT_EQ(Candidates(queues.get(), 7), (Ids{28, 29, 30, 31}));
  EXPECT_EQ(queues->stats().refreshed, 1);
  // Three times in use: new, 10 steps old, new again.
  EXPECT_EQ(queues->stats().used, 3);
  EXPECT_EQ(queues->stats().used_age_steps, 10);
}

TEST(ClassQueuesTest, MistakesArePushedInOrder) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("push"), 100, Options(3, 6)));
  Circle circle(100);
  PROTOPAGE_ASSERT_OK(
      queues->EnsureBuilt({10}, 0, circle));  // Dominants 11 12 13, candidates 11 .. 16.
  const Ids classes = {10, 14, 12, 50, 15, 16};
  // Right; 14 is pushed; 12 is there; 50 is no candidate; 14 is there now; 15; 14 again; 16; and
  // classes that have no queues.
  PROTOPAGE_ASSERT_OK(queues->ApplyMistakes(classes, {0, 0, 0, 0, 0, 0, 0, 0, 1, 3},
                                            {0, 1, 2, 3, 1, 4, 1, 5, 0, 0}));
  EXPECT_EQ(Dominants(queues.get(), 10), (Ids{16, 15, 14}));
  EXPECT_EQ(Candidates(queues.get(), 10), (Ids{11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(queues->stats().pushes, 3);
  EXPECT_EQ(queues->stats().mistakes, 9);
  // 13 fell out and may come back.
  PROTOPAGE_ASSERT_OK(queues->ApplyMistakes({10, 13}, {0}, {1}));
  EXPECT_EQ(Dominants(queues.get(), 10), (Ids{13, 16, 15}));
}

// The rule written down as plainly as can be, on random input, with a cache that holds few rows.
TEST(ClassQueuesTest, EqualsThePlainRuleWhateverIsCached) {
  constexpr int64_t kClasses = 400;
  ClassQueuesOptions options = Options(4, 12);
  options.cache_bytes = 8000;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("plain"), kClasses, options));
  Circle circle(kClasses);
  std::vector<std::deque<ClassId>> dominant(kClasses);
  std::vector<bool> built(kClasses);
  for (int64_t step = 0; step < 60; ++step) {
    RandomStream random(1, RandomPurpose::kTest, step);
    // Neighbouring classes, so that mistakes are often candidates.
    Ids classes = SampleWithoutReplacement(random, 30, 20);
    const auto base = static_cast<ClassId>(random.Below(kClasses - 30));
    for (ClassId& id : classes) id += base;
    const Ids positives(classes.begin(), classes.begin() + 10);
    PROTOPAGE_ASSERT_OK(queues->EnsureBuilt(positives, step, circle));
    for (ClassId id : positives) {
      if (built[id]) continue;
      built[id] = true;
      for (int64_t j = 1; j <= 4; ++j) dominant[id].push_back((id + j) % kClasses);
    }
    std::vector<int32_t> slots, predicted;
    for (int i = 0; i < 100; ++i) {
      slots.push_back(static_cast<int32_t>(random.Below(20)));
      predicted.push_back(static_cast<int32_t>(random.Below(20)));
      const ClassId y = classes[slots.back()], r = classes[predicted.back()];
      const int64_t distance = (r - y + kClasses) % kClasses;
      std::deque<ClassId>& queue = dominant[y];
      if (!built[y] || r == y || distance > 12 ||
          std::find(queue.begin(), queue.end(), r) != queue.end()) {
        continue;
      }
      queue.push_front(r);
      queue.pop_back();
    }
    PROTOPAGE_ASSERT_OK(queues->ApplyMistakes(classes, slots, predicted));
  }
  EXPECT_GT(queues->stats().pushes, 100);
  for (ClassId id = 0; id < kClasses; ++id) {
    if (built[id]) {
      EXPECT_EQ(Dominants(queues.get(), id), Ids(dominant[id].begin(), dominant[id].end()));
    }
  }
}

TEST(ClassQueuesTest, FrozenQueuesAreBuiltButNeverChanged) {
  ClassQueuesOptions options = Options(2, 4, 1);
  options.frozen = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("frozen"), 100, options));
  Circle circle(100);
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({1}, 0, circle));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({1}, 100, circle));
  EXPECT_EQ(circle.calls, 1);
  PROTOPAGE_ASSERT_OK(queues->ApplyMistakes({1, 4}, {0}, {1}));
  EXPECT_EQ(Dominants(queues.get(), 1), (Ids{2, 3}));
  EXPECT_EQ(queues->stats().mistakes, 1);
  EXPECT_EQ(queues->stats().pushes, 0);
}

TEST(ClassQueuesTest, ShortListsEndWithNoClass) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("short"), 3, Options(3, 5)));
  Circle circle(3);
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({1}, 0, circle));
  EXPECT_EQ(Dominants(queues.get(), 1), (Ids{2, 0, kNoClass}));
  EXPECT_EQ(Candidates(queues.get(), 1), (Ids{2, 0, kNoClass, kNoClass, kNoClass}));
}

TEST(ClassQueuesTest, SurviveCopyRestoreAndReset) {
  const std::string path = TempPath("live"), copy = TempPath("copy");
  Circle circle(100);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues, ClassQueues::Create(path, 100, Options(2, 4)));
    PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 3, circle));
    PROTOPAGE_ASSERT_OK(queues->SaveCopy(copy));
    PROTOPAGE_ASSERT_OK(queues->ApplyMistakes({7, 10}, {0}, {1}));
    EXPECT_EQ(Dominants(queues.get(), 7), (Ids{10, 8}));
    PROTOPAGE_ASSERT_OK(queues->Flush());
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues, ClassQueues::Open(path, Options(2, 4)));
    EXPECT_EQ(Dominants(queues.get(), 7), (Ids{10, 8}));
  }
  PROTOPAGE_ASSERT_OK(RestoreCopy(DefaultFileSystem(), copy, path));
  EXPECT_THAT(
      ClassQueues::Open(path, Options(3, 4)),
      StatusIs(absl::StatusCode::kInvalidArgument, "dominant_queue is 2 in the file, 3 asked for"));
  EXPECT_THAT(PrototypeStore::Open(path, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "kind is 'queues'"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues, ClassQueues::Open(path, Options(2, 4)));
  EXPECT_EQ(Dominants(queues.get(), 7), (Ids{8, 9}));
  PROTOPAGE_ASSERT_OK(queues->Reset());
  std::vector<ClassId> out(2);
  EXPECT_THAT(queues->Dominants(7, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "never built"));
}

TEST(ClassQueuesTest, RefusesBadArguments) {
  EXPECT_THAT(ClassQueues::Create(TempPath("bad"), 10, Options(5, 4)),
              StatusIs(absl::StatusCode::kInvalidArgument, "dominant_queue 5"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues,
                                 ClassQueues::Create(TempPath("good"), 10, Options(2, 4)));
  Circle circle(10);
  EXPECT_THAT(queues->EnsureBuilt({3, 10}, 0, circle),
              StatusIs(absl::StatusCode::kOutOfRange, "id 10 at position 1"));
  EXPECT_THAT(queues->EnsureBuilt({3}, 0,
                                  [](absl::Span<const ClassId>, int64_t, absl::Span<ClassId> out) {
                                    std::fill(out.begin(), out.end(), 3);
                                    return absl::OkStatus();
                                  }),
              StatusIs(absl::StatusCode::kInternal, "found class 3 for class 3"));
  EXPECT_THAT(queues->ApplyMistakes({1, 2}, {0}, {2}),
              StatusIs(absl::StatusCode::kOutOfRange, "predicted 2"));
  EXPECT_THAT(queues->ApplyMistakes({1, 2}, {0}, {0, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 samples"));
  std::vector<ClassId> out(3);
  EXPECT_THAT(queues->Dominants(1, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kInvalidArgument, "room for 3"));
}

}  // namespace
}  // namespace protopage
