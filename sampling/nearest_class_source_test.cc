#include "protopage/sampling/nearest_class_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

[[maybe_unused]] void Example(const std::unique_ptr<PrototypeStore>& store,
                              const std::unique_ptr<ClassIndex>& index) {
  ThreadPool pool(1);
  NearestClassSource source(/*count=*/20, SearchPrototypes(store.get(), index.get(), &pool));
}

TEST(NearestClassSource, SearchesAtEveryStepAndLearnsNothingFromMistakes) {
  int64_t shift = 1;  // Rows that move: other classes become the nearest.
  NearestClassSource source(
      2, [&](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
        EXPECT_EQ(k, 2);
        for (size_t i = 0; i < ids.size(); ++i) {
          neighbors[2 * i] = (ids[i] + shift) % 10;
          neighbors[2 * i + 1] = ids[i] == 9 ? kNoClass : 0;
        }
        return absl::OkStatus();
      });
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> first, source.Dominants(0, {4, 9}));
  EXPECT_THAT(first, ElementsAre(5, 0, 0));
  PROTOPAGE_ASSERT_OK(source.ApplyMistakes({4, 7}, {0}, {1}));
  shift = 2;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> second, source.Dominants(1, {4, 9}));
  EXPECT_THAT(second, ElementsAre(6, 0, 1));
}

TEST(NearestClassSource, PassesTheSearchsErrorOn) {
  NearestClassSource source(2, [](absl::Span<const ClassId>, int64_t, absl::Span<ClassId>) {
    return absl::InternalError("no index");
  });
  EXPECT_THAT(source.Dominants(0, {1}), StatusIs(absl::StatusCode::kInternal, "no index"));
}

}  // namespace
}  // namespace protopage
