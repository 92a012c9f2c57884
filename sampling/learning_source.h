// Stand-ins for queues and for a network, for tests of planning.
#ifndef PROTOPAGE_SAMPLING_LEARNING_SOURCE_H_
#define PROTOPAGE_SAMPLING_LEARNING_SOURCE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/step_planner.h"

namespace protopage {

// Queues of 5 classes that learn every mistake, the newest at the head: a plan depends on all
// mistakes before it. Keeps a log of the calls that succeed.
class LearningSource : public DominantSource {
 public:
  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                 absl::Span<const ClassId> classes) override {
    if (!plan_error.ok()) return plan_error;
    log.push_back(absl::StrCat("plan ", step));
    std::vector<ClassId> all;
    for (const ClassId id : classes) {
      const std::vector<ClassId>& queue = Queue(id);
      all.insert(all.end(), queue.begin(), queue.end());
    }
    return all;
  }
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted) override {
    if (!apply_error.ok()) return apply_error;
    log.push_back("apply");
    for (size_t i = 0; i < slots.size(); ++i) {
      std::vector<ClassId>& queue = Queue(classes[slots[i]]);
      queue.insert(queue.begin(), classes[predicted[i]]);
      queue.pop_back();
    }
    return absl::OkStatus();
  }
  std::vector<ClassId>& Queue(ClassId id) {
    std::vector<ClassId>& queue = queues[id];
    if (queue.empty()) queue = {id + 1, id + 2, id + 3, id + 4, id + 5};
    return queue;
  }

  std::map<ClassId, std::vector<ClassId>> queues;
  std::vector<std::string> log;
  absl::Status plan_error, apply_error;
};

// Predictions of a network: a function of the plan.
inline std::vector<int32_t> Predict(const StepPlan& plan) {
  std::vector<int32_t> predicted;
  for (size_t b = 0; b < plan.samples.size(); ++b) {
    predicted.push_back(
        static_cast<int32_t>((plan.samples[b].slot + plan.step + b) % plan.classes.size()));
  }
  return predicted;
}

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_LEARNING_SOURCE_H_
