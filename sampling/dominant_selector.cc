#include "protopage/sampling/dominant_selector.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/types.h"
#include "protopage/sampling/selector_base.h"

namespace protopage {
namespace {

class DominantSelector : public SelectorBase {
 public:
  explicit DominantSelector(const ClassSelectorOptions& options) : DominantSelector(options, 1) {}

 protected:
  DominantSelector(const ClassSelectorOptions& options, double share)
      : SelectorBase(options), share_(share) {}

  absl::StatusOr<std::vector<ClassId>> Choose(int64_t step,
                                              const std::vector<ClassId>& positives) override {
    PROTOPAGE_ASSIGN_OR_RETURN(std::vector<ClassId> dominants,
                               options_.dominants->Dominants(step, positives));
    // The union as a set, ascending, without the positives and without ids that may not be drawn
    // (empty places of a queue, dropped classes).
    std::sort(dominants.begin(), dominants.end());
    dominants.erase(std::unique(dominants.begin(), dominants.end()), dominants.end());
    dominants.erase(std::remove_if(dominants.begin(), dominants.end(),
                                   [&](ClassId id) {
                                     return !classes().Contains(id) ||
                                            std::binary_search(positives.begin(), positives.end(),
                                                               id);
                                   }),
                    dominants.end());

    RandomStream random(options_.seed, RandomPurpose::kClassSelector, step);
    const int64_t available = static_cast<int64_t>(dominants.size());
    const int64_t others = active_classes() - static_cast<int64_t>(positives.size());
    const int64_t wanted = std::llround(share_ * static_cast<double>(others));
    std::vector<ClassId> chosen = positives;
    for (const int64_t i :
         SampleWithoutReplacement(random, available, std::min(wanted, available))) {
      chosen.push_back(dominants[i]);
    }
    FillUp(random, chosen);
    return chosen;
  }

 private:
  const double share_;
};

class MixedSelector : public DominantSelector {
 public:
  explicit MixedSelector(const ClassSelectorOptions& options)
      : DominantSelector(options, options.dominant_share) {}
};

absl::Status ValidateQueues(const SelectionKeys& keys) {
  if (keys.candidate_queue < keys.dominant_queue) {
    return absl::InvalidArgumentError(
        absl::StrCat("selection.candidate_queue is ", keys.candidate_queue,
                     "; it must be at least selection.dominant_queue, ", keys.dominant_queue));
  }
  return absl::OkStatus();
}

}  // namespace

SelectionMode DominantMode() {
  SelectionMode mode;
  mode.name = "dominant";
  mode.help = "the positive classes, and those they are most easily confused with";
  mode.dominants = DominantKind::kQueues;
  mode.validate = &ValidateQueues;
  mode.make = &MakeSelector<DominantSelector>;
  return mode;
}

SelectionMode MixedMode() {
  SelectionMode mode = DominantMode();
  mode.name = "mixed";
  mode.help = "the positive classes, a share of such classes, and others at random";
  mode.uses_dominant_share = true;
  mode.make = &MakeSelector<MixedSelector>;
  return mode;
}

SelectionMode NearestMode() {
  SelectionMode mode;
  mode.name = "nearest";
  mode.help =
      "the positive classes, and the exactly nearest ones, searched at every step; slow, for "
      "comparison";
  mode.dominants = DominantKind::kNearest;
  mode.make = &MakeSelector<DominantSelector>;
  return mode;
}

}  // namespace protopage
