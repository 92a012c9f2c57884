// Net: an embedding network chosen by name, from images [B, H, W, C] to features [B, D].
//
//   NetOptions options;  // seed_cnn, 512
//   PROTOPAGE_ASSIGN_OR_RETURN(auto net, Net::Create(options, {32, 32, 3}, /*seed=*/1, backend));
//   std::cout << net->Summary(/*num_classes=*/10);
//   Tensor features;  // [B, 512], not normalised
//   const RunOptions run = {.training = true, .step = step, .dropout = 0.25f};
//   PROTOPAGE_RETURN_IF_ERROR(net->Forward(images, run, &features));
//   ...
//   PROTOPAGE_RETURN_IF_ERROR(net->Backward(d_features));
//
// A loss (model/losses/margin_loss.h) gives d_features; an optimizer (model/optimizers/optimizer.h)
// then updates net->parameters(). model/nets/net_registry.h lists the nets.
//
// Not thread-safe. The backend must outlive the net.
#ifndef PROTOPAGE_MODEL_NETS_NETS_H_
#define PROTOPAGE_MODEL_NETS_NETS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/config_fields.h"
#include "protopage/model/backend.h"
#include "protopage/model/graph.h"
#include "protopage/model/nets/net_entry.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct NetOptions {
  std::string net = "seed_cnn";
  // A size D other than the native one of the net (seed_cnn: 512) adds a linear layer "embedding"
  // without bias behind its features.
  int64_t embedding_dim = 512;
  // What training runs pass as RunOptions::dropout; the net itself does not read it.
  double dropout = 0.25;
  // uint8 pixels p become input_scale * p + input_shift. The demo feeds raw 0..255.
  double input_scale = 1.0;
  double input_shift = 0.0;

  void Fields(ConfigVisitor& v);
};

class Net {
 public:
  // Errors: InvalidArgument (an unknown net: the known ones are listed; an image shape or an
  // embedding size that it does not take).
  static absl::StatusOr<std::unique_ptr<Net>> Create(const NetOptions& options,
                                                     const ImageShape& image, uint64_t seed,
                                                     Backend* backend);

  // As the methods of Graph: images are uint8 or float32 [B, H, W, C] on the device; *features
  // [B, D] float32 is good until the next Forward; d_features is scratch. Batch sizes may change
  // from call to call.
  absl::Status Forward(const Tensor& images, const RunOptions& run, Tensor* features) {
    return graph_->Forward(images, run, features);
  }
  absl::Status NoteForward(int64_t batch, const RunOptions& run) {
    return graph_->NoteForward(batch, run);
  }
  absl::Status Backward(const Tensor& d_features) { return graph_->Backward(d_features); }

  absl::Span<Parameter* const> parameters() const { return graph_->parameters(); }
  std::vector<Tensor> gradients() const { return graph_->gradients(); }
  void State(StateVisitor& v) const { graph_->State(v); }

  const NetOptions& options() const { return options_; }
  const ImageShape& image() const { return image_; }
  int64_t embedding_dim() const { return options_.embedding_dim; }
  int64_t num_parameters() const;            // Elements, statistics included.
  int64_t num_trainable_parameters() const;  // Elements.
  const Graph& graph() const { return *graph_; }

  // A table like that of Keras' model.summary(): layers, output shapes, parameters, totals. With
  // num_classes > 0 it has a line for the prototype rows of a head: num_classes * embedding_dim.
  std::string Summary(int64_t num_classes = 0) const;

 private:
  Net(const NetOptions& options, const ImageShape& image, std::unique_ptr<Graph> graph);

  NetOptions options_;
  ImageShape image_;
  std::unique_ptr<Graph> graph_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_NETS_NETS_H_
