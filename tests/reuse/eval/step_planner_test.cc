// Store, index, queues and planner of protopage together: the classes of a training step, without a
// trainer, for a report of the host.

#include "protopage/sampling/step_planner.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "eval/report.h"
#include "gtest/gtest.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/sampling/class_queue_source.h"
#include "protopage/sampling/selection_config.h"

namespace reuse {
namespace {

// Classes on a circle: the nearest of class i are i - 1 and i + 1.
TEST(StepPlannerTest, PlansWithTheNearestClasses) {
  constexpr int64_t kClasses = 12;
  const std::string folder = ::testing::TempDir();
  protopage::PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.dim = 2;
  auto store = protopage::PrototypeStore::Create(folder + "/rows.h5", spec, {});
  ASSERT_TRUE(store.ok()) << store.status();
  protopage::RowMatrixXf rows(kClasses, 2);
  for (int64_t i = 0; i < kClasses; ++i) {
    const double angle = 2 * 3.14159265358979 * static_cast<double>(i) / kClasses;
    rows.row(i) << static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle));
  }
  ASSERT_TRUE((*store)->WriteRange(0, rows).ok());

  protopage::ThreadPool pool(1);
  auto index = protopage::BuildClassIndex(
      kClasses, 2, {}, &pool, [&](protopage::ClassId first, protopage::RowMatrixRef block) {
        return (*store)->ReadRange(first, block);
      });
  ASSERT_TRUE(index.ok()) << index.status();
  protopage::ClassQueuesOptions queue_options;
  queue_options.dominant_queue = 2;
  queue_options.candidate_queue = 4;
  auto queues = protopage::ClassQueues::Create(folder + "/queues.h5", kClasses, queue_options);
  ASSERT_TRUE(queues.ok()) << queues.status();
  protopage::ClassQueueSource source(
      queues->get(), protopage::SearchPrototypes(store->get(), index->get(), &pool));

  protopage::SelectionConfig config;
  config.mode = "dominant";
  config.classes_per_step = 3;
  config.positive_classes = 1;
  protopage::StepPlannerOptions options;
  options.seed = 1;
  options.num_classes = kClasses;
  options.batch_size = 4;
  options.num_images = [](protopage::ClassId) { return 2; };
  options.dominants = &source;
  auto planner = protopage::StepPlanner::Create(config, options);
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto plan = (*planner)->Plan();
  ASSERT_TRUE(plan.ok()) << plan.status();

  const std::vector<protopage::ClassId>& classes = (*plan)->classes;
  ASSERT_EQ(classes.size(), 3u);
  ASSERT_EQ((*plan)->positive_slots.size(), 1u);
  const protopage::ClassId positive = classes[(*plan)->positive_slots[0]];
  Report report;
  for (const protopage::ClassId id : classes) {
    const int64_t distance =
        std::min((id - positive + kClasses) % kClasses, (positive - id + kClasses) % kClasses);
    EXPECT_LE(distance, 1);
    const ClassId name = "distance of class " + std::to_string(id);
    report.Add(name, static_cast<double>(distance));
  }
  EXPECT_NE(report.text().find("distance of class " + std::to_string(positive) + ": 0\n"),
            std::string::npos);
}

}  // namespace
}  // namespace reuse
