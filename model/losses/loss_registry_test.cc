#include "protopage/model/losses/loss_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <memory>
#include <set>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

// The example of loss_entry.h: a loss that needs no MarginKind.
class ZeroLoss : public MarginLoss {
 public:
  ZeroLoss(const LossConfig& config, Backend* backend) : MarginLoss(backend), config_(config) {}
  absl::StatusOr<LossResult> Start(const LossInput& input) override {
    PROTOPAGE_RETURN_IF_ERROR(CheckLossInput(input, slots_));
    const int64_t batch = input.features.shape()[0];
    LossResult result;
    PROTOPAGE_ASSIGN_OR_RETURN(result.losses, losses_.Get(backend_, DType::kFloat32, {batch}));
    PROTOPAGE_ASSIGN_OR_RETURN(result.predicted, predicted_.Get(backend_, DType::kInt32, {batch}));
    return result;
  }
  void State(StateVisitor&) override {}
  const LossConfig& config() const override { return config_; }

 private:
  const LossConfig config_;
  ScratchBuffer losses_, predicted_;  // As allocated: zeros.
};
LossEntry Zero() {
  return {"zero", "0, whatever the cosines are", /*scale=*/1.0, /*margin=*/0.0,
          [](const LossConfig& config, Backend* backend) -> std::unique_ptr<MarginLoss> {
            return std::make_unique<ZeroLoss>(config, backend);
          }};
}

TEST(LossEntryTest, TheExampleOfTheHeader) {
  TestBackend backend;
  const std::unique_ptr<MarginLoss> loss = Zero().make({}, backend.get());
  LossInput input;
  input.features = backend.Random({2, 4}, 1);
  input.rows = backend.Random({3, 4}, 2);
  const std::vector<int32_t> slots = {0, 2};
  input.slots = slots;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult result, loss->Compute(input));
  EXPECT_EQ(result.loss, 0.0);
  EXPECT_EQ(result.accuracy, 0.5);
}

TEST(LossRegistryTest, TheExampleOfTheHeader) {
  for (const LossEntry& loss : Losses()) std::cout << loss.name << ": " << loss.help << "\n";
}

TEST(LossRegistryTest, NamesAreUniqueAndFound) {
  std::set<std::string> seen;
  for (const LossEntry& loss : Losses()) {
    EXPECT_TRUE(seen.insert(loss.name).second) << loss.name << " is listed twice";
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossEntry* found, FindLoss(loss.name));
    EXPECT_EQ(found, &loss);
  }
  EXPECT_THAT(FindLoss("softmax"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown loss \"softmax\", must be one of am_softmax, cosface"));
}

// Of every loss, whatever its formula: it says how it was resolved, its values are finite, and
// gradients and predictions have the shapes that the trainer expects.
TEST(LossRegistryTest, EveryLossComputesWithItsDefaults) {
  TestBackend backend;
  for (const LossEntry& entry : Losses()) {
    EXPECT_FALSE(entry.help.empty()) << entry.name;
    LossConfig config;
    config.name = entry.name;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loss, MarginLoss::Create(config, backend.get()));
    EXPECT_EQ(loss->config().scale, entry.scale);
    EXPECT_EQ(loss->config().margin, entry.margin);
    LossInput input;
    input.features = backend.Random({5, 8}, 1);
    input.rows = backend.Random({3, 8}, 2);
    const std::vector<int32_t> slots = {0, 2, 1, 0, 2};
    input.slots = slots;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult result, loss->Compute(input));
    EXPECT_TRUE(std::isfinite(result.loss)) << entry.name;
    EXPECT_EQ(result.d_features.shape(), Shape({5, 8}));
    EXPECT_EQ(result.d_rows.shape(), Shape({3, 8}));
    EXPECT_EQ(result.predicted_slots.size(), slots.size());
  }
}

}  // namespace
}  // namespace protopage
