// TrainConfig: the whole description of a run, read from JSON; see `protopage train --help`.
//
//   TrainConfig config;
//   PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "", config));
//   PROTOPAGE_RETURN_IF_ERROR(ValidateConfig(&config));
#ifndef PROTOPAGE_TRAINER_CONFIGS_CONFIG_H_
#define PROTOPAGE_TRAINER_CONFIGS_CONFIG_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/config_fields.h"
#include "protopage/data/source_config.h"
#include "protopage/data/split.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/trainer/configs/stage_specs.h"

namespace protopage {

struct PrototypesConfig {
  int64_t cache_bytes = int64_t{256} << 20;
  int64_t index_bytes = int64_t{256} << 20;
  // As in ClassIndexOptions: kind, lists, probes and candidates.
  std::string index = "auto";
  int64_t index_lists = 0;
  int64_t index_probes = 0;
  double index_candidates = 0;
  std::string dtype = "float32";
  std::string row_state = "momentum";
  // A store that belongs to no run, from which new prototypes are copied.
  std::string init_from;
  // Steps between updates of the index with trained rows; an epoch's end updates it as well.
  int64_t index_update_steps = 64;
  double reencode_below = 0.999;

  void Fields(ConfigVisitor& v);
};

// One of the stages that a run goes through, in order. trainer/configs/stage_specs.cc says what
// each kind does and which of these keys it reads.
struct StageConfig {
  std::string name = "dominant";
  // "" means the split of the stage's spec: source_train for source, target_train for imprint and
  // dominant; for evaluate source_test after a source stage, else target_test and unseen. Once the
  // config is validated, it has a value.
  std::string split;
  // Length of a training stage: exactly one of the two is above 0.
  double epochs = 0;
  int64_t steps = 0;
  int64_t batch_size = 128;
  // Imprint: only images of this domain ("id"); "" takes all.
  std::string domain;
  bool augment = true;
  bool train_net = true;
  double dropout = -1;  // -1: the model's.
  double margin = -1;   // -1: the loss's.
  OptimizerConfig optimizer;
  RowOptimizerConfig rows;
  ScheduleConfig schedule;

  void Fields(ConfigVisitor& v);
  // By the spec of its name.
  bool trains() const;
};

struct TrainConfig {
  int64_t seed = 1;
  std::string device = "auto";
  std::string precision = "float32";
  // The source of the net's first weights: a run's directory (its newest checkpoint), a checkpoint
  // of it or a model.h5.
  std::string init_from;
  int64_t threads = 0;
  int64_t loader_threads = 0;
  int64_t log_every_steps = 20;
  // In addition to those at the end of every epoch and stage; 0: none.
  int64_t checkpoint_every_steps = 0;
  double checkpoint_every_minutes = 0;
  int64_t keep_checkpoints = 2;
  int64_t max_bad_steps = 10;
  DataConfig data;
  NetOptions model;
  LossConfig loss;
  PrototypesConfig prototypes;
  SelectionConfig selection;
  std::vector<StageConfig> stages;

  void Fields(ConfigVisitor& v);
};

// The spec of the last stage before `stage` that makes or trains a classifier; null when none does.
// As below, the stages' names must be known.
const StageSpec* ClassifierMaker(const TrainConfig& config, int64_t stage);
// The split whose images the stage trains, imprints or evaluates on.
Split StageSplit(const TrainConfig& config, int64_t stage);

// Resolves defaults that depend on other keys and makes all checks that need no data. Afterwards no
// key says "the default of something else": loss.scale and loss.margin, data.channels,
// data.augment.*, and of stages split, dropout and margin have their values. (device and threads
// stay as they are: another machine may have others; so do prototypes.index and its lists, which
// follow from the number of classes.) Errors: InvalidArgument with the key, the value found and the
// values allowed.
absl::Status ValidateConfig(TrainConfig* config);

// The validated config that `json` holds after the "key=value" changes in `set`. Errors:
// InvalidArgument, which begins with `source` unless a change is malformed.
absl::StatusOr<TrainConfig> ReadTrainConfig(nlohmann::json json,
                                            const std::vector<std::string>& set,
                                            absl::string_view source);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_CONFIGS_CONFIG_H_
