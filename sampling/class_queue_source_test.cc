#include "protopage/sampling/class_queue_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/sampling/step_planner.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// A path of this test's own where nothing is.
std::string FreshPath(const std::string& name) {
  const std::string path = JoinPath(
      ::testing::TempDir(),
      std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + "_" + name);
  DefaultFileSystem()->Remove(path).IgnoreError();  // Usually it is not there.
  return path;
}

[[maybe_unused]] void Example(const std::unique_ptr<ClassQueues>& queues,
                              const std::unique_ptr<PrototypeStore>& store,
                              const std::unique_ptr<ClassIndex>& index) {
  ThreadPool pool(1);
  StepPlannerOptions planner_options;
  ClassQueueSource source(queues.get(), SearchPrototypes(store.get(), index.get(), &pool));
  planner_options.dominants = &source;
}

TEST(ClassQueueSource, BuildsQueuesWhenAClassIsFirstDrawn) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto queues,
      ClassQueues::Create(FreshPath("queues.h5"), 10, {.dominant_queue = 2, .candidate_queue = 3}));
  std::vector<ClassId> searched;
  ClassQueueSource source(
      queues.get(), [&](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
        EXPECT_EQ(k, 3);
        for (size_t i = 0; i < ids.size(); ++i) {
          searched.push_back(ids[i]);
          // Class 9 has one neighbour only.
          for (int64_t j = 0; j < k; ++j) {
            neighbors[i * k + j] = ids[i] == 9 && j > 0 ? kNoClass : (ids[i] + 1 + j) % 10;
          }
        }
        return absl::OkStatus();
      });
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> first, source.Dominants(0, {4, 9}));
  EXPECT_THAT(first, ElementsAre(5, 6, 0));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> second, source.Dominants(1, {1, 4}));
  EXPECT_THAT(second, ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(searched, UnorderedElementsAre(4, 9, 1));
}

TEST(ClassQueueSource, MistakesEnterTheDominantQueue) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto queues,
      ClassQueues::Create(FreshPath("queues.h5"), 10, {.dominant_queue = 2, .candidate_queue = 3}));
  ClassQueueSource source(
      queues.get(), [](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
        for (size_t i = 0; i < neighbors.size(); ++i) neighbors[i] = (ids[i / k] + 1 + i % k) % 10;
        return absl::OkStatus();
      });
  PROTOPAGE_ASSERT_OK(source.Dominants(0, {4}));
  // Class 4 was taken for its candidate 7.
  const std::vector<ClassId> classes = {4, 7, 8};
  PROTOPAGE_ASSERT_OK(source.ApplyMistakes(classes, {0, 0}, {0, 1}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants, source.Dominants(1, {4}));
  EXPECT_THAT(dominants, ElementsAre(7, 5));
}

TEST(ClassQueueSource, PassesTheSearchsErrorOn) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues, ClassQueues::Create(FreshPath("queues.h5"), 10, {}));
  ClassQueueSource source(queues.get(),
                          [](absl::Span<const ClassId>, int64_t, absl::Span<ClassId>) {
                            return absl::InternalError("no index");
                          });
  EXPECT_THAT(source.Dominants(0, {4}), StatusIs(absl::StatusCode::kInternal, "no index"));
}

TEST(SearchPrototypes, FindsTheNearestOtherRows) {
  // Rows on a circle: class c at c * 0.1 radians.
  constexpr int64_t kClasses = 8;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto store,
      PrototypeStore::Create(FreshPath("w.h5"), {.num_classes = kClasses, .dim = 2}, {}));
  RowMatrixXf rows(kClasses, 2);
  for (int64_t c = 0; c < kClasses; ++c) {
    const float angle = 0.1f * static_cast<float>(c);
    rows.row(c) << std::cos(angle), std::sin(angle);
  }
  PROTOPAGE_ASSERT_OK(store->WriteRange(0, rows));
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto index, BuildClassIndex(kClasses, 2, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  const NeighborSearchFunction search = SearchPrototypes(store.get(), index.get(), &pool);
  std::vector<ClassId> neighbors(6);
  PROTOPAGE_ASSERT_OK(search({7, 0}, 3, absl::MakeSpan(neighbors)));
  EXPECT_THAT(neighbors, ElementsAre(6, 5, 4, 1, 2, 3));
}

}  // namespace
}  // namespace protopage
