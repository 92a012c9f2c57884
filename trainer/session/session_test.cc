#include "protopage/trainer/session/session.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/testing.h"
#include "protopage/trainer/testing/session_testing.h"

namespace protopage {
namespace {

TrainConfig TinyConfig() {
  TrainConfig config;
  config.threads = 1;
  config.data.type = "folder";
  config.data.image_size = 20;
  config.model.embedding_dim = 8;
  config.model.dropout = 0;
  config.stages.resize(1);
  config.stages[0].steps = 1;
  PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
  return config;
}

absl::StatusOr<std::vector<float>> FeatureOf(Session& session, bool training,
                                             float dropout = 0.0f) {
  std::vector<uint8_t> pixels(2 * 20 * 20 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7 % 251);
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor images,
                             session.backend()->Allocate(DType::kUint8, {2, 20, 20, 3}));
  PROTOPAGE_RETURN_IF_ERROR(session.backend()->CopyToDevice(pixels.data(), images));
  Tensor output;
  const RunOptions run = {.training = training, .step = 3, .dropout = dropout};
  PROTOPAGE_RETURN_IF_ERROR(session.net()->Forward(images, run, &output));
  std::vector<float> features(16);
  PROTOPAGE_RETURN_IF_ERROR(session.backend()->CopyToHost(output, features.data()));
  return features;
}

TEST(SessionTest, TheExampleOfTheHeader) {
  const TrainConfig config = TinyConfig();
  TestBackend backend(1);
  const Tensor images = backend.Random({2, 20, 20, 3}, 1);
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto session, Session::Create(config));
    Tensor features;  // [B, D]
    PROTOPAGE_RETURN_IF_ERROR(session->net()->Forward(images, {}, &features));
    EXPECT_EQ(features.shape(), Shape({2, 8}));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

TEST(SessionTest, TheProcessorComputesInFloat32) {
  TrainConfig config = TinyConfig();
  config.device = "cpu";
  config.precision = "bf16";
  EXPECT_THAT(Session::Create(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "found bf16 with device cpu"));
}

TEST(SessionTest, OneThreadLoadsImagesWhileTheProcessorTrains) {
  TrainConfig config = TinyConfig();
  config.device = "cpu";
  config.threads = 6;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config));
  EXPECT_EQ(session->LoaderThreads(), 1);
  config.loader_threads = 4;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto more, Session::Create(config));
  EXPECT_EQ(more->LoaderThreads(), 4);
}

TEST(SessionTest, DropoutChangesTheRunAndNotTheNet) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(TinyConfig()));
  const Net* net = session->net();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trained, FeatureOf(*session, true));
  const auto values = NetValues(*session);  // With running statistics that have moved.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto before, FeatureOf(*session, false));

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto after, FeatureOf(*session, false, 0.5f));
  EXPECT_EQ(after, before);
  EXPECT_EQ(NetValues(*session), values);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto dropped, FeatureOf(*session, true, 0.5f));
  EXPECT_NE(dropped, trained);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto again, FeatureOf(*session, true));
  EXPECT_EQ(again, trained);  // Batch norm trains on the batch's own statistics.
  EXPECT_EQ(session->net(), net);
}

TEST(SessionTest, SectionsAreNetAndHead) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(TinyConfig()));
  const auto names = [&] {
    std::vector<std::string> names;
    for (const CheckpointSection& section : session->Sections()) names.push_back(section.name);
    return names;
  };
  EXPECT_EQ(names(), (std::vector<std::string>{"net"}));
  EXPECT_EQ(session->head(), nullptr);
  PROTOPAGE_ASSERT_OK(session->MakeHead(5));
  EXPECT_EQ(names(), (std::vector<std::string>{"net", "head"}));
  EXPECT_EQ(session->head()->num_classes(), 5);
  PROTOPAGE_ASSERT_OK(session->MakeHead(7));
  EXPECT_EQ(session->head()->num_classes(), 7);
}

TEST(SessionTest, SectionsDoNotDependOnDropout) {
  const std::string path = testing::TempDir() + "/session_test.h5";
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(TinyConfig()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto trained, FeatureOf(*session, true, 0.5f));
  PROTOPAGE_ASSERT_OK(
      SaveCheckpoint(DefaultFileSystem(), path, session->Sections(), session->backend()));
  TrainConfig config = TinyConfig();
  config.seed = 99;
  config.model.dropout = 0.5;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto other, Session::Create(config));
  EXPECT_NE(NetValues(*other), NetValues(*session));
  PROTOPAGE_ASSERT_OK(
      LoadCheckpoint(DefaultFileSystem(), path, other->Sections(), other->backend()));
  EXPECT_EQ(NetValues(*other), NetValues(*session));
}

TEST(SessionTest, AModelThatCannotBeNamesItsKeys) {
  TrainConfig config = TinyConfig();
  config.data.image_size = 4;
  EXPECT_THAT(Session::Create(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                                "model: net seed_cnn: images are 4 x 4"));
}

}  // namespace
}  // namespace protopage
