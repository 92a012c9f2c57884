#include "protopage/base/nearest_name.h"

#include <gtest/gtest.h>

namespace protopage {
namespace {

TEST(NearestNameTest, FindsAMisspelledName) {
  EXPECT_EQ(NearestName("cuont", {"kind", "count"}), "count");
  EXPECT_EQ(NearestName("target_clases", {"source_classes", "target_classes"}), "target_classes");
  EXPECT_EQ(NearestName("count", {"counts", "count"}), "count");
}

TEST(NearestNameTest, HasALimitOfTwoLettersOrAThirdOfTheWord) {
  EXPECT_EQ(NearestName("zebra", {"count", "kind"}), "");
  EXPECT_EQ(NearestName("abcxy", {"abcde"}), "abcde");
  EXPECT_EQ(NearestName("abxyz", {"abcde"}), "");
  EXPECT_EQ(NearestName("abcdefxyz", {"abcdefghi"}), "abcdefghi");
  EXPECT_EQ(NearestName("", {"abc"}), "");
  EXPECT_EQ(NearestName("abc", {}), "");
}

// Computing this distance would take ten million million steps.
TEST(NearestNameTest, AWordMuchLongerThanANameIsNotNear) {
  const std::string word(10000000, 'x');
  EXPECT_EQ(NearestName(word, {"count", std::string(1000000, 'x')}), "");
  EXPECT_EQ(NearestName("c", {word, "count", "cd"}), "cd");
}

TEST(NearestNameTest, TheFirstOfEquallyNearNamesIsTaken) {
  EXPECT_EQ(NearestName("cat", {"bat", "hat"}), "bat");
}

}  // namespace
}  // namespace protopage
