#include "protopage/trainer/run/stage_images.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/types.h"

namespace protopage {

StageImages DescribeImages(const ImageSource& source) {
  constexpr int64_t kBlock = 4096;
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<ClassId> labels;
  for (int64_t first = 0; first < source.size(); first += kBlock) {
    labels.resize(std::min(kBlock, source.size() - first));
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = source.Label(first + i);
    XXH3_64bits_update(state.get(), labels.data(), labels.size() * sizeof(ClassId));
  }
  return {source.size(), absl::StrFormat("%016x", XXH3_64bits_digest(state.get()))};
}

absl::Status CheckSameImages(const StageImages& begun, const ImageSource& source) {
  if (begun.count < 0) return absl::OkStatus();
  const StageImages now = DescribeImages(source);
  if (now.count == begun.count && now.labels == begun.labels) return absl::OkStatus();
  return absl::InvalidArgumentError(
      now.count != begun.count
          ? absl::StrCat("the stage began with ", begun.count, " images and would go on with ",
                         now.count, ": ", source.Description())
          : absl::StrCat("the stage began with other images, as their labels differ: ",
                         source.Description()));
}

}  // namespace protopage
