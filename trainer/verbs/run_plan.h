// PlanRun: the memory, the disk and the bytes a step that a run will need, and the resource that it
// will wait for, before it is started.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const RunPlan plan, PlanRun(config, {}));
//   std::cout << FormatRunPlan(plan);
//
// Each training stage is rehearsed (trainer/verbs/stage_rehearsal.h), so the net's memory, the
// bytes of a class on disk and the time of a step are measured, not guessed; quantities that grow
// with the number of classes are scaled up from there. The images are opened, and thereby checked,
// as in training.
#ifndef PROTOPAGE_TRAINER_VERBS_RUN_PLAN_H_
#define PROTOPAGE_TRAINER_VERBS_RUN_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/class_identity.h"

namespace protopage {

struct RunPlanOptions {
  // Scattered reads of 4 KiB that the run's disk delivers a second, many at a time.
  double reads_per_second = 50000;
  // Memory that the page cache may use; 0 is all that is free besides the run's own.
  int64_t page_cache_bytes = 0;
  // When the images' classes are not those of prototypes.init_from.
  ClassPolicy class_policy = ClassPolicy::kExact;
};

// Bytes, but where said. Of a training stage.
struct StagePlan {
  int64_t stage = 0;  // In the config.
  std::string name;
  bool trains_prototypes = false;
  int64_t steps = 0;
  int64_t batch_size = 0;
  int64_t num_classes = 0;
  int64_t active_classes = 0;  // K; all in a source stage.

  // Memory.
  int64_t model_memory = 0;  // Parameters, gradients, optimizer, activations, the step's rows.
  bool on_gpu = false;       // model_memory is the GPU's, whatever the number of classes.
  int64_t image_memory = 0;  // Batches on their way.
  int64_t row_cache = 0;     // At most, as all below.
  int64_t index_memory = 0;
  std::string index_kind;    // "" when the stage's selection needs none.
  int64_t other_memory = 0;  // Queues, blocks of checksums, the log's index.
  int64_t memory() const {
    return (on_gpu ? 0 : model_memory) + image_memory + row_cache + index_memory + other_memory;
  }

  // Disk. All classes visited.
  int64_t class_bytes = 0;  // Of one class: rows, state, checksums, queues.
  int64_t table_bytes = 0;  // class_bytes * num_classes
  // At most: the writes of a checkpoint interval, for each checkpoint that is kept and one more.
  int64_t log_bytes = 0;
  int64_t checkpoint_bytes = 0;  // Of one: the model and the index.

  // A step.
  int64_t row_bytes_read = 0;  // Where none is cached; as many are written.
  // Rows read to score candidates again, when all positives are searched for.
  int64_t candidate_rows = 0;
  int64_t candidate_bytes_read = 0;
  int64_t image_bytes = 0;   // Of pixels.
  double step_seconds = 0;   // Measured: the step with images and rows at hand.
  double image_seconds = 0;  // Reading and decoding its images, measured on some of them.
  double row_seconds = 0;    // Scattered reads that page cache and row cache do not spare.
  std::string bottleneck;    // "compute", "images" or "rows"
};

struct RunPlan {
  std::vector<StagePlan> stages;
  int64_t process_memory = 0;   // Of the program itself and of the opened images.
  int64_t resident_memory = 0;  // The most: of the process and of a stage.
  int64_t disk_bytes = 0;       // Tables, log, and the checkpoints that are kept.
  int64_t memory_there = 0;     // Of the machine.
  int64_t page_cache = 0;       // Left for it.
  std::vector<std::string> warnings;
};

// `config` must have been validated. Errors: as those of training before its first step.
absl::StatusOr<RunPlan> PlanRun(const TrainConfig& config, const RunPlanOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_RUN_PLAN_H_
