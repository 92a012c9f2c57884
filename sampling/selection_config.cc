#include "protopage/sampling/selection_config.h"

#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/base/status_macros.h"
#include "protopage/sampling/selection_modes.h"

namespace protopage {
namespace {

// "mode mixed", "modes dominant and mixed": the modes for which `is_meant` is true.
std::string ModesThat(absl::FunctionRef<bool(const SelectionMode&)> is_meant) {
  std::vector<std::string> names;
  for (const SelectionMode& mode : SelectionModes()) {
    if (is_meant(mode)) names.push_back(mode.name);
  }
  const bool several = names.size() > 1;
  return absl::StrCat(several ? "modes " : "mode ", JoinWithAnd(std::move(names)));
}

std::string ModesWith(DominantKind kind) {
  return ModesThat([kind](const SelectionMode& mode) { return mode.dominants == kind; });
}

std::string ModeHelp() {
  std::vector<std::string> entries;
  for (const SelectionMode& mode : SelectionModes()) {
    entries.push_back(absl::StrCat(mode.name, " (", mode.help, ")"));
  }
  return absl::StrCat("which classes take part in a step: ", absl::StrJoin(entries, ", "));
}

}  // namespace

void SelectionConfig::Fields(ConfigVisitor& v) {
  const std::string with_queues = ModesWith(DominantKind::kQueues);
  v.Text("mode", &mode, {.help = ModeHelp(), .choices = SelectionModeNames()});
  v.Integer(
      "classes_per_step", &classes_per_step,
      {.help = absl::StrCat("classes in the softmax of a step (K); not used by ",
                            ModesThat([](const SelectionMode& mode) { return mode.all_classes; }),
                            ", where K is the number of classes"),
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
      {.help = absl::StrCat("length of a class's queue of dominant classes (", with_queues,
                            "), or how many nearest classes of each positive one are drawn from (",
                            ModesWith(DominantKind::kNearest), ")"),
       .min = 1,
       .max = 1 << 20});
  v.Integer("candidate_queue", &candidate_queue,
            {.help = absl::StrCat("length of a class's queue of candidates, which mistakes are "
                                  "promoted from, at least dominant_queue; ",
                                  with_queues),
             .min = 1,
             .max = 1 << 20});
  v.Number("dominant_share", &dominant_share,
           {.help = absl::StrCat(
                "the share of a step's other classes, without the positive ones, that "
                "comes from the dominant queues; the rest is random; ",
                ModesThat([](const SelectionMode& mode) { return mode.uses_dominant_share; })),
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
            {.help = absl::StrCat("candidates older than this many steps are searched again when "
                                  "their class is drawn; 0 means never; ",
                                  with_queues),
             .min = 0,
             .max = 1e15});
  v.Flag("frozen_queues", &frozen_queues,
         {.help = absl::StrCat("the queues of all classes are built when the stage starts, and "
                               "neither mistakes nor refreshes change them; ",
                               with_queues)});
}

int64_t ActiveClasses(const SelectionConfig& config, int64_t num_classes) {
  return TakesAllClasses(config.mode) ? num_classes : config.classes_per_step;
}

absl::Status ValidateSelection(const SelectionConfig& config, int64_t num_classes,
                               int64_t batch_size) {
  const int64_t active = ActiveClasses(config, num_classes);
  // K, for messages.
  const std::string active_name =
      TakesAllClasses(config.mode)
          ? absl::StrCat("the number of classes, ", active, ", which selection.mode \"",
                         config.mode, "\" takes")
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
  const SelectionMode* const mode = FindSelectionMode(config.mode);
  if (mode != nullptr && mode->validate != nullptr) {
    PROTOPAGE_RETURN_IF_ERROR(mode->validate({.classes_per_step = config.classes_per_step,
                                              .positive_classes = config.positive_classes,
                                              .dominant_queue = config.dominant_queue,
                                              .candidate_queue = config.candidate_queue,
                                              .dominant_share = config.dominant_share}));
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
