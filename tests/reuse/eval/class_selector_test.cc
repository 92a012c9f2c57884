// The class selector on queues of the host: a plain map.

#include "protopage/sampling/class_selector.h"

#include <cstdint>
#include <map>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/selection_modes.h"

namespace reuse {
namespace {

using ::protopage::ClassId;
using ::testing::ElementsAre;

class MapSource : public protopage::DominantSource {
 public:
  explicit MapSource(std::map<ClassId, std::vector<ClassId>> queues) : queues_(std::move(queues)) {}

  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t /*step*/,
                                                 absl::Span<const ClassId> classes) override {
    std::vector<ClassId> all;
    for (const ClassId id : classes) {
      all.insert(all.end(), queues_[id].begin(), queues_[id].end());
    }
    return all;
  }
  absl::Status ApplyMistakes(absl::Span<const ClassId>, absl::Span<const int32_t>,
                             absl::Span<const int32_t>) override {
    return absl::OkStatus();
  }

 private:
  std::map<ClassId, std::vector<ClassId>> queues_;
};

TEST(ClassSelectorTest, TakesThePositivesAndTheirDominants) {
  const protopage::ClassSet classes = protopage::ClassSet::All(1000);
  MapSource queues({{7, {3, 900}}, {8, {3, 12}}});
  protopage::ClassSelectorOptions options;
  options.seed = 1;
  options.classes_per_step = 5;
  options.classes = &classes;
  options.dominants = &queues;
  auto selector = protopage::MakeClassSelector("dominant", options);
  ASSERT_TRUE(selector.ok()) << selector.status();
  auto selection = (*selector)->Select(/*step=*/0, {7, 8});
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_THAT(selection->classes, ElementsAre(3, 7, 8, 12, 900));
}

}  // namespace
}  // namespace reuse
