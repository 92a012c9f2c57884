#include "protopage/sampling/selection_config.h"

#include "absl/strings/str_cat.h"
#include "protopage/sampling/class_selector.h"

namespace protopage {

void SelectionConfig::Fields(ConfigVisitor& v) {
  v.Text("mode", &mode,
         {.help = "how the classes of a step are chosen: full takes all, random the positive ones "
                  "and others at random, dominant the positive ones and those they are most "
                  "easily confused with, mixed some of these and others at random, nearest the "
                  "exactly nearest ones, searched at every step (slow: to compare with)",
          .choices = ClassSelectorModes()});
  v.Integer("classes_per_step", &classes_per_step,
            {.help = "classes in the softmax of a step (K); mode full takes all classes instead",
             .min = 1,
             .max = 1 << 30});
  v.Integer("positive_classes", &positive_classes,
            {.help = "classes a step drawn by the class sampler, at most classes_per_step",
             .min = 1,
             .max = 1 << 30});
  v.Text("class_order", &class_order,
         {.help = "how the positive classes are drawn: uniform (independently at each step), "
                  "shuffled (each class once before any is drawn again), or power_law (the r-th "
                  "most frequent class 1 / r times as often as the first: to measure with)",
          .choices = {"uniform", "shuffled", "power_law"}});
  v.Integer(
      "dominant_queue", &dominant_queue,
      {.help = "length of a class's queue of dominant classes; modes dominant and mixed (nearest: "
               "how many nearest classes of each positive one are drawn from)",
       .min = 1,
       .max = 1 << 20});
  v.Integer("candidate_queue", &candidate_queue,
            {.help = "length of a class's queue of candidates, which mistakes are promoted from, "
                     "at least dominant_queue; modes dominant and mixed",
             .min = 1,
             .max = 1 << 20});
  v.Number(
      "dominant_share", &dominant_share,
      {.help = "mode mixed: the share of the classes beside the positive ones that comes from the "
               "dominant queues; the rest is random",
       .min = 0,
       .max = 1});
  v.Text("images_for", &images_for,
         {.help = "which classes of a step get images: all (one each, then at random; needs a "
                  "batch of at least classes_per_step), or positives (the others are negatives "
                  "without images)",
          .choices = {"all", "positives"}});
  v.Integer("look_ahead", &look_ahead,
            {.help = "steps planned ahead of the training step (L); mistakes reach the queues "
                     "before the step after next_step + L is planned",
             .min = 0,
             .max = 1024});
  v.Integer("candidate_refresh_steps", &candidate_refresh_steps,
            {.help = "candidates older than this many steps are searched again when their class "
                     "is drawn; 0 means never; modes dominant and mixed",
             .min = 0});
  v.Flag("frozen_queues", &frozen_queues,
         {.help =
              "the queues of all classes are built when the stage starts, and neither mistakes nor "
              "refreshes change them; modes dominant and mixed"});
}

int64_t ActiveClasses(const SelectionConfig& config, int64_t num_classes) {
  return config.mode == "full" ? num_classes : config.classes_per_step;
}

absl::Status ValidateSelection(const SelectionConfig& config, int64_t num_classes,
                               int64_t batch_size) {
  const int64_t active = ActiveClasses(config, num_classes);
  // What K is called in messages.
  const std::string active_name =
      config.mode == "full"
          ? absl::StrCat("the number of classes, ", active, ", which selection.mode \"full\" takes")
          : absl::StrCat("selection.classes_per_step, ", active);
  if (active > num_classes) {
    return absl::InvalidArgumentError(absl::StrCat("selection.classes_per_step is ", active,
                                                   "; it must be at most the number of classes ",
                                                   "that can be drawn, ", num_classes));
  }
  if (config.positive_classes > active) {
    return absl::InvalidArgumentError(absl::StrCat("selection.positive_classes is ",
                                                   config.positive_classes, "; it must be at most ",
                                                   active_name));
  }
  if (DominantKindOf(config.mode) == DominantKind::kQueues &&
      config.candidate_queue < config.dominant_queue) {
    return absl::InvalidArgumentError(
        absl::StrCat("selection.candidate_queue is ", config.candidate_queue,
                     "; it must be at least selection.dominant_queue, ", config.dominant_queue));
  }
  if (config.images_for == "all" && batch_size < active) {
    return absl::InvalidArgumentError(
        absl::StrCat("the batch size is ", batch_size,
                     "; with selection.images_for \"all\" it must be at least ", active_name,
                     " (or use selection.images_for \"positives\")"));
  }
  if (config.images_for == "positives" && batch_size < config.positive_classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the batch size is ", batch_size, "; it must be at least selection.positive_classes, ",
        config.positive_classes));
  }
  return absl::OkStatus();
}

}  // namespace protopage
