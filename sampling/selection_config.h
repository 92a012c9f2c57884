// SelectionConfig: the "selection" object of a config: how the K classes of a step are chosen.
//
//   SelectionConfig config;
//   PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "selection", config));
//   PROTOPAGE_RETURN_IF_ERROR(ValidateSelection(config, num_classes, batch_size));
#ifndef PROTOPAGE_SAMPLING_SELECTION_CONFIG_H_
#define PROTOPAGE_SAMPLING_SELECTION_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "protopage/base/config_fields.h"

namespace protopage {

struct SelectionConfig {
  std::string mode = "dominant";
  int64_t classes_per_step = 30;  // K, but for modes that take all classes.
  int64_t positive_classes = 10;
  std::string class_order = "uniform";
  int64_t dominant_queue = 20;
  int64_t candidate_queue = 50;
  double dominant_share = 0.5;
  std::string images_for = "all";
  int64_t look_ahead = 4;                  // L
  int64_t candidate_refresh_steps = 1000;  // 0 means never.
  bool frozen_queues = false;

  void Fields(ConfigVisitor& v);
};

// Checks the values against each other, against `num_classes` (the classes that may be drawn, N)
// and against `batch_size` (B). Errors: InvalidArgument that names the keys, the values and what is
// allowed.
absl::Status ValidateSelection(const SelectionConfig& config, int64_t num_classes,
                               int64_t batch_size);

// K: classes_per_step, or `num_classes` for a mode that takes all classes.
int64_t ActiveClasses(const SelectionConfig& config, int64_t num_classes);

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_SELECTION_CONFIG_H_
