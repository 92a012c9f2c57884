#include "protopage/model/nets/net_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "absl/status/status.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/ops.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

// The example of net_entry.h.
absl::Status BuildTiny(const NetSpec& spec, Graph* graph) {
  int x = graph->Input({spec.image.height, spec.image.width, spec.image.channels}, spec.input_scale,
                       spec.input_shift);
  x = graph->Add(GlobalAveragePool("pool"), {x});
  x = graph->Add(Linear("embedding", {.units = spec.embedding_dim, .bias = false}), {x});
  return graph->Finish(x);
}
NetEntry TinyNet() { return {"tiny", "one linear layer", 16, 1, {1, 3}, BuildTiny}; }

TEST(NetEntryTest, TheExampleOfTheHeader) {
  TestBackend backend;
  Graph graph(backend.get(), /*seed=*/1);
  NetSpec spec;
  spec.image = {4, 5, 3};
  spec.embedding_dim = 16;
  PROTOPAGE_ASSERT_OK(TinyNet().build(spec, &graph));
  Tensor features;
  PROTOPAGE_ASSERT_OK(graph.Forward(backend.Random({2, 4, 5, 3}, 1), {}, &features));
  EXPECT_EQ(features.shape(), Shape({2, 16}));
}

TEST(NetRegistryTest, TheExampleOfTheHeader) {
  for (const NetEntry& net : Nets()) std::cout << net.name << ": " << net.help << "\n";
}

TEST(NetRegistryTest, NamesAreUniqueAndFound) {
  std::set<std::string> seen;
  for (const NetEntry& net : Nets()) {
    EXPECT_TRUE(seen.insert(net.name).second) << net.name << " is listed twice";
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const NetEntry* found, FindNet(net.name));
    EXPECT_EQ(found, &net);
  }
  EXPECT_THAT(FindNet("resnet_18"), StatusIs(absl::StatusCode::kInvalidArgument,
                                             "unknown net \"resnet_18\", must be one of seed_cnn"));
}

// Of every net: what the entry promises is what the graph gives.
TEST(NetRegistryTest, EveryNetTakesTheLeastImageAndGivesItsEmbeddings) {
  TestBackend backend;
  for (const NetEntry& net : Nets()) {
    EXPECT_FALSE(net.help.empty()) << net.name;
    for (const int64_t channels : net.channels) {
      for (const int64_t dim : {net.native_dim, int64_t{24}}) {
        NetSpec spec;
        spec.image = {net.min_size, net.min_size, channels};
        spec.embedding_dim = dim;
        Graph graph(backend.get(), /*seed=*/1);
        PROTOPAGE_ASSERT_OK(net.build(spec, &graph));
        Tensor features;
        PROTOPAGE_ASSERT_OK(graph.Forward(
            backend.Random({2, net.min_size, net.min_size, channels}, 1), {}, &features));
        EXPECT_EQ(features.shape(), Shape({2, dim})) << net.name;
      }
    }
  }
}

}  // namespace
}  // namespace protopage
