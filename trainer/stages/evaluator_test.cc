#include "protopage/trainer/stages/evaluator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

class EvaluatorTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/evaluator_test_", getpid());
    PROTOPAGE_ASSERT_OK(WriteTinyLists(dir_));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(session_, Session::Create(TinyListTrainConfig(dir_)));
  }

  void MakePrototypes(int64_t classes) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        auto set,
        PrototypeSet::Create(dir_, classes, 16, session_->prototype_options(), &session_->pool()));
    session_->set_prototypes(std::move(set));
  }

  void MakePrototypesWithout(const std::vector<ClassId>& dropped) {
    PrototypeSetOptions options = session_->prototype_options();
    options.prototypes.init_from = absl::StrCat(dir_, "/without_", dropped.front(), ".h5");
    PrototypeStoreSpec spec;
    spec.num_classes = kTinyTargetClasses;
    spec.dim = 16;
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(
          const auto store, PrototypeStore::Create(options.prototypes.init_from, spec, {}));
      PROTOPAGE_ASSERT_OK(store->Drop(dropped));
    }
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        auto set, PrototypeSet::Create(dir_, kTinyTargetClasses, 16, options, &session_->pool()));
    session_->set_prototypes(std::move(set));
  }

  // The net's features of all images of a split, as unit vectors in double.
  Eigen::MatrixXd Features(Split split) {
    const auto source = session_->images().Open(split);
    PROTOPAGE_EXPECT_OK(source);
    Eigen::MatrixXd features((*source)->size(), 16);
    for (int64_t record = 0; record < (*source)->size(); ++record) {
      Image image;
      PROTOPAGE_EXPECT_OK((*source)->Read(record, &image));
      const auto input = session_->backend()->Allocate(DType::kUint8, {1, kTinySide, kTinySide, 3});
      PROTOPAGE_EXPECT_OK(input);
      PROTOPAGE_EXPECT_OK(session_->backend()->CopyToDevice(image.pixels.data(), *input));
      Tensor output;
      PROTOPAGE_EXPECT_OK(session_->net()->Forward(*input, {}, &output));
      RowMatrixXf row(1, 16);
      PROTOPAGE_EXPECT_OK(session_->backend()->CopyToHost(output, row.data()));
      features.row(record) = row.row(0).cast<double>().normalized();
    }
    return features;
  }

  std::vector<ClassId> Labels(Split split) {
    const auto source = session_->images().Open(split);
    PROTOPAGE_EXPECT_OK(source);
    std::vector<ClassId> labels;
    for (int64_t r = 0; r < (*source)->size(); ++r) labels.push_back((*source)->Label(r));
    return labels;
  }

  // Rows whose `rank` best answers in `scores` [M, N] hold their label.
  static int64_t Hits(const Eigen::MatrixXd& scores, const std::vector<ClassId>& labels, int rank) {
    int64_t hits = 0;
    for (int64_t i = 0; i < scores.rows(); ++i) {
      int64_t better = 0;
      for (int64_t c = 0; c < scores.cols(); ++c) {
        better += c != labels[i] && scores(i, c) > scores(i, labels[i]);
      }
      hits += better < rank;
    }
    return hits;
  }

  std::string dir_;
  std::unique_ptr<Session> session_;
};

TEST_F(EvaluatorTest, TargetIsClassifiedByThePrototypes) {
  MakePrototypes(kTinyTargetClasses);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EvalReport report,
                                 EvaluateTarget(*session_, Split::kTargetTest, "some"));
  EXPECT_EQ(report.name, "some");
  RowMatrixXf rows(kTinyTargetClasses, 16);
  PROTOPAGE_ASSERT_OK(session_->prototypes()->store().ReadRange(0, rows));
  const Eigen::MatrixXd scores =
      Features(Split::kTargetTest) * rows.cast<double>().rowwise().normalized().transpose();
  const std::vector<ClassId> labels = Labels(Split::kTargetTest);
  ASSERT_TRUE(report.closed_set.has_value());
  EXPECT_EQ(report.closed_set->num_classes, kTinyTargetClasses);
  EXPECT_EQ(report.closed_set->all.samples, 2 * kTinyTargetClasses);
  EXPECT_EQ(report.closed_set->all.top1, Hits(scores, labels, 1));
  EXPECT_EQ(report.closed_set->all.top5, Hits(scores, labels, 5));
  // Test images are spots, and the list has two domains.
  EXPECT_EQ(report.domain_names.size(), 2u);
  ASSERT_EQ(report.closed_set->by_domain.size(), 1u);
  EXPECT_EQ(report.domain_names.at(report.closed_set->by_domain.begin()->first), "spot");
}

TEST_F(EvaluatorTest, ImagesOfDroppedClassesAreLeftOut) {
  MakePrototypesWithout({2, 5});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EvalReport report,
                                 EvaluateTarget(*session_, Split::kTargetTest, "some"));
  ASSERT_EQ(report.closed_set->all.samples, 2 * (kTinyTargetClasses - 2));
  RowMatrixXf rows(kTinyTargetClasses, 16);
  PROTOPAGE_ASSERT_OK(session_->prototypes()->store().ReadRange(0, rows));
  Eigen::MatrixXd all = Features(Split::kTargetTest) * rows.cast<double>().transpose();
  const std::vector<ClassId> all_labels = Labels(Split::kTargetTest);
  Eigen::MatrixXd scores(report.closed_set->all.samples, kTinyTargetClasses);
  std::vector<ClassId> labels;
  for (size_t i = 0; i < all_labels.size(); ++i) {
    if (all_labels[i] == 2 || all_labels[i] == 5) continue;
    scores.row(static_cast<int64_t>(labels.size())) = all.row(static_cast<int64_t>(i));
    labels.push_back(all_labels[i]);
  }
  // Zeros would be better than a class whose cosine is negative.
  const int64_t top5_with_zeros = Hits(scores, labels, 5);
  scores.col(2).setConstant(-2);
  scores.col(5).setConstant(-2);
  EXPECT_EQ(report.closed_set->all.top1, Hits(scores, labels, 1));
  EXPECT_EQ(report.closed_set->all.top5, Hits(scores, labels, 5));
  EXPECT_LT(top5_with_zeros, Hits(scores, labels, 5));
}

TEST_F(EvaluatorTest, ImagesOfDroppedClassesOnlyAreRefused) {
  const std::string list = dir_ + "/last.txt";
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(
      DefaultFileSystem(), list,
      absl::StrCat("images/target_test_0_0.png\t", kTinyTargetClasses - 1, "\tspot\n")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      session_, Session::Create(TinyListTrainConfig(dir_, {"data.paths.target_test=" + list})));
  MakePrototypesWithout({kTinyTargetClasses - 1});
  EXPECT_THAT(EvaluateTarget(*session_, Split::kTargetTest, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "last.txt: 1 image of 8 classes: all of dropped classes"));
}

TEST_F(EvaluatorTest, UnseenClassesAreIdentifiedAndVerified) {
  MakePrototypes(kTinyTargetClasses);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EvalReport report,
                                 EvaluateTarget(*session_, Split::kTargetTest, "some"));
  // Of each class's three images the first is the id, the others spots.
  const Eigen::MatrixXd features = Features(Split::kUnseen);
  Eigen::MatrixXd ids(kTinyUnseenClasses, 16), spots(2 * kTinyUnseenClasses, 16);
  std::vector<ClassId> labels;
  for (int c = 0; c < kTinyUnseenClasses; ++c) {
    ids.row(c) = features.row(3 * c);
    for (int i = 0; i < 2; ++i) spots.row(2 * c + i) = features.row(3 * c + 1 + i);
    labels.insert(labels.end(), 2, c);
  }
  const Eigen::MatrixXd scores = spots * ids.transpose();
  ASSERT_TRUE(report.identification.has_value());
  EXPECT_EQ(report.identification->gallery, kTinyUnseenClasses);
  EXPECT_EQ(report.identification->probes, 2 * kTinyUnseenClasses);
  EXPECT_EQ(report.identification->hits[0], Hits(scores, labels, 1));
  EXPECT_EQ(report.identification->hits[1], 2 * kTinyUnseenClasses);  // Of three, five are all.
  ASSERT_TRUE(report.verification.has_value());
  EXPECT_EQ(report.verification->genuine_pairs, 2 * kTinyUnseenClasses);
  EXPECT_EQ(report.verification->impostor_pairs, 2 * kTinyUnseenClasses * (kTinyUnseenClasses - 1));
  // With 12 impostor pairs a FAR of 1e-2 allows none: a genuine pair must beat them all.
  double largest_impostor = -1;
  for (int64_t i = 0; i < scores.rows(); ++i) {
    for (int64_t c = 0; c < scores.cols(); ++c) {
      if (c != labels[i]) largest_impostor = std::max(largest_impostor, scores(i, c));
    }
  }
  int64_t accepted = 0;
  for (int64_t i = 0; i < scores.rows(); ++i) accepted += scores(i, labels[i]) > largest_impostor;
  EXPECT_EQ(report.verification->at_far[0].false_accepts, 0);
  EXPECT_EQ(report.verification->at_far[0].true_accepts, accepted);
}

TEST_F(EvaluatorTest, SourceIsClassifiedByTheHead) {
  EXPECT_THAT(EvaluateSource(*session_, Split::kSourceTest, "source"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "no source stage"));
  PROTOPAGE_ASSERT_OK(session_->MakeHead(kTinySourceClasses));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EvalReport report,
                                 EvaluateSource(*session_, Split::kSourceTest, "source"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows,
                                 session_->head()->Rows(session_->backend()));
  const Eigen::MatrixXd scores =
      Features(Split::kSourceTest) * rows.cast<double>().rowwise().normalized().transpose();
  EXPECT_EQ(report.closed_set->all.top1, Hits(scores, Labels(Split::kSourceTest), 1));
  EXPECT_EQ(report.closed_set->num_classes, kTinySourceClasses);
  EXPECT_FALSE(report.identification.has_value());
  EXPECT_FALSE(report.verification.has_value());
}

TEST_F(EvaluatorTest, OtherClassesAreRefused) {
  EXPECT_THAT(EvaluateTarget(*session_, Split::kTargetTest, "x"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "no imprint or dominant stage"));
  MakePrototypes(kTinyTargetClasses + 1);
  EXPECT_THAT(
      EvaluateTarget(*session_, Split::kTargetTest, "x"),
      StatusIs(absl::StatusCode::kInvalidArgument, "has 8 classes, the classifier to evaluate 9"));
  EXPECT_THAT(EvaluateTarget(*session_, Split::kUnseen, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "unseen"));
  PROTOPAGE_ASSERT_OK(session_->MakeHead(kTinySourceClasses + 1));
  EXPECT_THAT(EvaluateSource(*session_, Split::kSourceTest, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "has 4 classes"));
}

TEST(ChooseGalleryTest, TakesTheFirstIdOfEachClassAndAllSpots) {
  FakeSource source({2, 2, 0, 2, 1, 0, 1}, 3);
  source.names = {"id", "other", "spot"};
  source.set_domains({2, 0, 0, 0, 2, 2, 1});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Gallery gallery, ChooseGallery(source));
  EXPECT_EQ(gallery.ids, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(gallery.spots, (std::vector<int64_t>{0, 4, 5}));
  source.names = {"id", "other", "photo"};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Gallery none, ChooseGallery(source));
  EXPECT_TRUE(none.ids.empty() && none.spots.empty());
}

TEST(ChooseGalleryTest, WithoutPairsThereIsNothingToMeasure) {
  FakeSource source({0, 1}, 2);
  source.names = {"id", "spot"};
  source.set_domains({0, 1});  // No pair of one class.
  EXPECT_THAT(ChooseGallery(source), StatusIs(absl::StatusCode::kInvalidArgument, "pairs"));
  FakeSource one({0, 0}, 1);
  one.names = {"id", "spot"};
  one.set_domains({0, 1});  // No pair of two.
  EXPECT_THAT(ChooseGallery(one), StatusIs(absl::StatusCode::kInvalidArgument, "pairs"));
}

TEST(ReportScalarsTest, NamesWhatWasMeasured) {
  EvalReport report;
  EXPECT_TRUE(ReportScalars(report).empty());
  report.closed_set.emplace();
  report.closed_set->all = {.samples = 4, .top1 = 1, .top5 = 3};
  report.verification.emplace();
  TarAtFar point;
  point.target_far = 1e-3;
  point.tar = 0.25;
  report.verification->at_far = {point};
  const std::vector<std::pair<std::string, double>> expected = {
      {"closed_set/top1", 0.25},
      {"closed_set/top5", 0.75},
      {"verification/tar_at_far_1e-03", 0.25}};
  EXPECT_EQ(ReportScalars(report), expected);
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(Session& session) {
  PROTOPAGE_ASSIGN_OR_RETURN(const EvalReport report,
                             EvaluateTarget(session, Split::kTargetTest, "imprinted"));
  std::cout << FormatReport(report);
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
