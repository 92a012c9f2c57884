#include "protopage/data/split.h"

#include <gtest/gtest.h>

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr Split kAll[] = {Split::kSourceTrain, Split::kSourceValidation, Split::kSourceTest,
                          Split::kTargetTrain, Split::kTargetValidation, Split::kTargetTest,
                          Split::kUnseen};

TEST(SplitTest, NamesGoBothWays) {
  for (const Split split : kAll) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Split parsed, ParseSplit(SplitName(split)));
    EXPECT_EQ(parsed, split);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Split none, ParseSplitOr("", Split::kUnseen));
  EXPECT_EQ(none, Split::kUnseen);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Split named, ParseSplitOr("target_test", Split::kUnseen));
  EXPECT_EQ(named, Split::kTargetTest);
  EXPECT_THAT(ParseSplitOr("train", Split::kUnseen),
              StatusIs(absl::StatusCode::kInvalidArgument, "train"));
  EXPECT_THAT(ParseSplit("train"),
              StatusIs(absl::StatusCode::kInvalidArgument, "split \"train\": allowed are source_"));
}

TEST(SplitTest, RolesAndKindsFollowTheName) {
  for (const Split split : kAll) {
    const std::string name = SplitName(split);
    EXPECT_EQ(IsSource(split), name.rfind("source_", 0) == 0) << name;
    EXPECT_EQ(IsTraining(split), name.find("_train") != std::string::npos) << name;
    EXPECT_EQ(IsValidation(split), name.find("_validation") != std::string::npos) << name;
    const std::string training =
        split == Split::kUnseen ? "unseen" : name.substr(0, name.find('_')) + "_train";
    EXPECT_EQ(SplitName(TrainingSplitOf(split)), training);
  }
}

}  // namespace
}  // namespace protopage
