#include "protopage/sampling/full_selector.h"

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/types.h"
#include "protopage/sampling/selector_base.h"

namespace protopage {
namespace {

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

}  // namespace

SelectionMode FullMode() {
  SelectionMode mode;
  mode.name = "full";
  mode.help = "all classes";
  mode.all_classes = true;
  mode.make = &MakeSelector<FullSelector>;
  return mode;
}

}  // namespace protopage
