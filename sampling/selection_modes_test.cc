#include "protopage/sampling/selection_modes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selector_base.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// Queues in a map. A class without one has an empty queue.
class MapSource : public DominantSource {
 public:
  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t,
                                                 absl::Span<const ClassId> classes) override {
    if (!error.ok()) return error;
    std::vector<ClassId> all;
    for (const ClassId id : classes) {
      all.insert(all.end(), queues[id].begin(), queues[id].end());
    }
    return all;
  }
  absl::Status ApplyMistakes(absl::Span<const ClassId>, absl::Span<const int32_t>,
                             absl::Span<const int32_t>) override {
    return absl::OkStatus();
  }

  std::map<ClassId, std::vector<ClassId>> queues;
  absl::Status error;
};

std::vector<ClassId> Positives(const ClassSelection& selection) {
  std::vector<ClassId> ids;
  for (const int32_t slot : selection.positive_slots) ids.push_back(selection.classes[slot]);
  return ids;
}

absl::StatusOr<std::unique_ptr<ClassSelector>> MakeExample(const ClassSet& classes,
                                                           MapSource& queues) {
  ClassSelectorOptions options;
  options.seed = 1;
  options.classes_per_step = 30;
  options.classes = &classes;
  options.dominants = &queues;
  PROTOPAGE_ASSIGN_OR_RETURN(auto selector, MakeClassSelector("dominant", options));
  return selector;
}

absl::StatusOr<ClassId> SelectExample(const std::unique_ptr<ClassSelector>& selector, int64_t step,
                                      const std::vector<ClassId>& positives, int64_t k) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassSelection selection, selector->Select(step, positives));
  const ClassId id = selection.classes[k];  // Of slot k of the step's softmax; ids ascend.
  return id;
}

TEST(SelectionModesTest, TheExamplesOfTheHeaders) {
  MapSource queues;
  const ClassSet classes = ClassSet::All(30);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto selector, MakeExample(classes, queues));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId id, SelectExample(selector, 0, {7, 3}, 12));
  EXPECT_EQ(id, 12);
}

// A mode of our own: the positives and the lowest ids.
class LowestSelector : public SelectorBase {
 public:
  using SelectorBase::SelectorBase;

 protected:
  absl::StatusOr<std::vector<ClassId>> Choose(int64_t,
                                              const std::vector<ClassId>& positives) override {
    std::vector<ClassId> chosen = positives;
    for (ClassId id = 0; static_cast<int64_t>(chosen.size()) < active_classes(); ++id) {
      if (classes().Contains(id) && !std::binary_search(positives.begin(), positives.end(), id)) {
        chosen.push_back(id);
      }
    }
    return chosen;
  }
};

SelectionMode LowestMode() {
  SelectionMode mode;
  mode.name = "lowest";
  mode.help = "the positive classes, and those of the lowest ids";
  mode.make = &MakeSelector<LowestSelector>;
  return mode;
}

TEST(SelectionModeTest, TheExampleOfTheHeader) {
  const ClassSet classes = ClassSet::Where(40, [](ClassId id) { return id % 2 != 0; });
  ClassSelectorOptions options;
  options.classes_per_step = 4;
  options.classes = &classes;
  const std::unique_ptr<ClassSelector> selector = LowestMode().make(options);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(0, {9, 3}));
  EXPECT_THAT(selection.classes, ElementsAre(1, 3, 5, 9));
  EXPECT_THAT(selection.positive_slots, ElementsAre(1, 3));
}

TEST(SelectionModesTest, EveryEntryIsComplete) {
  for (const SelectionMode& mode : SelectionModes()) {
    ASSERT_NE(mode.name, nullptr);
    EXPECT_EQ(FindSelectionMode(mode.name), &mode);
    EXPECT_NE(mode.help, nullptr) << mode.name;
    EXPECT_NE(mode.make, nullptr) << mode.name;
    EXPECT_EQ(DominantKindOf(mode.name), mode.dominants);
    EXPECT_EQ(TakesAllClasses(mode.name), mode.all_classes);
  }
  EXPECT_EQ(FindSelectionMode("nearset"), nullptr);
  EXPECT_EQ(DominantKindOf("nearset"), DominantKind::kNone);
}

TEST(SelectionModesTest, SayWhatTheyNeed) {
  EXPECT_TRUE(TakesAllClasses("full"));
  EXPECT_FALSE(TakesAllClasses("random"));
  EXPECT_EQ(DominantKindOf("full"), DominantKind::kNone);
  EXPECT_EQ(DominantKindOf("random"), DominantKind::kNone);
  EXPECT_EQ(DominantKindOf("dominant"), DominantKind::kQueues);
  EXPECT_EQ(DominantKindOf("mixed"), DominantKind::kQueues);
  EXPECT_EQ(DominantKindOf("nearest"), DominantKind::kNearest);
}

// What every mode promises.
class EveryMode : public ::testing::TestWithParam<std::string> {
 protected:
  EveryMode() {
    for (ClassId id = 0; id < 40; ++id) source_.queues[id] = {(id + 1) % 40, (id + 7) % 40, 8};
  }
  std::unique_ptr<ClassSelector> Make(uint64_t seed, int64_t k) {
    auto selector = MakeClassSelector(
        GetParam(),
        {.seed = seed, .classes_per_step = k, .classes = &classes_, .dominants = &source_});
    PROTOPAGE_EXPECT_OK(selector);
    return std::move(selector).value();
  }

  ClassSet classes_ = ClassSet::Where(40, [](ClassId id) { return id % 8 != 0; });
  MapSource source_;
};

TEST_P(EveryMode, GivesKDistinctAscendingMembersAndFindsThePositives) {
  for (const int64_t k : {3, 9, 30, 35}) {
    auto selector = Make(1, k);
    for (int64_t step = 0; step < 50; ++step) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection,
                                     selector->Select(step, {33, 2, 9}));
      ASSERT_EQ(static_cast<int64_t>(selection.classes.size()),
                TakesAllClasses(GetParam()) ? 35 : k);
      for (size_t i = 0; i < selection.classes.size(); ++i) {
        ASSERT_TRUE(classes_.Contains(selection.classes[i])) << selection.classes[i];
      }
      for (size_t i = 1; i < selection.classes.size(); ++i) {
        ASSERT_LT(selection.classes[i - 1], selection.classes[i]);
      }
      ASSERT_THAT(Positives(selection), ElementsAre(2, 9, 33));
    }
  }
}

TEST_P(EveryMode, IsAFunctionOfSeedAndStepAndNotOfTheOrderOfPositives) {
  auto selector = Make(1, 12);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection first, selector->Select(5, {33, 2, 9}));
  PROTOPAGE_ASSERT_OK(selector->Select(6, {1, 2, 3}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection again, selector->Select(5, {9, 33, 2}));
  EXPECT_EQ(first.classes, again.classes);
  EXPECT_EQ(first.positive_slots, again.positive_slots);
  if (TakesAllClasses(GetParam())) return;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection other_step, selector->Select(6, {33, 2, 9}));
  EXPECT_NE(first.classes, other_step.classes);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection other_seed,
                                 Make(2, 12)->Select(5, {33, 2, 9}));
  EXPECT_NE(first.classes, other_seed.classes);
}

TEST_P(EveryMode, RefusesBadPositives) {
  auto selector = Make(1, 4);
  EXPECT_THAT(selector->Select(0, {1, 8}), StatusIs(kInvalidArgument, "positive class 8 "));
  EXPECT_THAT(selector->Select(0, {40}), StatusIs(kInvalidArgument, "positive class 40 "));
  EXPECT_THAT(selector->Select(0, {-1}), StatusIs(kInvalidArgument, "positive class -1 "));
  EXPECT_THAT(selector->Select(0, {3, 1, 3}), StatusIs(kInvalidArgument, "3 was given twice"));
  if (TakesAllClasses(GetParam())) return;
  EXPECT_THAT(selector->Select(0, {1, 2, 3, 4, 5}),
              StatusIs(kInvalidArgument, "5 positive classes given for a step of 4"));
}

INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, ::testing::ValuesIn(SelectionModeNames()),
                         [](const auto& info) { return info.param; });

TEST(RandomSelector, OtherClassesAreEquallyLikely) {
  const ClassSet classes = ClassSet::All(10);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto selector,
      MakeClassSelector("random", {.seed = 1, .classes_per_step = 4, .classes = &classes}));
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 8000; ++step) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(step, {4, 7}));
    for (const ClassId id : selection.classes) ++drawn[id];
  }
  // 2 of 8 others a step; 5 sigma of the binomial is 194.
  for (ClassId id = 0; id < 10; ++id) {
    if (id == 4 || id == 7) {
      EXPECT_EQ(drawn[id], 8000);
    } else {
      EXPECT_NEAR(drawn[id], 2000, 194) << id;
    }
  }
}

TEST(DominantSelector, DrawsOnlyFromTheUnionOfQueuesWhenItIsLongEnough) {
  MapSource source;
  source.queues = {{4, {1, 7, 2, 3}}, {7, {3, 4, 5, 6}}};  // The positives are in them too.
  const ClassSet classes = ClassSet::All(1000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto selector,
      MakeClassSelector(
          "dominant",
          {.seed = 1, .classes_per_step = 5, .classes = &classes, .dominants = &source}));
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 6000; ++step) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(step, {7, 4}));
    for (const ClassId id : selection.classes) ++drawn[id];
  }
  // 3 of {1, 2, 3, 5, 6}; 3 counts once though it is in two queues. 5 sigma is 190.
  ASSERT_EQ(drawn.size(), 7u);
  for (const ClassId id : {1, 2, 3, 5, 6}) EXPECT_NEAR(drawn[id], 3600, 190) << id;
}

TEST(DominantSelector, RandomClassesFillUpAShortUnion) {
  MapSource source;
  // Places that are not filled, a dropped class, and what is no class at all do not count.
  source.queues = {{4, {1, kNoClass, kNoClass}}, {7, {2, 9, 123456}}};
  const ClassSet classes = ClassSet::Where(20, [](ClassId id) { return id != 9; });
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto selector,
      MakeClassSelector(
          "dominant",
          {.seed = 1, .classes_per_step = 7, .classes = &classes, .dominants = &source}));
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 5000; ++step) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(step, {4, 7}));
    for (const ClassId id : selection.classes) ++drawn[id];
  }
  // 3 of the 15 that are left; 5 sigma is 141.
  EXPECT_EQ(drawn.size(), 19u);
  EXPECT_EQ(drawn.count(9), 0u);
  for (const auto& [id, times] : drawn) {
    if (id == 1 || id == 2 || id == 4 || id == 7) {
      EXPECT_EQ(times, 5000) << id;
    } else {
      EXPECT_NEAR(times, 1000, 141) << id;
    }
  }
}

TEST(DominantSelector, CanTakeEveryClass) {
  MapSource source;
  source.queues = {{0, {1, 2}}};
  const ClassSet classes = ClassSet::All(5);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto selector,
      MakeClassSelector(
          "dominant",
          {.seed = 1, .classes_per_step = 5, .classes = &classes, .dominants = &source}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(0, {0}));
  EXPECT_THAT(selection.classes, ElementsAre(0, 1, 2, 3, 4));
}

TEST(DominantSelector, PassesTheSourcesErrorOn) {
  MapSource source;
  source.error = absl::DataLossError("queues.h5 is truncated");
  const ClassSet classes = ClassSet::All(5);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto selector,
      MakeClassSelector(
          "dominant",
          {.seed = 1, .classes_per_step = 5, .classes = &classes, .dominants = &source}));
  EXPECT_THAT(selector->Select(0, {0}), StatusIs(absl::StatusCode::kDataLoss, "truncated"));
}

TEST(MixedSelector, TakesItsShareFromTheQueuesAndTheRestAtRandom) {
  MapSource source;
  source.queues = {{4, {1, 2, 3, 5}}, {7, {3, 5, 6, 8}}};
  const ClassSet classes = ClassSet::All(1000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto selector, MakeClassSelector("mixed", {.seed = 1,
                                                                            .classes_per_step = 12,
                                                                            .classes = &classes,
                                                                            .dominant_share = 0.4,
                                                                            .dominants = &source}));
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 2000; ++step) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassSelection selection, selector->Select(step, {7, 4}));
    int dominants = 0;
    for (const ClassId id : selection.classes) {
      dominants += id < 9 && id != 0 && id != 4 && id != 7;
      ++drawn[id];
    }
    // Four of ten by share; a random class may be a dominant too.
    ASSERT_GE(dominants, 4);
  }
  for (const ClassId id : {1, 2, 3, 5, 6, 8}) EXPECT_NEAR(drawn[id], 2000 * 4 / 6, 120) << id;
  EXPECT_GT(drawn.size(), 990u);
}

TEST(MakeClassSelector, RefusesWhatCannotWork) {
  const ClassSet classes = ClassSet::All(5);
  EXPECT_THAT(
      MakeClassSelector("nearset", {.classes_per_step = 3, .classes = &classes}),
      StatusIs(kInvalidArgument, "\"nearset\" is unknown; the known ones are full, random"));
  EXPECT_THAT(MakeClassSelector("random", {.classes_per_step = 6, .classes = &classes}),
              StatusIs(kInvalidArgument, "classes_per_step is 6; it must be in [1, 5]"));
  EXPECT_THAT(MakeClassSelector("random", {.classes_per_step = 0, .classes = &classes}),
              StatusIs(kInvalidArgument, "classes_per_step is 0"));
  EXPECT_THAT(MakeClassSelector("dominant", {.classes_per_step = 5, .classes = &classes}),
              StatusIs(kInvalidArgument, "needs a source"));
}

}  // namespace
}  // namespace protopage
