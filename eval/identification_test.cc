#include "protopage/eval/identification.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/test_features.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// hits[k]: probes whose mate has fewer than k rows before it, by a plain loop.
std::map<int64_t, int64_t> PlainHits(const TestFeatures& gallery, const TestFeatures& probes,
                                     const RowMatrixXf& distractors,
                                     const std::vector<int64_t>& ranks) {
  RowMatrixXf rows(gallery.features.rows() + distractors.rows(), gallery.features.cols());
  rows << gallery.features, distractors;
  const Eigen::MatrixXd cosines = PlainCosines(probes.features, rows);
  std::map<int64_t, int64_t> hits;
  for (size_t i = 0; i < probes.labels.size(); ++i) {
    const int64_t mate = probes.labels[i];  // The gallery's row g is of class g.
    int64_t before = 0;
    for (int64_t j = 0; j < rows.rows(); ++j) {
      before += cosines(i, j) > cosines(i, mate) || (cosines(i, j) == cosines(i, mate) && j < mate);
    }
    for (const int64_t rank : ranks) hits[rank] += before < rank;
  }
  return hits;
}

void ExpectPlainHits(const TestFeatures& gallery, const TestFeatures& probes,
                     const RowMatrixXf& distractors) {
  const std::vector<int64_t> ranks = {1, 5, 20};
  std::map<int64_t, int64_t> hits = PlainHits(gallery, probes, distractors, ranks);
  ASSERT_GT(hits[1], 0);
  ASSERT_LT(hits[1], hits[5]);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const IdentificationResult result,
      EvaluateIdentification(gallery.features, gallery.labels, probes.features, probes.labels,
                             MatrixRows(distractors), {.ranks = ranks}, pool));
  const int64_t num_probes = probes.features.rows();
  EXPECT_EQ(result.gallery, gallery.features.rows());
  EXPECT_EQ(result.distractors, distractors.rows());
  EXPECT_EQ(result.probes, num_probes);
  EXPECT_EQ(result.probes_without_mate, 0);
  for (size_t r = 0; r < ranks.size(); ++r) {
    EXPECT_EQ(result.hits[r], hits[ranks[r]]) << ranks[r];
    EXPECT_DOUBLE_EQ(result.Rate(ranks[r]), static_cast<double>(hits[ranks[r]]) / num_probes);
  }
}

absl::StatusOr<double> Example(const RowMatrixXf& gallery,
                               const std::vector<ClassId>& gallery_labels,
                               const RowMatrixXf& probes,
                               const std::vector<ClassId>& probe_labels) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(const IdentificationResult result,
                             EvaluateIdentification(gallery, gallery_labels, probes, probe_labels,
                                                    /*distractors=*/{}, {.ranks = {1, 5}}, pool));
  const double rank1 = result.Rate(1);  // The rank-1 identification rate.
  return rank1;
}

TEST(EvaluateIdentification, TheExampleOfTheHeader) {
  const RowMatrixXf gallery = RowMatrixXf::Identity(3, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double rank1,
                                 Example(gallery, {7, 8, 9}, gallery.topRows(2), {7, 9}));
  EXPECT_EQ(rank1, 0.5);
}

TEST(EvaluateIdentification, AgreesWithAPlainLoop) {
  const TestFeatures gallery = MakeTestFeatures(1, 200, 1, 12, 0.7f);
  const TestFeatures probes = MakeTestFeatures(2, 200, 2, 12, 0.7f);
  ExpectPlainHits(gallery, probes, RowMatrixXf(0, 12));
  // The gallery ends and the distractors begin inside a block.
  ExpectPlainHits(gallery, probes, MakeTestFeatures(3, 4500, 1, 12, 5).features);
}

TEST(EvaluateIdentification, EarlierRowsAndTheGalleryWinTies) {
  ExpectPlainHits(MakeTiedFeatures(1, 60, 1, 10), MakeTiedFeatures(2, 60, 3, 10),
                  MakeTiedFeatures(3, 40, 1, 10).features);
}

TEST(EvaluateIdentification, CountsProbesWithoutAMateApart) {
  const RowMatrixXf gallery = RowMatrixXf::Identity(3, 3);
  RowMatrixXf probes(3, 3);
  probes << 1, 0, 0, 0, 1, 0, 0, 1, 0.5f;
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const IdentificationResult result,
                                 EvaluateIdentification(gallery, {10, 20, 30}, probes, {10, 99, 30},
                                                        {}, {.ranks = {2, 1}}, pool));
  EXPECT_EQ(result.probes, 2);
  EXPECT_EQ(result.probes_without_mate, 1);
  EXPECT_EQ(result.Rate(1), 0.5);
  EXPECT_EQ(result.Rate(2), 1.0);
}

TEST(EvaluateIdentification, RefusesBadInput) {
  RowMatrixXf gallery = RowMatrixXf::Identity(3, 3);
  RowMatrixXf probes = RowMatrixXf::Ones(2, 3);
  ThreadPool pool(1);
  EXPECT_THAT(EvaluateIdentification(gallery, {1, 2}, probes, {1, 2}, {}, {}, pool),
              StatusIs(kInvalidArgument, "2 labels for 3 gallery rows and 2 for 2 probes"));
  EXPECT_THAT(EvaluateIdentification(gallery, {1, 2, 1}, probes, {1, 2}, {}, {}, pool),
              StatusIs(kInvalidArgument, "class 1 is twice in the gallery"));
  EXPECT_THAT(EvaluateIdentification(gallery, {1, 2, 3}, probes, {4, 5}, {}, {}, pool),
              StatusIs(kInvalidArgument, "2 probes, none with its class in the gallery of 3"));
  EXPECT_THAT(EvaluateIdentification(gallery, {1, 2, 3}, probes, {1, 2}, {}, {.ranks = {0}}, pool),
              StatusIs(kInvalidArgument, "ranks"));
  const RowMatrixXf distractors = RowMatrixXf::Ones(2, 4);
  EXPECT_THAT(
      EvaluateIdentification(gallery, {1, 2, 3}, probes, {1, 2}, MatrixRows(distractors), {}, pool),
      StatusIs(kInvalidArgument, "distractors have 4 columns, but the gallery has 3"));
  probes(1, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(EvaluateIdentification(gallery, {1, 2, 3}, probes, {1, 2}, {}, {}, pool),
              StatusIs(kInvalidArgument, "query 1 is not finite"));
}

}  // namespace
}  // namespace protopage
