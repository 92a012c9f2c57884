#include "protopage/sampling/class_selector.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// What the modes share: checks before, order and slots after.
class SelectorBase : public ClassSelector {
 public:
  explicit SelectorBase(const ClassSelectorOptions& options) : options_(options) {}

  absl::StatusOr<ClassSelection> Select(int64_t step, absl::Span<const ClassId> positives) final {
    std::vector<ClassId> sorted(positives.begin(), positives.end());
    std::sort(sorted.begin(), sorted.end());
    PROTOPAGE_RETURN_IF_ERROR(CheckPositives(sorted));
    ClassSelection selection;
    PROTOPAGE_ASSIGN_OR_RETURN(selection.classes, Choose(step, sorted));
    std::sort(selection.classes.begin(), selection.classes.end());
    selection.positive_slots.reserve(sorted.size());
    auto at = selection.classes.begin();
    for (const ClassId id : sorted) {
      at = std::lower_bound(at, selection.classes.end(), id);
      PROTOPAGE_CHECK(at != selection.classes.end() && *at == id);
      selection.positive_slots.push_back(static_cast<int32_t>(at - selection.classes.begin()));
    }
    return selection;
  }

 protected:
  // All classes of the step, distinct, in any order. `positives` are valid and ascending.
  virtual absl::StatusOr<std::vector<ClassId>> Choose(int64_t step,
                                                      const std::vector<ClassId>& positives) = 0;
  virtual int64_t active_classes() const { return options_.classes_per_step; }
  const ClassSet& classes() const { return *options_.classes; }

  // Adds random classes to `chosen` until there are K.
  void FillUp(RandomStream& random, std::vector<ClassId>& chosen) const {
    const int64_t missing = active_classes() - static_cast<int64_t>(chosen.size());
    const std::vector<ClassId> more = SampleMembers(random, classes(), missing, chosen);
    chosen.insert(chosen.end(), more.begin(), more.end());
  }

  const ClassSelectorOptions options_;

 private:
  absl::Status CheckPositives(const std::vector<ClassId>& sorted) const {
    if (static_cast<int64_t>(sorted.size()) > active_classes()) {
      return absl::InvalidArgumentError(absl::StrCat(sorted.size(), " positive classes given for ",
                                                     "a step of ", active_classes(), " classes"));
    }
    for (size_t i = 0; i < sorted.size(); ++i) {
      if (!classes().Contains(sorted[i])) {
        return absl::InvalidArgumentError(
            absl::StrCat("positive class ", sorted[i], " is not one of the ", classes().size(),
                         " classes of [0, ", classes().num_classes(), ") that may be drawn"));
      }
      if (i > 0 && sorted[i] == sorted[i - 1]) {
        return absl::InvalidArgumentError(
            absl::StrCat("positive class ", sorted[i], " was given twice"));
      }
    }
    return absl::OkStatus();
  }
};

class FullSelector : public SelectorBase {
 public:
  using SelectorBase::SelectorBase;

 protected:
  int64_t active_classes() const override { return classes().size(); }
  absl::StatusOr<std::vector<ClassId>> Choose(int64_t, const std::vector<ClassId>&) override {
    std::vector<ClassId> all(classes().size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = classes().Member(i);
    return all;
  }
};

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
    // The union as a set, ascending, without the positives and what may not be drawn (places of a
    // queue that are not filled, dropped classes).
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
    const int64_t beside = active_classes() - static_cast<int64_t>(positives.size());
    const int64_t wanted = std::llround(share_ * static_cast<double>(beside));
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

template <typename Selector>
std::unique_ptr<ClassSelector> Make(const ClassSelectorOptions& options) {
  return std::make_unique<Selector>(options);
}

struct Mode {
  const char* name;
  bool all_classes;  // K is the number of classes.
  DominantKind dominants;
  std::unique_ptr<ClassSelector> (*make)(const ClassSelectorOptions& options);
};

constexpr Mode kModes[] = {
    {"full", true, DominantKind::kNone, &Make<FullSelector>},
    {"random", false, DominantKind::kNone, &Make<RandomSelector>},
    {"dominant", false, DominantKind::kQueues, &Make<DominantSelector>},
    {"mixed", false, DominantKind::kQueues, &Make<MixedSelector>},
    {"nearest", false, DominantKind::kNearest, &Make<DominantSelector>},
};

const Mode* FindMode(absl::string_view name) {
  for (const Mode& mode : kModes) {
    if (name == mode.name) return &mode;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClassSelector>> MakeClassSelector(
    absl::string_view name, const ClassSelectorOptions& options) {
  PROTOPAGE_CHECK(options.classes != nullptr);
  const Mode* mode = FindMode(name);
  if (mode == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("selection mode \"", name, "\" is unknown; the ",
                                                   "known ones are ",
                                                   absl::StrJoin(ClassSelectorModes(), ", ")));
  }
  if (!mode->all_classes &&
      (options.classes_per_step < 1 || options.classes_per_step > options.classes->size())) {
    return absl::InvalidArgumentError(absl::StrCat("classes_per_step is ", options.classes_per_step,
                                                   "; it must be in [1, ", options.classes->size(),
                                                   "], the classes that may be drawn"));
  }
  if (mode->dominants != DominantKind::kNone && options.dominants == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("selection mode \"", name, "\" needs a source of dominant classes"));
  }
  return mode->make(options);
}

std::vector<std::string> ClassSelectorModes() {
  std::vector<std::string> names;
  for (const Mode& mode : kModes) names.push_back(mode.name);
  return names;
}

DominantKind DominantKindOf(absl::string_view mode) {
  const Mode* found = FindMode(mode);
  return found == nullptr ? DominantKind::kNone : found->dominants;
}

}  // namespace protopage
