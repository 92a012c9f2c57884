#include "protopage/base/fuzz/fuzz_input.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace protopage {
namespace {

TEST(FuzzInputTest, ChoicesAreTakenFromTheFront) {
  const std::vector<uint8_t> bytes = {5, 26, 'a', 'b'};
  const uint8_t* const data = bytes.data();
  const size_t size = bytes.size();
  FuzzInput input(data, size);
  const bool sealed = input.Below(4) > 0;
  const int64_t num_classes = input.Integer();
  const absl::string_view text = input.Rest();
  EXPECT_TRUE(sealed);
  EXPECT_EQ(num_classes, 10);
  EXPECT_EQ(text, "ab");
  EXPECT_TRUE(input.empty());
}

TEST(FuzzInputTest, NumbersOfMoreThanAByteTakeFour) {
  const std::vector<uint8_t> bytes = {1, 2, 0, 0, 9};
  FuzzInput input(bytes.data(), bytes.size());
  EXPECT_EQ(input.Below(1000), 513);
  EXPECT_EQ(input.Byte(), 9);
}

TEST(FuzzInputTest, IntegersAreSmallOrNearPowersOfTwoOrAny) {
  const std::vector<uint8_t> bytes = {26, 191, 127, 255, 0, 0, 0, 0, 0, 0, 0, 128};
  FuzzInput input(bytes.data(), bytes.size());
  EXPECT_EQ(input.Integer(), 10);
  EXPECT_EQ(input.Integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(input.Integer(), std::numeric_limits<int64_t>::min());
}

TEST(FuzzInputTest, AfterTheEndChoicesAreZeroAndTextsEmpty) {
  FuzzInput input(nullptr, 0);
  EXPECT_EQ(input.Byte(), 0);
  EXPECT_EQ(input.Below(1000), 0);
  EXPECT_EQ(input.Integer(), -16);
  EXPECT_EQ(input.Rest(), "");
}

TEST(FuzzInputTest, MutateOverwritesInsertsRemovesAndCuts) {
  const auto mutated = [](std::vector<uint8_t> choices) {
    FuzzInput input(choices.data(), choices.size());
    std::string bytes = "abcdef";
    input.Mutate(&bytes);
    return bytes;
  };
  EXPECT_EQ(mutated({0, 0, 2}), "ab");
  EXPECT_EQ(mutated({0, 1, 2, 1}), "abef");
  EXPECT_EQ(mutated({0, 2, 2, 1, 'X', 'Y'}), "abXYcdef");
  EXPECT_EQ(mutated({0, 3, 5, 1, 'X', 'Y'}), "abcdeX");
}

}  // namespace
}  // namespace protopage
