#include "protopage/model/nets/nets.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/ops.h"

namespace protopage {
namespace {

// The CNN of the demo (reference: keras-lbl-IvS), with Keras' defaults: Glorot uniform kernels,
// zero biases, batch norm with epsilon 1e-3 and momentum .99.
absl::Status BuildSeedCnn(const NetOptions& options, const ImageShape& image, Graph* graph) {
  // 18 -> 16 -> 8 -> 6 -> 3 -> 1: smaller images leave nothing to average.
  constexpr int64_t kMinSize = 18;
  constexpr int64_t kNativeDim = 512;
  if (image.height < kMinSize || image.width < kMinSize) {
    return absl::InvalidArgumentError(absl::StrCat("net seed_cnn: images are ", image.height, " x ",
                                                   image.width, ", must be at least ", kMinSize,
                                                   " x ", kMinSize));
  }
  if (image.channels != 1 && image.channels != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("net seed_cnn: images have ", image.channels, " channels, must be 1 or 3"));
  }
  int x = graph->Input({image.height, image.width, image.channels},
                       static_cast<float>(options.input_scale),
                       static_cast<float>(options.input_shift));
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
  if (options.embedding_dim != kNativeDim) {
    x = graph->Add(Linear("embedding", {.units = options.embedding_dim, .bias = false}), {x});
  }
  return graph->Finish(x);
}

struct KnownNet {
  const char* name;
  absl::Status (*build)(const NetOptions&, const ImageShape&, Graph*);
};
constexpr KnownNet kNets[] = {
    {"seed_cnn", BuildSeedCnn},
};

// 366240 as "366,240".
std::string WithCommas(int64_t value) {
  std::string digits = absl::StrCat(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

}  // namespace

void NetOptions::Fields(ConfigVisitor& v) {
  v.Text("net", &net, {.help = "the network from images to features", .choices = NetNames()});
  v.Integer("embedding_dim", &embedding_dim,
            {.help = "size of a feature; seed_cnn gives 512, other sizes add a "
                     "linear layer",
             .min = 1,
             .max = 65536});
  v.Number("dropout", &dropout,
           {.help = "share of activations dropped in training", .min = 0, .max = 0.99});
  v.Number("input_scale", &input_scale, {.help = "pixels p become input_scale * p + input_shift"});
  v.Number("input_shift", &input_shift, {.help = "see input_scale"});
}

std::vector<std::string> NetNames() {
  std::vector<std::string> names;
  for (const KnownNet& net : kNets) names.push_back(net.name);
  return names;
}

Net::Net(const NetOptions& options, const ImageShape& image, std::unique_ptr<Graph> graph)
    : options_(options), image_(image), graph_(std::move(graph)) {}

absl::StatusOr<std::unique_ptr<Net>> Net::Create(const NetOptions& options, const ImageShape& image,
                                                 uint64_t seed, Backend* backend) {
  if (options.embedding_dim < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("embedding_dim is ", options.embedding_dim, ", must be at least 1"));
  }
  for (const KnownNet& net : kNets) {
    if (options.net != net.name) continue;
    auto graph = std::make_unique<Graph>(backend, seed);
    PROTOPAGE_RETURN_IF_ERROR(net.build(options, image, graph.get()));
    return std::unique_ptr<Net>(new Net(options, image, std::move(graph)));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown net \"", options.net, "\", must be one of ", absl::StrJoin(NetNames(), ", ")));
}

int64_t Net::num_parameters() const {
  int64_t count = 0;
  for (const Parameter* parameter : parameters()) count += parameter->value.num_elements();
  return count;
}

int64_t Net::num_trainable_parameters() const {
  int64_t count = 0;
  for (const Parameter* parameter : parameters()) {
    if (parameter->trainable) count += parameter->value.num_elements();
  }
  return count;
}

std::string Net::Summary(int64_t num_classes) const {
  const std::string line(68, '-');
  std::string text =
      absl::StrFormat("%-44s%-16s%8s\n%s\n", "layer (type)", "output", "params", line);
  for (const Graph::NodeInfo& node : graph_->nodes()) {
    absl::StrAppend(
        &text, absl::StrFormat("%-44s%-16s%8s\n", absl::StrCat(node.name, " (", node.type, ")"),
                               node.image_shape.ToString(), WithCommas(node.num_parameters)));
  }
  const int64_t head = num_classes * embedding_dim();
  if (num_classes > 0) {
    absl::StrAppend(&text, absl::StrFormat("%-44s%-16s%8s\n", "prototypes (rows of the loss)",
                                           absl::StrCat("[", num_classes, "]"), WithCommas(head)));
  }
  absl::StrAppend(&text, line, "\ntotal ", WithCommas(num_parameters() + head), ", trainable ",
                  WithCommas(num_trainable_parameters() + head), ", not trainable ",
                  WithCommas(num_parameters() - num_trainable_parameters()), "\n");
  return text;
}

}  // namespace protopage
