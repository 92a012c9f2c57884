#include "protopage/prototypes/index/row_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

RowMatrixXf Rows(int64_t n, int64_t dim) {
  RowMatrixXf rows(n, dim);
  MixtureRows(n, dim, 5).Read(0, rows);
  return rows;
}

// Scores of a query against all codes agree with its products with what the codes decode to.
void ExpectScoresOfDecoded(const RowCodec& codec, const RowMatrixXf& rows, const float* centroid,
                           float tolerance) {
  const int64_t n = rows.rows(), dim = rows.cols();
  std::vector<uint8_t> codes(n * codec.code_bytes());
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    codec.Encode(&rows(i, 0), centroid, &codes[i * codec.code_bytes()]);
    if (i % 3 != 1) ids.push_back(static_cast<int32_t>(i));
  }
  const RowCodec::Query query = codec.Prepare(&rows(7, 0));
  const float centroid_score = FixedOrderDot(&rows(7, 0), centroid, dim);
  std::vector<float> scores(ids.size()), decoded(dim), one(1);
  codec.Score(query, centroid_score, codes.data(), ids.data(), ids.size(), scores.data());
  for (size_t i = 0; i < ids.size(); ++i) {
    codec.Decode(&codes[ids[i] * codec.code_bytes()], centroid, decoded.data());
    EXPECT_NEAR(scores[i], FixedOrderDot(&rows(7, 0), decoded.data(), dim), tolerance);
    codec.Score(query, centroid_score, codes.data(), &ids[i], 1, one.data());
    EXPECT_EQ(one[0], scores[i]);
  }
}

float DecodedCosine(const RowCodec& codec, const float* row, const float* centroid, int64_t dim) {
  std::vector<uint8_t> code(codec.code_bytes());
  std::vector<float> decoded(dim);
  codec.Encode(row, centroid, code.data());
  codec.Decode(code.data(), centroid, decoded.data());
  return FixedOrderDot(row, decoded.data(), dim) /
         (FixedOrderNorm(row, dim) * FixedOrderNorm(decoded.data(), dim));
}

// Gives the score of a row as a query against its own code.
absl::Status Example(const RowMatrixXf& residuals, const float* centroid, const float* query,
                     float* scores) {
  ThreadPool pool(2);
  constexpr uint64_t seed = 1;
  const int64_t dim = residuals.cols(), n = 1;
  const float* const row = query;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto codec,
                             RowCodec::TrainPq(residuals, /*parts=*/128, seed, &pool));
  std::vector<uint8_t> code(codec->code_bytes());
  codec->Encode(row, centroid, code.data());
  const int32_t ids[] = {0};
  const uint8_t* const codes = code.data();
  const RowCodec::Query prepared = codec->Prepare(query);
  const float centroid_score = FixedOrderDot(query, centroid, dim);
  codec->Score(prepared, centroid_score, codes, ids, n, scores);  // codes of the rows ids[i]
  return absl::OkStatus();
}

TEST(RowCodecTest, TheExampleOfTheHeader) {
  const RowMatrixXf rows = Rows(300, 256);
  const std::vector<float> centroid(256, 0.0f);
  float score = 0;
  PROTOPAGE_ASSERT_OK(Example(rows, centroid.data(), &rows(3, 0), &score));
  EXPECT_GT(score, 0.9f);  // The row itself has norm 1.
}

TEST(RowCodecTest, Sq8KeepsRowsOfAnyScale) {
  constexpr int64_t kDim = 100;
  const auto codec = RowCodec::MakeSq8(kDim);
  EXPECT_EQ(codec->code_bytes(), 104);
  RowMatrixXf rows = Rows(50, kDim);
  const std::vector<float> centroid(kDim, 0.0f);
  for (int64_t i = 0; i < 50; ++i) {
    rows.row(i) *= std::pow(10.0f, static_cast<float>(i % 9 - 4));
    EXPECT_GT(DecodedCosine(*codec, &rows(i, 0), centroid.data(), kDim), 0.9998f);
  }
  ExpectScoresOfDecoded(*codec, Rows(50, kDim), centroid.data(), 2e-4f);
  std::vector<float> zero(kDim, 0.0f), decoded(kDim, 1.0f);
  std::vector<uint8_t> code(codec->code_bytes());
  codec->Encode(zero.data(), centroid.data(), code.data());
  codec->Decode(code.data(), centroid.data(), decoded.data());
  EXPECT_EQ(decoded, zero);
}

TEST(RowCodecTest, Sq8SumsDoNotOverflow) {
  constexpr int64_t kDim = 4096;
  const auto codec = RowCodec::MakeSq8(kDim);
  const RowMatrixXf rows = RowMatrixXf::Constant(8, kDim, -1.0f);
  const std::vector<float> centroid(kDim, 0.0f);
  ExpectScoresOfDecoded(*codec, rows, centroid.data(), 1.0f);  // Of 4096.
}

TEST(RowCodecTest, PqTakesTheNearestVectors) {
  constexpr int64_t kDim = 48, kParts = 12, kPartDim = 4;
  const RowMatrixXf rows = Rows(1500, kDim);
  const Eigen::RowVectorXf centroid = rows.colwise().mean();
  const RowMatrixXf residuals = rows.rowwise() - centroid;
  ThreadPool pool(2), one(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto codec, RowCodec::TrainPq(residuals, kParts, 1, &pool));
  EXPECT_EQ(codec->code_bytes(), kParts);
  double sum = 0;
  for (int64_t i = 0; i < 200; ++i) {
    sum += DecodedCosine(*codec, &rows(i, 0), centroid.data(), kDim);
    std::vector<uint8_t> code(kParts);
    codec->Encode(&rows(i, 0), centroid.data(), code.data());
    for (int64_t m = 0; m < kParts; ++m) {
      const auto distance = [&](int64_t j) {
        double d = 0;
        for (int64_t p = 0; p < kPartDim; ++p) {
          const double x = double{residuals(i, m * kPartDim + p)} -
                           codec->codebook()[(m * kPartDim + p) * 256 + j];
          d += x * x;
        }
        return d;
      };
      double least = distance(0);
      for (int64_t j = 1; j < 256; ++j) least = std::min(least, distance(j));
      EXPECT_NEAR(distance(code[m]), least, 1e-6);
    }
  }
  EXPECT_GT(sum / 200, 0.95);  // A byte for 4 dimensions.
  ExpectScoresOfDecoded(*codec, rows.topRows(60), centroid.data(), 1e-5f);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto again, RowCodec::TrainPq(residuals, kParts, 1, &one));
  EXPECT_EQ(again->codebook(), codec->codebook());
}

TEST(RowCodecTest, PqOfFewRows) {
  const RowMatrixXf rows = Rows(10, 8);
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto codec, RowCodec::TrainPq(rows, 4, 1, &pool));
  const std::vector<float> centroid(8, 0.0f);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_GT(DecodedCosine(*codec, &rows(i, 0), centroid.data(), 8), 0.9999f);
  }
  EXPECT_THAT(RowCodec::TrainPq(rows, 3, 1, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "the parts must divide the dim"));
}

}  // namespace
}  // namespace protopage
