// Net: an embedding network chosen by name, from images [B, H, W, C] to features [B, D].
//
//   NetOptions options;  // seed_cnn, 512
//   PROTOPAGE_ASSIGN_OR_RETURN(auto net, Net::Create(options, {32, 32, 3}, /*seed=*/1, backend));
//   std::cout << net->Summary(/*num_classes=*/10);
//   Tensor features;  // [B, 512], not normalised
//   const RunOptions run = {.training = true, .step = step, .dropout = 0.25f};
//   PROTOPAGE_RETURN_IF_ERROR(net->Forward(images, run, &features));
//   ... a loss of model/losses/margin_loss.h gives d_features ...
//   PROTOPAGE_RETURN_IF_ERROR(net->Backward(d_features));
//   PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(learning_rate));  // Of model/optimizers/optimizer.h.
//
// Nets:
//   seed_cnn   the demo's CNN: 361,120 parameters for 3 channels; images of 18 x 18 or more,
//              1 or 3 channels
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
#include "protopage/model/tensor.h"

namespace protopage {

struct NetOptions {
  std::string net = "seed_cnn";
  // Native size of seed_cnn: 512. Any other size D adds a linear layer
  // "embedding" [512 -> D] without bias behind the pooled features.
  int64_t embedding_dim = 512;
  // What training runs pass as RunOptions::dropout; the net itself does not read it.
  double dropout = 0.25;
  // uint8 pixels p become input_scale * p + input_shift. The demo feeds raw
  // 0..255.
  double input_scale = 1.0;
  double input_shift = 0.0;

  void Fields(ConfigVisitor& v);
};

// The images a net takes.
struct ImageShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};

// The names that NetOptions::net may have.
std::vector<std::string> NetNames();

class Net {
 public:
  // Errors: InvalidArgument: an unknown net (the known ones are listed), an
  // image shape or an embedding size that it does not take.
  static absl::StatusOr<std::unique_ptr<Net>> Create(const NetOptions& options,
                                                     const ImageShape& image, uint64_t seed,
                                                     Backend* backend);

  // As of Graph: images uint8 or float32 [B, H, W, C] on the device; *features
  // [B, D] float32, good until the next Forward; d_features is scratch. Batch
  // sizes may change from call to call.
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

  // A table as of Keras' model.summary(): layer, output shape, parameters,
  // totals. num_classes > 0 adds the prototype rows of a head, num_classes *
  // embedding_dim.
  std::string Summary(int64_t num_classes = 0) const;

 private:
  Net(const NetOptions& options, const ImageShape& image, std::unique_ptr<Graph> graph);

  NetOptions options_;
  ImageShape image_;
  std::unique_ptr<Graph> graph_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_NETS_NETS_H_
