#include "protopage/eval/closed_set.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/test_features.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// The place of the label among all classes: classes with a larger cosine, and lower classes with
// an equal one, come before it.
int64_t PlainPlace(const Eigen::MatrixXd& cosines, int64_t i, ClassId label) {
  int64_t place = 0;
  for (int64_t c = 0; c < cosines.cols(); ++c) {
    place += cosines(i, c) > cosines(i, label) || (cosines(i, c) == cosines(i, label) && c < label);
  }
  return place;
}

void ExpectPlainCounts(const TestFeatures& images, const RowMatrixXf& prototypes) {
  std::vector<int32_t> domains;
  for (size_t i = 0; i < images.labels.size(); ++i) domains.push_back(i % 3 == 0 ? 4 : 7);
  const Eigen::MatrixXd cosines = PlainCosines(images.features, prototypes);
  AccuracyCounts all;
  std::map<int32_t, AccuracyCounts> by_domain;
  for (size_t i = 0; i < images.labels.size(); ++i) {
    const int64_t place = PlainPlace(cosines, i, images.labels[i]);
    for (AccuracyCounts* counts : {&all, &by_domain[domains[i]]}) {
      ++counts->samples;
      counts->top1 += place < 1;
      counts->top5 += place < 5;
    }
  }
  ASSERT_GT(all.top1, 0);
  ASSERT_LT(all.top1, all.top5);
  ASSERT_LT(all.top5, all.samples);

  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const ClosedSetResult result,
      EvaluateClosedSet(images.features, images.labels, domains, MatrixRows(prototypes), {}, pool));
  EXPECT_EQ(result.num_classes, prototypes.rows());
  EXPECT_EQ(result.all.samples, all.samples);
  EXPECT_EQ(result.all.top1, all.top1);
  EXPECT_EQ(result.all.top5, all.top5);
  EXPECT_DOUBLE_EQ(result.all.Top1(), static_cast<double>(all.top1) / all.samples);
  EXPECT_DOUBLE_EQ(result.all.Top5(), static_cast<double>(all.top5) / all.samples);
  ASSERT_EQ(result.by_domain.size(), 2u);
  for (const int32_t domain : {4, 7}) {
    EXPECT_EQ(result.by_domain.at(domain).samples, by_domain[domain].samples);
    EXPECT_EQ(result.by_domain.at(domain).top1, by_domain[domain].top1);
    EXPECT_EQ(result.by_domain.at(domain).top5, by_domain[domain].top5);
  }
}

absl::StatusOr<double> Example(const RowMatrixXf& features, const std::vector<ClassId>& labels,
                               const std::vector<int32_t>& domains, const RowSource& prototypes) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(const ClosedSetResult result,
                             EvaluateClosedSet(features, labels, domains, prototypes, {}, pool));
  const double top1 = result.all.Top1();
  return top1;
}

TEST(EvaluateClosedSet, TheExampleOfTheHeader) {
  const RowMatrixXf prototypes = RowMatrixXf::Identity(3, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const double top1, Example(prototypes.topRows(2), {0, 2}, {}, MatrixRows(prototypes)));
  EXPECT_EQ(top1, 0.5);
}

TEST(EvaluateClosedSet, AgreesWithAPlainLoop) {
  ExpectPlainCounts(MakeTestFeatures(1, 100, 3, 16, 1),
                    MakeTestFeatures(2, 5000, 1, 16, 0.5f).features);
}

TEST(EvaluateClosedSet, TheLowestClassWinsTies) {
  ExpectPlainCounts(MakeTiedFeatures(1, 200, 2, 8), MakeTiedFeatures(2, 200, 1, 8).features);
}

TEST(EvaluateClosedSet, ACollapsedNetworkAnswersClassZero) {
  const std::vector<ClassId> labels = {0, 1, 2, 3, 4, 5, 6, 7};
  const RowMatrixXf same = RowMatrixXf::Ones(8, 4);
  for (const RowMatrixXf& features : {same, RowMatrixXf(0 * same)}) {
    ThreadPool pool(1);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        const ClosedSetResult result,
        EvaluateClosedSet(features, labels, {}, MatrixRows(same), {}, pool));
    EXPECT_EQ(result.all.top1, 1);
    EXPECT_EQ(result.all.top5, 5);
    EXPECT_TRUE(result.by_domain.empty());
  }
}

TEST(EvaluateClosedSet, ADroppedClassIsNoAnswer) {
  const RowMatrixXf prototypes = RowMatrixXf::Identity(3, 3);
  RowMatrixXf feature(1, 3);
  feature << 3, 2, 1;
  const std::vector<ClassId> label = {1};
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const ClosedSetResult with,
      EvaluateClosedSet(feature, label, {}, MatrixRows(prototypes), {}, pool));
  EXPECT_EQ(with.all.top1, 0);
  const ClosedSetOptions options = {.is_dropped = [](ClassId id) { return id == 0; }};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const ClosedSetResult without,
      EvaluateClosedSet(feature, label, {}, MatrixRows(prototypes), options, pool));
  EXPECT_EQ(without.all.top1, 1);
  EXPECT_THAT(EvaluateClosedSet(feature, {0}, {}, MatrixRows(prototypes), options, pool),
              StatusIs(kInvalidArgument, "label 0 of feature 0 is a dropped class"));
}

TEST(EvaluateClosedSet, RefusesBadInput) {
  RowMatrixXf features = RowMatrixXf::Ones(2, 4);
  const RowMatrixXf prototypes = RowMatrixXf::Ones(3, 4);
  ThreadPool pool(1);
  EXPECT_THAT(EvaluateClosedSet(RowMatrixXf(0, 4), {}, {}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "no features"));
  EXPECT_THAT(EvaluateClosedSet(features, {0}, {}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "1 labels for 2 features"));
  EXPECT_THAT(EvaluateClosedSet(features, {0, 1}, {0}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "1 domains for 2 features"));
  EXPECT_THAT(EvaluateClosedSet(features, {0, 3}, {}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "label 3 of feature 1 is outside [0, 3)"));
  EXPECT_THAT(EvaluateClosedSet(features, {-1, 2}, {}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "label -1 of feature 0 is outside [0, 3)"));
  features(1, 2) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(EvaluateClosedSet(features, {0, 1}, {}, MatrixRows(prototypes), {}, pool),
              StatusIs(kInvalidArgument, "query 1 is not finite"));
}

}  // namespace
}  // namespace protopage
