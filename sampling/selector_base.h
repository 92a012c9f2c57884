// SelectorBase: what the modes of selection share. A mode derives from it and chooses the classes;
// the base checks the positives before, and sorts and finds their slots after.
#ifndef PROTOPAGE_SAMPLING_SELECTOR_BASE_H_
#define PROTOPAGE_SAMPLING_SELECTOR_BASE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/random.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/class_set.h"

namespace protopage {

class SelectorBase : public ClassSelector {
 public:
  explicit SelectorBase(const ClassSelectorOptions& options) : options_(options) {}

  absl::StatusOr<ClassSelection> Select(int64_t step, absl::Span<const ClassId> positives) final;

 protected:
  // All classes of the step, distinct, in any order. `positives` are valid and ascending.
  virtual absl::StatusOr<std::vector<ClassId>> Choose(int64_t step,
                                                      const std::vector<ClassId>& positives) = 0;
  // K.
  virtual int64_t active_classes() const { return options_.classes_per_step; }

  const ClassSet& classes() const { return *options_.classes; }

  // Adds random classes to `chosen` until there are K.
  void FillUp(RandomStream& random, std::vector<ClassId>& chosen) const;

  const ClassSelectorOptions options_;

 private:
  absl::Status CheckPositives(const std::vector<ClassId>& sorted) const;
};

// SelectionMode::make of a mode whose selector is `Selector`.
template <typename Selector>
std::unique_ptr<ClassSelector> MakeSelector(const ClassSelectorOptions& options) {
  return std::make_unique<Selector>(options);
}

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_SELECTOR_BASE_H_
