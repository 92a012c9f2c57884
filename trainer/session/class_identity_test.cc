#include "protopage/trainer/session/class_identity.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/data/synthetic_source.h"
#include "protopage/trainer/session/session.h"

namespace protopage {
namespace {

using Names = std::vector<std::string>;

// One image a class.
std::shared_ptr<const ImageSource> Images(const Names& names) {
  std::vector<ClassId> labels;
  for (size_t c = 0; c < names.size(); ++c) labels.push_back(static_cast<ClassId>(c));
  auto source = std::make_shared<FakeSource>(labels, static_cast<int64_t>(names.size()));
  source->class_names = names;
  return source;
}

std::shared_ptr<const ImageSource> Numbered(int64_t classes) {
  SyntheticOptions options;
  options.num_classes = classes;
  return MakeSyntheticSource(options);
}

std::string TempPath(const std::string& name) {
  return JoinPath(testing::TempDir(), absl::StrCat("class_identity_test_", name, ".h5"));
}

std::shared_ptr<const ClassNames> Known(const Names& names) {
  const std::string path = TempPath("known");
  EXPECT_TRUE(ClassNames::Create(DefaultFileSystem(), path, static_cast<int64_t>(names.size()),
                                 [&](ClassId c) -> absl::StatusOr<std::string> { return names[c]; })
                  .ok());
  return ClassNames::Open(DefaultFileSystem(), path).value();
}

std::shared_ptr<const ClassNames> KnownNumbers(int64_t classes) {
  const std::string path = TempPath("numbers");
  EXPECT_TRUE(ClassNames::CreateNumbered(DefaultFileSystem(), path, classes).ok());
  return ClassNames::Open(DefaultFileSystem(), path).value();
}

class ClassIdentityTest : public testing::Test {
 protected:
  // Maps images of target classes to the known ones. Lines for the user are in said_.
  absl::StatusOr<std::shared_ptr<const ImageSource>> Map(ClassPolicy policy, KnownClasses known,
                                                         std::shared_ptr<const ImageSource> images,
                                                         Split split = Split::kTargetTrain) {
    said_.clear();
    identity_ = std::make_unique<ClassIdentity>(policy, [this](const std::string& text) {
      said_.push_back(text);
      return absl::OkStatus();
    });
    known.owner = "the run a";
    identity_->SetKnown(ClassRole::kTarget, std::move(known));
    return identity_->Map(split, std::move(images));
  }

  std::unique_ptr<ClassIdentity> identity_;
  Names said_;
};

// "name label" of each record, by the name that its class has in the source.
Names Labels(const ImageSource& source) {
  Names labels;
  for (int64_t r = 0; r < source.size(); ++r) {
    labels.push_back(absl::StrCat(source.ClassName(source.Label(r)), " ", source.Label(r)));
  }
  return labels;
}

TEST_F(ClassIdentityTest, HeaderExample) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(TrainConfig()));
  const std::shared_ptr<const ClassNames> names = Known({"a"});
  const auto say = [](const std::string&) { return absl::OkStatus(); };
  auto identity = std::make_shared<ClassIdentity>(ClassPolicy::kExact, say);
  identity->SetKnown(ClassRole::kTarget, {names, "the run runs/a"});
  session->images().set_class_mapper(
      [identity](Split split, auto source) { return identity->Map(split, std::move(source)); });
  EXPECT_EQ(identity->known(ClassRole::kTarget).names, names);
}

TEST_F(ClassIdentityTest, TheSameClassesAreUsedAsTheyAre) {
  const auto images = Images({"a", "b"});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                 Map(ClassPolicy::kExact, {Known({"a", "b"})}, images));
  EXPECT_EQ(mapped, images);
  const auto many = Numbered(100'000'000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto numbered,
                                 Map(ClassPolicy::kExact, {KnownNumbers(100'000'000)}, many));
  EXPECT_EQ(numbered, many);
  EXPECT_TRUE(said_.empty());
}

TEST_F(ClassIdentityTest, AnotherOrderIsMappedByName) {
  for (const ClassPolicy policy : {ClassPolicy::kExact, ClassPolicy::kMapped}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                   Map(policy, {Known({"c", "a", "b"})}, Images({"a", "b", "c"})));
    EXPECT_EQ(Labels(*mapped), (Names{"c 0", "a 1", "b 2"}));
    EXPECT_EQ(said_, (Names{"fake: the classes are those of the run a in another order, and keep "
                            "their ids by name"}));
    // A second split of the role: the same mapping, said once.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto test,
                                   identity_->Map(Split::kTargetTest, Images({"a", "b", "c"})));
    EXPECT_EQ(Labels(*test), (Names{"c 0", "a 1", "b 2"}));
    EXPECT_EQ(said_.size(), 1u);
  }
}

TEST_F(ClassIdentityTest, ARenamedClassIsRefusedByName) {
  const absl::Status status =
      Map(ClassPolicy::kExact, {Known({"c0", "c1", "c2", "c3"})}, Images({"a3", "c0", "c1", "c2"}))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "fake: the classes are not those of the run a: 1 class not known there: \"a3\"; 1 "
            "class known there only: \"c3\". --class_names=mapped uses the classes that have the "
            "same name and leaves out the others; --class_names=ignored takes all by their "
            "numbers");
}

TEST_F(ClassIdentityTest, TheFirstThatDifferAreNamedAndTheOthersCounted) {
  const absl::Status names =
      Map(ClassPolicy::kExact, {Known({"a"})}, Images({"a", "b", "c", "d", "e", "f"})).status();
  EXPECT_TRUE(absl::StrContains(names.message(),
                                "5 classes not known there: \"b\", \"c\", \"d\" and 2 more."))
      << names;
  const absl::Status numbers =
      Map(ClassPolicy::kExact, {KnownNumbers(1000)}, Numbered(10)).status();
  EXPECT_TRUE(absl::StrContains(
      numbers.message(), "990 classes known there only: \"10\", \"11\", \"12\" and 987 more."))
      << numbers;
  const absl::Status more = Map(ClassPolicy::kExact, {KnownNumbers(10)}, Numbered(12)).status();
  EXPECT_TRUE(absl::StrContains(more.message(), "2 classes not known there: \"10\", \"11\"."))
      << more;
}

TEST_F(ClassIdentityTest, MappedUsesWhatHasTheSameName) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                 Map(ClassPolicy::kMapped, {Known({"c0", "c1", "c2", "c3"})},
                                     Images({"a3", "c0", "c1", "c2"})));
  EXPECT_EQ(mapped->num_classes(), 4);
  EXPECT_EQ(Labels(*mapped), (Names{"c0 0", "c1 1", "c2 2"}));
  EXPECT_EQ(mapped->ClassName(3), "c3");
  EXPECT_EQ(said_, (Names{"fake: of the classes of the run a, 3 are found by name; 1 class not "
                          "known there: \"a3\"; 1 class known there only: \"c3\""}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto fewer,
                                 Map(ClassPolicy::kMapped, {KnownNumbers(10)}, Numbered(12)));
  EXPECT_EQ(fewer->num_classes(), 10);
  const absl::Status none =
      Map(ClassPolicy::kMapped, {Known({"a", "b"})}, Images({"c", "d"})).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(none.message(), "no class has a name that is known in the run a"))
      << none;
}

TEST_F(ClassIdentityTest, NamesThatAreNumbersMapToNumberedClasses) {
  // Folders come in the order of their names.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto mapped, Map(ClassPolicy::kExact, {KnownNumbers(3)}, Images({"2", "0", "1"})));
  EXPECT_EQ(Labels(*mapped), (Names{"0 0", "1 1", "2 2"}));
  const absl::Status zeros =
      Map(ClassPolicy::kExact, {KnownNumbers(3)}, Images({"00", "1", "2"})).status();
  EXPECT_EQ(zeros.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ClassIdentityTest, IgnoredTakesThemByTheirNumbers) {
  const auto images = Images({"x", "y"});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                 Map(ClassPolicy::kIgnored, {Known({"a", "b"})}, images));
  EXPECT_EQ(mapped, images);
  EXPECT_TRUE(said_.empty());
}

TEST_F(ClassIdentityTest, UnseenClassesHaveNoIds) {
  const auto images = Images({"x", "y"});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                 Map(ClassPolicy::kExact, {Known({"a"})}, images, Split::kUnseen));
  EXPECT_EQ(mapped, images);
}

TEST_F(ClassIdentityTest, SaysOnceThatNamesWereNotRecorded) {
  const auto images = Images({"x", "y"});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped, Map(ClassPolicy::kExact, {nullptr}, images));
  EXPECT_EQ(mapped, images);
  PROTOPAGE_EXPECT_OK(identity_->Map(Split::kTargetTest, images).status());
  EXPECT_EQ(said_, (Names{"the run a has no record of the names of its target classes: those of "
                          "the images are taken by their numbers"}));
}

TEST_F(ClassIdentityTest, ImagesNeedNotHaveTheDroppedClasses) {
  KnownClasses known = {Known({"a", "b", "c"})};
  known.dropped = []() -> absl::StatusOr<ClassNames::LeftOut> {
    return ClassNames::LeftOut([](ClassId id) { return id == 1; });
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto without,
                                 Map(ClassPolicy::kExact, known, Images({"a", "c"})));
  EXPECT_EQ(Labels(*without), (Names{"a 0", "c 2"}));
  // But they may, in any place.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto with,
                                 Map(ClassPolicy::kExact, known, Images({"b", "c", "a"})));
  EXPECT_EQ(Labels(*with), (Names{"a 0", "b 1", "c 2"}));
}

TEST_F(ClassIdentityTest, WithoutAllNamesClassesAreTakenByTheirNumbers) {
  const auto images = Images({"a", "b"});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto mapped,
                                 Map(ClassPolicy::kExact, {Known({"", "b"})}, images));
  EXPECT_EQ(mapped, images);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_TRUE(absl::StrContains(said_[0], "does not know the names of all of its classes"));
}

TEST_F(ClassIdentityTest, RefusesTwoClassesOfOneName) {
  const absl::Status status =
      Map(ClassPolicy::kMapped, {Known({"a", "b"})}, Images({"a", "a"})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "fake: two classes have the same name, \"a\"");
}

}  // namespace
}  // namespace protopage
