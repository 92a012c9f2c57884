#include "protopage/model/nets/seed_cnn.h"

#include "protopage/model/ops.h"

namespace protopage {
namespace {

constexpr int64_t kNativeDim = 512;

absl::Status Build(const NetSpec& spec, Graph* graph) {
  int x = graph->Input({spec.image.height, spec.image.width, spec.image.channels}, spec.input_scale,
                       spec.input_shift);
  x = graph->Add(Conv2d("conv_1", {.filters = 32, .padding = Padding::kSame}), {x});
  x = graph->Add(BatchNorm("bn_conv1", {.relu = true}), {x});
  x = graph->Add(Conv2d("conv_2", {.filters = 32, .relu = true}), {x});
  x = graph->Add(MaxPool2d("max_pooling2d_1", {}), {x});
  x = graph->Add(Dropout("dropout_1"), {x});
  x = graph->Add(Conv2d("conv_3", {.filters = 64, .padding = Padding::kSame, .relu = true}), {x});
  x = graph->Add(Conv2d("conv_4", {.filters = 64, .relu = true}), {x});
  x = graph->Add(MaxPool2d("max_pooling2d_2", {}), {x});
  x = graph->Add(Dropout("dropout_2"), {x});
  x = graph->Add(Conv2d("conv_5", {.filters = kNativeDim, .relu = true}), {x});
  x = graph->Add(GlobalAveragePool("global_average_pooling2d_1"), {x});
  if (spec.embedding_dim != kNativeDim) {
    x = graph->Add(Linear("embedding", {.units = spec.embedding_dim, .bias = false}), {x});
  }
  return graph->Finish(x);
}

}  // namespace

NetEntry SeedCnn() {
  NetEntry entry;
  entry.name = "seed_cnn";
  entry.help = "the demo's CNN: 361,120 parameters for 3 channels";
  entry.native_dim = kNativeDim;
  // 18 -> 16 -> 8 -> 6 -> 3 -> 1: smaller images leave nothing to average.
  entry.min_size = 18;
  entry.channels = {1, 3};
  entry.build = Build;
  return entry;
}

}  // namespace protopage
