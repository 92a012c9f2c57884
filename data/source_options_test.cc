#include "protopage/data/source_options.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace protopage {
namespace {

struct SyntheticConfig {
  int64_t target_classes = 3;
};
struct OtherConfig {
  std::string folder = "none";
};

TEST(SourceOptionsTest, TheExampleOfTheHeader) {
  SourceOptions options;
  options.Mutable<SyntheticConfig>().target_classes = 5;
  const int64_t classes = options.Get<SyntheticConfig>().target_classes;
  EXPECT_EQ(classes, 5);
}

TEST(SourceOptionsTest, AStructThatWasNotChangedHasItsDefaults) {
  SourceOptions options;
  EXPECT_EQ(options.Get<SyntheticConfig>().target_classes, 3);
  options.Mutable<SyntheticConfig>().target_classes = 5;
  EXPECT_EQ(options.Get<OtherConfig>().folder, "none");
  EXPECT_EQ(options.Mutable<OtherConfig>().folder, "none");
}

TEST(SourceOptionsTest, ACopyIsIndependent) {
  SourceOptions options;
  options.Mutable<SyntheticConfig>().target_classes = 5;
  SourceOptions copy = options;
  copy.Mutable<SyntheticConfig>().target_classes = 6;
  EXPECT_EQ(options.Get<SyntheticConfig>().target_classes, 5);
  EXPECT_EQ(copy.Get<SyntheticConfig>().target_classes, 6);
}

}  // namespace
}  // namespace protopage
