// NetEntry: one net as the registry (model/nets/net_registry.h) lists it. A net is a file that
// defines a function with its entry and one that builds its graph:
//
//   absl::Status BuildTiny(const NetSpec& spec, Graph* graph) {
//     int x = graph->Input({spec.image.height, spec.image.width, spec.image.channels},
//                          spec.input_scale, spec.input_shift);
//     x = graph->Add(GlobalAveragePool("pool"), {x});
//     x = graph->Add(Linear("embedding", {.units = spec.embedding_dim, .bias = false}), {x});
//     return graph->Finish(x);
//   }
//   NetEntry TinyNet() { return {"tiny", "one linear layer", 16, 1, {1, 3}, BuildTiny}; }
#ifndef PROTOPAGE_MODEL_NETS_NET_ENTRY_H_
#define PROTOPAGE_MODEL_NETS_NET_ENTRY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/model/graph.h"

namespace protopage {

// The images a net takes.
struct ImageShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};

// What a net is built for. The image and embedding_dim are within the limits of the entry.
struct NetSpec {
  ImageShape image;
  int64_t embedding_dim = 0;
  float input_scale = 1.0f;  // Of Graph::Input.
  float input_shift = 0.0f;
};

struct NetEntry {
  std::string name;  // Of NetOptions::net.
  std::string help;  // One line.
  // The embedding size that needs no extra layer.
  int64_t native_dim = 0;
  // The images it takes: of at least min_size x min_size, with one of these numbers of channels.
  int64_t min_size = 1;
  std::vector<int64_t> channels;
  // Adds the ops to an empty graph and finishes it. Errors: as Graph::Finish.
  absl::Status (*build)(const NetSpec& spec, Graph* graph) = nullptr;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_NETS_NET_ENTRY_H_
