// StageTotals: the counters of a training stage, since its StageTrainer was made unless they say
// "now". A stage leaves at their defaults those that it has no use for.
//
//   const StageTotals before = trainer->totals();
//   ...  // Train some steps.
//   const StageTotals now = trainer->totals();
//   const double waited = now.wait_images_seconds - before.wait_images_seconds;
#ifndef PROTOPAGE_TRAINER_STAGES_STAGE_TOTALS_H_
#define PROTOPAGE_TRAINER_STAGES_STAGE_TOTALS_H_

#include <cstdint>
#include <limits>

namespace protopage {

struct StageTotals {
  static constexpr double kNotCounted = std::numeric_limits<double>::quiet_NaN();

  double wait_images_seconds = 0;
  double loss_scale = 1;  // Now; see trainer/step/loss_scale.h.
  double wait_rows_seconds = kNotCounted;
  double wait_plan_seconds = kNotCounted;
  double index_seconds = kNotCounted;  // Updates of the class index, in the planner's thread.
  // As in RecallEstimate of prototypes/neighbor_search.h.
  int64_t recall_queries = 0;
  double recall_missed = 0;
  // Candidate queues used, and the steps since they were searched.
  int64_t queues_used = 0;
  int64_t queues_age_steps = 0;
  int64_t log_bytes = 0;  // Of the log's segments now.
  int64_t rows_paged = 0;
  int64_t row_hits = 0;
  int64_t row_lookups = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGE_TOTALS_H_
