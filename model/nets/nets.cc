#include "protopage/model/nets/nets.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/nets/net_registry.h"

namespace protopage {
namespace {

// 366240 as "366,240".
std::string WithCommas(int64_t value) {
  std::string digits = absl::StrCat(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

absl::Status CheckImage(const NetEntry& net, const ImageShape& image) {
  if (image.height < net.min_size || image.width < net.min_size) {
    return absl::InvalidArgumentError(absl::StrCat("net ", net.name, ": images are ", image.height,
                                                   " x ", image.width, ", must be at least ",
                                                   net.min_size, " x ", net.min_size));
  }
  if (std::find(net.channels.begin(), net.channels.end(), image.channels) == net.channels.end()) {
    return absl::InvalidArgumentError(absl::StrCat("net ", net.name, ": images have ",
                                                   image.channels, " channels, must be ",
                                                   absl::StrJoin(net.channels, " or ")));
  }
  return absl::OkStatus();
}

}  // namespace

void NetOptions::Fields(ConfigVisitor& v) {
  v.Text("net", &net, {.help = "the network from images to features", .choices = NetNames()});
  std::vector<std::string> native_sizes;
  for (const NetEntry& entry : Nets()) {
    native_sizes.push_back(absl::StrCat(entry.name, " gives ", entry.native_dim));
  }
  v.Integer("embedding_dim", &embedding_dim,
            {.help = absl::StrCat("size of a feature; ", absl::StrJoin(native_sizes, ", "),
                                  ", other sizes add a linear layer"),
             .min = 1,
             .max = 65536});
  v.Number("dropout", &dropout,
           {.help = "share of activations dropped in training", .min = 0, .max = 0.99});
  v.Number("input_scale", &input_scale, {.help = "pixels p become input_scale * p + input_shift"});
  v.Number("input_shift", &input_shift, {.help = "see input_scale"});
}

Net::Net(const NetOptions& options, const ImageShape& image, std::unique_ptr<Graph> graph)
    : options_(options), image_(image), graph_(std::move(graph)) {}

absl::StatusOr<std::unique_ptr<Net>> Net::Create(const NetOptions& options, const ImageShape& image,
                                                 uint64_t seed, Backend* backend) {
  if (options.embedding_dim < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("embedding_dim is ", options.embedding_dim, ", must be at least 1"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const NetEntry* entry, FindNet(options.net));
  PROTOPAGE_RETURN_IF_ERROR(CheckImage(*entry, image));
  NetSpec spec;
  spec.image = image;
  spec.embedding_dim = options.embedding_dim;
  spec.input_scale = static_cast<float>(options.input_scale);
  spec.input_shift = static_cast<float>(options.input_shift);
  auto graph = std::make_unique<Graph>(backend, seed);
  PROTOPAGE_RETURN_IF_ERROR(entry->build(spec, graph.get()));
  return std::unique_ptr<Net>(new Net(options, image, std::move(graph)));
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
