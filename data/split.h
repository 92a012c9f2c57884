// Split: the parts of a data set that a config can name.
//
// A data set has two roles, source and target, each with classes of its own, and `unseen`, images
// of classes that belong to neither. Training, validation and test images of one role have the same
// labels. Validation images are held out of the training images.
#ifndef PROTOPAGE_DATA_SPLIT_H_
#define PROTOPAGE_DATA_SPLIT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

enum class Split {
  kSourceTrain,
  kSourceValidation,
  kSourceTest,
  kTargetTrain,
  kTargetValidation,
  kTargetTest,
  kUnseen,
};

const char* SplitName(Split split);  // "source_train"
// Errors: InvalidArgument with the names allowed.
absl::StatusOr<Split> ParseSplit(absl::string_view name);
// As above, and `fallback` for an empty name.
absl::StatusOr<Split> ParseSplitOr(absl::string_view name, Split fallback);

bool IsSource(Split split);  // source_train, source_validation or source_test
bool IsTraining(Split split);
bool IsValidation(Split split);
// The training split of the same role: it has the same labels, and holds the images of the
// validation split. `unseen` is its own.
Split TrainingSplitOf(Split split);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SPLIT_H_
