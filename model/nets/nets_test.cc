#include "protopage/model/nets/nets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SeedCnnTest, HasTheParametersOfTheDemo) {
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto net, Net::Create({}, {32, 32, 3}, /*seed=*/1, backend.get()));
  EXPECT_EQ(net->num_parameters() + 10 * net->embedding_dim(), 366240);
  EXPECT_EQ(net->num_trainable_parameters() + 10 * net->embedding_dim(), 366176);
  const std::string summary = net->Summary(/*num_classes=*/10);
  EXPECT_THAT(summary, HasSubstr("total 366,240, trainable 366,176, not trainable 64"));
  // The demo's own table.
  EXPECT_THAT(summary, ::testing::ContainsRegex("conv_1 \\(Conv2D\\) +\\[32, 32, 32\\] +896\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("bn_conv1 .* +\\[32, 32, 32\\] +128\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("conv_2 .* +\\[30, 30, 32\\] +9,248\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("max_pooling2d_1 .* +\\[15, 15, 32\\] +0\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("conv_3 .* +\\[15, 15, 64\\] +18,496\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("conv_4 .* +\\[13, 13, 64\\] +36,928\n"));
  EXPECT_THAT(summary, ::testing::ContainsRegex("conv_5 .* +\\[4, 4, 512\\] +295,424\n"));
  std::vector<std::string> names;
  for (const Parameter* parameter : net->parameters()) names.push_back(parameter->name);
  EXPECT_THAT(names, ElementsAre("conv_1/kernel", "conv_1/bias", "bn_conv1/gamma", "bn_conv1/beta",
                                 "bn_conv1/moving_mean", "bn_conv1/moving_variance",
                                 "conv_2/kernel", "conv_2/bias", "conv_3/kernel", "conv_3/bias",
                                 "conv_4/kernel", "conv_4/bias", "conv_5/kernel", "conv_5/bias"));
}

TEST(SeedCnnTest, DropoutStaysAtThePositionsThatKeyItsMasks) {
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto net, Net::Create({}, {20, 20, 3}, 1, backend.get()));
  EXPECT_EQ(net->graph().nodes()[5].name, "dropout_1");
  EXPECT_EQ(net->graph().nodes()[9].name, "dropout_2");
}

TEST(SeedCnnTest, TakesOtherImagesAndEmbeddingSizes) {
  TestBackend backend;
  NetOptions options;
  options.embedding_dim = 128;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto net, Net::Create(options, {20, 26, 1}, 1, backend.get()));
  Tensor features;
  PROTOPAGE_ASSERT_OK(net->Forward(backend.Random({3, 20, 26, 1}, 1), {}, &features));
  EXPECT_EQ(features.shape(), Shape({3, 128}));
  EXPECT_EQ(net->parameters().back()->name, "embedding/kernel");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto smallest, Net::Create({}, {18, 18, 3}, 1, backend.get()));
  EXPECT_EQ(smallest->embedding_dim(), 512);
}

TEST(SeedCnnTest, OnlyKernelsDecay) {
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto net, Net::Create({}, {20, 20, 3}, 1, backend.get()));
  for (const Parameter* parameter : net->parameters()) {
    EXPECT_EQ(parameter->decay, parameter->name.find("/kernel") != std::string::npos)
        << parameter->name;
    EXPECT_EQ(parameter->trainable, parameter->name.find("/moving_") == std::string::npos);
  }
}

// images [B, 32, 32, 3]; d_features [B, 512].
absl::Status Example(Backend* backend, const Tensor& images, uint64_t step,
                     const Tensor& d_features) {
  NetOptions options;  // seed_cnn, 512
  PROTOPAGE_ASSIGN_OR_RETURN(auto net, Net::Create(options, {32, 32, 3}, /*seed=*/1, backend));
  std::cout << net->Summary(/*num_classes=*/10);
  Tensor features;  // [B, 512], not normalised
  const RunOptions run = {.training = true, .step = step, .dropout = 0.25f};
  PROTOPAGE_RETURN_IF_ERROR(net->Forward(images, run, &features));
  EXPECT_EQ(features.shape(), d_features.shape());
  PROTOPAGE_RETURN_IF_ERROR(net->Backward(d_features));
  return absl::OkStatus();
}

TEST(NetTest, TheExampleOfTheHeader) {
  TestBackend backend;
  PROTOPAGE_EXPECT_OK(Example(backend.get(), backend.Random({2, 32, 32, 3}, 1), /*step=*/1,
                              backend.Random({2, 512}, 2)));
}

TEST(NetTest, WrongOptionsAreNamed) {
  TestBackend backend;
  NetOptions options;
  options.net = "resnet_18";
  EXPECT_THAT(Net::Create(options, {32, 32, 3}, 1, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown net \"resnet_18\", must be one of seed_cnn"));
  EXPECT_THAT(Net::Create({}, {32, 17, 3}, 1, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "net seed_cnn: images are 32 x 17, must be at least 18 x 18"));
  EXPECT_THAT(Net::Create({}, {32, 32, 4}, 1, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "net seed_cnn: images have 4 channels, must be 1 or 3"));
  options = NetOptions();
  options.embedding_dim = 0;
  EXPECT_THAT(Net::Create(options, {32, 32, 3}, 1, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "embedding_dim is 0"));
}

TEST(NetTest, OptionsAreReadFromJson) {
  NetOptions options;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto json,
                                 ParseJson(R"({"embedding_dim": 128, "dropout": 0})", "c"));
  PROTOPAGE_ASSERT_OK(ReadConfig(json, "model", options));
  EXPECT_EQ(options.embedding_dim, 128);
  EXPECT_EQ(options.dropout, 0.0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto wrong, ParseJson(R"({"net": "seed"})", "c"));
  EXPECT_THAT(ReadConfig(wrong, "model", options),
              StatusIs(absl::StatusCode::kInvalidArgument, "model.net"));
}

}  // namespace
}  // namespace protopage
