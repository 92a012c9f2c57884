// The macros of the host, whose names other projects use as well, among all headers of protopage
// that are meant for reuse: neither changes what the other's mean.

// clang-format off
#include "base/status.h"
// clang-format on

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "data/loader.h"
#include "eval/report.h"
#include "gtest/gtest.h"
#include "model/tensor.h"
#include "protopage/base/best_scores.h"
#include "protopage/base/bfloat16.h"
#include "protopage/base/check.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/float16.h"
#include "protopage/base/keyed_permutation.h"
#include "protopage/base/logging.h"
#include "protopage/base/mutex.h"
#include "protopage/base/philox.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/stopwatch.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/data/augment.h"
#include "protopage/data/image.h"
#include "protopage/data/image_source.h"
#include "protopage/data/loader.h"
#include "protopage/data/open_source.h"
#include "protopage/data/source_config.h"
#include "protopage/eval/closed_set.h"
#include "protopage/eval/identification.h"
#include "protopage/eval/report.h"
#include "protopage/eval/row_source.h"
#include "protopage/eval/text_table.h"
#include "protopage/eval/verification.h"
#include "protopage/eval/wilson_interval.h"
#include "protopage/model/backend.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/graph.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/op.h"
#include "protopage/model/ops.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/neighbor_search.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_inspection.h"
#include "protopage/sampling/class_queue_source.h"
#include "protopage/sampling/class_sampler.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"
#include "protopage/sampling/look_ahead.h"
#include "protopage/sampling/nearest_class_source.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/sampling/selection_mode.h"
#include "protopage/sampling/selection_modes.h"
#include "protopage/sampling/step_planner.h"
#include "protopage/trainer/observers/observer.h"

namespace reuse {
namespace {

// The macros of the host return its own errors.
Error FirstX(const std::string& text, double* x) {
  ASSIGN_OR_RETURN(const std::vector<Point> points, Loader(text).Load());
  CHECK(!points.empty());
  RETURN_IF_ERROR(Error::kNone);
  *x = points[0].x;
  return Error::kNone;
}

// Those of protopage return absl::Status.
absl::Status SizeOf(const std::string& path, int64_t* size) {
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto file, protopage::DefaultFileSystem()->Open(path, protopage::OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(*size, file->Size());
  PROTOPAGE_RETURN_IF_ERROR(absl::OkStatus());
  return absl::OkStatus();
}

TEST(MacrosTest, HostAndProtopageHaveTheirOwn) {
  double x = 0;
  EXPECT_OK(FirstX("3 4", &x));
  EXPECT_EQ(x, 3);
  EXPECT_EQ(FirstX("", &x), Error::kEmpty);

  const std::string path = ::testing::TempDir() + "/macros";
  PROTOPAGE_ASSERT_OK(protopage::WriteFileAtomically(protopage::DefaultFileSystem(), path, "four"));
  int64_t size = 0;
  PROTOPAGE_EXPECT_OK(SizeOf(path, &size));
  EXPECT_EQ(size, 4);
  EXPECT_FALSE(SizeOf(path + "_absent", &size).ok());
}

TEST(MacrosTest, AnObserverReportsToTheHost) {
  class Reporter : public protopage::TrainObserver {
   public:
    explicit Reporter(Report* report) : report_(*report) {}
    absl::Status OnStep(const protopage::StepReport& step) override {
      report_.Add(step.stage, step.loss);
      return absl::OkStatus();
    }

   private:
    Report& report_;
  };
  Report report;
  protopage::ObserverList observers;
  observers.Add(std::make_unique<Reporter>(&report));
  PROTOPAGE_ASSERT_OK(observers.OnStep({.stage = "source", .loss = 0.5}));
  EXPECT_EQ(report.text(), "source: 0.5\n");
}

}  // namespace
}  // namespace reuse
