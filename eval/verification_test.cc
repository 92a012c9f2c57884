#include "protopage/eval/verification.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/test_features.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// Ascending.
struct PlainScores {
  std::vector<double> genuine;
  std::vector<double> impostor;
};

PlainScores AllScores(const TestFeatures& ids, const TestFeatures& spots) {
  const Eigen::MatrixXd cosines = PlainCosines(spots.features, ids.features);
  PlainScores scores;
  for (int64_t i = 0; i < cosines.rows(); ++i) {
    for (int64_t j = 0; j < cosines.cols(); ++j) {
      (spots.labels[i] == ids.labels[j] ? scores.genuine : scores.impostor)
          .push_back(cosines(i, j));
    }
  }
  std::sort(scores.genuine.begin(), scores.genuine.end());
  std::sort(scores.impostor.begin(), scores.impostor.end());
  return scores;
}

int64_t CountAbove(const std::vector<double>& scores, double threshold) {
  return scores.end() - std::upper_bound(scores.begin(), scores.end(), threshold);
}

struct Rates {
  double false_accept;
  double false_reject;
};

Rates RatesAt(const PlainScores& scores, double threshold) {
  return {static_cast<double>(CountAbove(scores.impostor, threshold)) /
              static_cast<double>(scores.impostor.size()),
          1 - static_cast<double>(CountAbove(scores.genuine, threshold)) /
                  static_cast<double>(scores.genuine.size())};
}

// The mean of both rates where they are nearest, over all scores as thresholds.
double PlainEqualErrorRate(const PlainScores& scores) {
  std::vector<double> thresholds = scores.genuine;
  thresholds.insert(thresholds.end(), scores.impostor.begin(), scores.impostor.end());
  double nearest = 2, mean = 2;
  for (const double threshold : thresholds) {
    const Rates rates = RatesAt(scores, threshold);
    if (std::abs(rates.false_accept - rates.false_reject) < nearest) {
      nearest = std::abs(rates.false_accept - rates.false_reject);
      mean = (rates.false_accept + rates.false_reject) / 2;
    }
  }
  return mean;
}

VerificationResult Evaluate(const TestFeatures& ids, const TestFeatures& spots,
                            const VerificationOptions& options, int num_threads) {
  ThreadPool pool(num_threads);
  auto result = EvaluateVerification({ids.features, ids.labels}, {spots.features, spots.labels},
                                     options, pool);
  PROTOPAGE_EXPECT_OK(result);
  return std::move(result).value();
}

void ExpectPlainResult(const TestFeatures& ids, const TestFeatures& spots) {
  const PlainScores scores = AllScores(ids, spots);
  const int64_t num_genuine = static_cast<int64_t>(scores.genuine.size());
  const int64_t num_impostor = static_cast<int64_t>(scores.impostor.size());
  const VerificationOptions options = {.fars = {1e-3, 0.5, 0.1, 1e-2, 1e-9}};
  const VerificationResult result = Evaluate(ids, spots, options, 2);
  EXPECT_EQ(result.genuine_pairs, num_genuine);
  EXPECT_EQ(result.impostor_pairs, num_impostor);
  ASSERT_EQ(result.at_far.size(), options.fars.size());
  for (size_t i = 0; i < options.fars.size(); ++i) {
    const TarAtFar& point = result.at_far[i];
    const int64_t allowed = static_cast<int64_t>(std::floor(options.fars[i] * num_impostor));
    // The lowest threshold with at most that many false accepts is the score of an impostor.
    const double threshold = scores.impostor[num_impostor - 1 - allowed];
    EXPECT_EQ(point.target_far, options.fars[i]);
    EXPECT_NEAR(point.threshold, threshold, 1e-6) << point.target_far;
    EXPECT_EQ(point.false_accepts, CountAbove(scores.impostor, threshold)) << point.target_far;
    EXPECT_EQ(point.true_accepts, CountAbove(scores.genuine, threshold)) << point.target_far;
    EXPECT_DOUBLE_EQ(point.far, static_cast<double>(point.false_accepts) / num_impostor);
    EXPECT_DOUBLE_EQ(point.tar, static_cast<double>(point.true_accepts) / num_genuine);
    EXPECT_LE(point.far, point.target_far);
    EXPECT_LE(point.tar_interval.low, point.tar);
    EXPECT_GE(point.tar_interval.high, point.tar);
    EXPECT_EQ(point.few_false_accepts, point.false_accepts < 10);
  }
  EXPECT_NEAR(result.equal_error_rate, PlainEqualErrorRate(scores), 1e-12);
  // The score at the threshold itself may be rounded to either side of it.
  const Rates rates = RatesAt(scores, result.equal_error_threshold);
  EXPECT_NEAR((rates.false_accept + rates.false_reject) / 2, result.equal_error_rate,
              1.0 / num_genuine);

  ASSERT_GT(result.roc.size(), 2u);
  ASSERT_LE(result.roc.size(), 100u);
  EXPECT_EQ(result.roc.back().far, 1);
  EXPECT_EQ(result.roc.back().tar, 1);
  for (size_t i = 0; i < result.roc.size(); ++i) {
    const RocPoint& point = result.roc[i];
    EXPECT_DOUBLE_EQ(point.far, static_cast<double>(CountAbove(scores.impostor, point.threshold)) /
                                    num_impostor);
    EXPECT_DOUBLE_EQ(
        point.tar, static_cast<double>(CountAbove(scores.genuine, point.threshold)) / num_genuine);
    if (i > 0) {
      EXPECT_GT(point.far, result.roc[i - 1].far);
      EXPECT_GE(point.tar, result.roc[i - 1].tar);
    }
  }
}

absl::StatusOr<double> Example(const RowMatrixXf& id_features,
                               const std::vector<ClassId>& id_labels,
                               const RowMatrixXf& spot_features,
                               const std::vector<ClassId>& spot_labels) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(
      const VerificationResult result,
      EvaluateVerification({id_features, id_labels}, {spot_features, spot_labels},
                           {.fars = {1e-2, 1e-3, 1e-4}}, pool));
  const double tar = result.at_far[0].tar;  // The share of genuine pairs accepted at FAR 1e-2.
  return tar;
}

TEST(EvaluateVerification, TheExampleOfTheHeader) {
  const RowMatrixXf features = RowMatrixXf::Identity(3, 3);
  const std::vector<ClassId> labels = {1, 2, 3};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double tar, Example(features, labels, features, labels));
  EXPECT_EQ(tar, 1);
}

TEST(EvaluateVerification, AgreesWithSortingAllScores) {
  ExpectPlainResult(MakeTestFeatures(1, 150, 1, 16, 0.7f), MakeTestFeatures(2, 150, 2, 16, 0.7f));
  ExpectPlainResult(MakeTestFeatures(1, 20, 3, 8, 1), MakeTestFeatures(2, 600, 1, 8, 1));
}

TEST(EvaluateVerification, AgreesWhenMostScoresAreEqual) {
  ExpectPlainResult(MakeTiedFeatures(1, 40, 1, 9), MakeTiedFeatures(2, 40, 4, 9));
}

TEST(EvaluateVerification, DoesNotDependOnTheNumberOfThreads) {
  const TestFeatures ids = MakeTestFeatures(1, 600, 1, 16, 1);
  const TestFeatures spots = MakeTestFeatures(2, 600, 1, 16, 1);
  const VerificationResult one = Evaluate(ids, spots, {}, 1);
  const VerificationResult three = Evaluate(ids, spots, {}, 3);
  for (size_t i = 0; i < one.at_far.size(); ++i) {
    EXPECT_EQ(one.at_far[i].threshold, three.at_far[i].threshold);
    EXPECT_EQ(one.at_far[i].true_accepts, three.at_far[i].true_accepts);
  }
  EXPECT_EQ(one.equal_error_rate, three.equal_error_rate);
  EXPECT_EQ(one.equal_error_threshold, three.equal_error_threshold);
}

TEST(EvaluateVerification, PerfectSeparation) {
  TestFeatures ids;
  ids.features = RowMatrixXf::Identity(30, 30);
  for (ClassId id = 0; id < 30; ++id) ids.labels.push_back(id);
  const VerificationResult result = Evaluate(ids, ids, {}, 1);
  EXPECT_EQ(result.genuine_pairs, 30);
  EXPECT_EQ(result.impostor_pairs, 870);
  EXPECT_EQ(result.equal_error_rate, 0);
  for (const TarAtFar& point : result.at_far) {
    EXPECT_EQ(point.threshold, 0);  // The highest impostor; accepted is what is above.
    EXPECT_EQ(point.tar, 1);
    EXPECT_EQ(point.false_accepts, 0);
    EXPECT_TRUE(point.few_false_accepts);
  }
}

TEST(EvaluateVerification, ACollapsedNetworkAcceptsNobody) {
  TestFeatures ids = MakeTestFeatures(1, 50, 1, 8, 1);
  ids.features.setOnes();
  const VerificationResult result = Evaluate(ids, ids, {}, 1);
  EXPECT_EQ(result.equal_error_rate, 0.5);
  for (const TarAtFar& point : result.at_far) EXPECT_EQ(point.tar, 0);
}

TEST(EvaluateVerification, TheFarIsReachedWhenItIsAWholeNumberOfPairs) {
  // One id of class 0 against 1 genuine and 100 impostor spots with distinct scores.
  TestFeatures id;
  id.features = RowMatrixXf::Zero(1, 2);
  id.features(0, 0) = 1;
  id.labels = {0};
  TestFeatures spots;
  spots.features.resize(101, 2);
  for (int i = 0; i <= 100; ++i) {
    spots.features.row(i) << static_cast<float>(i + 1), 100;
    spots.labels.push_back(i == 100 ? 0 : i + 1);
  }
  const VerificationResult result = Evaluate(id, spots, {.fars = {0.29, 0.07, 0.01}}, 1);
  EXPECT_EQ(result.at_far[0].false_accepts, 29);
  EXPECT_FALSE(result.at_far[0].few_false_accepts);
  EXPECT_EQ(result.at_far[1].false_accepts, 7);
  EXPECT_TRUE(result.at_far[1].few_false_accepts);
  EXPECT_EQ(result.at_far[2].false_accepts, 1);
}

TEST(EvaluateVerification, RefusesBadInput) {
  TestFeatures ids = MakeTestFeatures(1, 4, 1, 8, 1);
  TestFeatures spots = MakeTestFeatures(2, 4, 1, 8, 1);
  ThreadPool pool(1);
  const auto evaluate = [&](const VerificationOptions& options = {}) {
    return EvaluateVerification({ids.features, ids.labels}, {spots.features, spots.labels}, options,
                                pool);
  };
  PROTOPAGE_ASSERT_OK(evaluate());
  EXPECT_THAT(evaluate({.fars = {0.0}}), StatusIs(kInvalidArgument, "FAR 0 is outside (0, 1)"));
  EXPECT_THAT(evaluate({.fars = {1.0}}), StatusIs(kInvalidArgument, "FAR 1 is outside (0, 1)"));
  EXPECT_THAT(evaluate({.fars = {std::nan("")}}), StatusIs(kInvalidArgument, "outside (0, 1)"));
  EXPECT_THAT(evaluate({.roc_points = 1}), StatusIs(kInvalidArgument, "roc_points is 1"));

  spots.features(3, 7) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "spot feature 3 is not finite"));
  ids.features(2, 7) = std::numeric_limits<float>::infinity();
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "id feature 2 is not finite"));
  ids = MakeTestFeatures(1, 4, 1, 8, 1);

  spots = MakeTestFeatures(2, 4, 1, 9, 1);
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "8 columns, but spot features have 9"));
  spots = MakeTestFeatures(2, 4, 1, 8, 1);
  spots.labels = {7, 8, 9, 10};
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "4 ids and 4 spots give 0 and 16"));
  spots.labels = ids.labels = {1, 1, 1, 1};
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "give 16 and 0"));
  spots.labels.pop_back();
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "3 labels for 4 spot features"));
  spots = TestFeatures{RowMatrixXf(0, 8), {}};
  EXPECT_THAT(evaluate(), StatusIs(kInvalidArgument, "4 ids and 0 spots give 0 and 0"));
}

}  // namespace
}  // namespace protopage
