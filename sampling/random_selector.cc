#include "protopage/sampling/random_selector.h"

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/random.h"
#include "protopage/base/types.h"
#include "protopage/sampling/selector_base.h"

namespace protopage {
namespace {

class RandomSelector : public SelectorBase {
 public:
  using SelectorBase::SelectorBase;

 protected:
  absl::StatusOr<std::vector<ClassId>> Choose(int64_t step,
                                              const std::vector<ClassId>& positives) override {
    RandomStream random(options_.seed, RandomPurpose::kClassSelector, step);
    std::vector<ClassId> chosen = positives;
    FillUp(random, chosen);
    return chosen;
  }
};

}  // namespace

SelectionMode RandomMode() {
  SelectionMode mode;
  mode.name = "random";
  mode.help = "the positive classes, and others at random";
  mode.make = &MakeSelector<RandomSelector>;
  return mode;
}

}  // namespace protopage
