// What every backend does with memory: allocation, copies, uploads and downloads.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/float_dtype.h"

namespace protopage {
namespace {

TEST_P(BackendConformanceTest, AllocatesZeros) {
  const Tensor x = backend_->Allocate(DType::kFloat32, {3, 5}).value();
  EXPECT_EQ(x.shape(), (Shape{3, 5}));
  EXPECT_EQ(Download(x), std::vector<float>(15, 0.0f));
  const Tensor n = backend_->Allocate(DType::kInt32, {7}).value();
  EXPECT_EQ(DownloadInts(n), std::vector<int32_t>(7, 0));
  EXPECT_EQ(backend_->Allocate(DType::kFloat32, {0, 5}).value().num_elements(), 0);
  EXPECT_FALSE(backend_->Description().empty());
}

TEST_P(BackendConformanceTest, AnImpossibleAllocationSaysHowMuchWasAsked) {
  const absl::StatusOr<Tensor> x =
      backend_->Allocate(DType::kFloat32, {int64_t{1} << 20, int64_t{1} << 30});
  ASSERT_FALSE(x.ok());
  EXPECT_EQ(x.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(x.status().message().find(absl::StrCat(int64_t{1} << 52)), absl::string_view::npos)
      << x.status();
}

TEST_P(BackendConformanceTest, CopiesWholeTensorsAndViews) {
  const std::vector<float> values = RandomFloats(6 * 4, 1);
  const Tensor x = Upload({6, 4}, values);
  const Tensor y = Empty({3, 4});
  PROTOPAGE_ASSERT_OK(backend_->Copy(x.Slice(2, 3), y));
  EXPECT_EQ(Download(y), std::vector<float>(values.begin() + 8, values.begin() + 20));
  PROTOPAGE_ASSERT_OK(backend_->Fill(x.Slice(5, 1), 2.5f));
  PROTOPAGE_ASSERT_OK(backend_->Synchronize());
  std::vector<float> expected = values;
  std::fill(expected.begin() + 20, expected.end(), 2.5f);
  EXPECT_EQ(Download(x), expected);
}

TEST_P(BackendConformanceTest, UploadsAreSeenByWhatFollowsThem) {
  // As double-buffered steps do: what the step before works on stays as it is.
  constexpr int64_t kRows = 700, kDim = 33;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(kRows * kDim * sizeof(float)));
  auto* const pinned = static_cast<float*>(host->data());
  EXPECT_EQ(pinned[0], 0.0f);
  EXPECT_GE(host->bytes(), kRows * kDim * static_cast<int64_t>(sizeof(float)));
  const Tensor buffers[2] = {Empty({kRows, kDim}), Empty({kRows, kDim})};
  PROTOPAGE_ASSERT_OK(backend_->Synchronize());
  for (uint64_t step = 0; step < 4; ++step) {
    const std::vector<float> values = RandomFloats(kRows * kDim, 60 + step);
    std::copy(values.begin(), values.end(), pinned);
    PROTOPAGE_ASSERT_OK(backend_->Scale(2.0f, buffers[(step + 1) % 2]));
    PROTOPAGE_ASSERT_OK(backend_->Upload(pinned, buffers[step % 2]));
    PROTOPAGE_ASSERT_OK(backend_->FinishUploads());
    const Tensor sum = Empty({kRows, kDim});
    PROTOPAGE_ASSERT_OK(backend_->Add(buffers[step % 2], buffers[step % 2], sum));
    std::vector<float> expected(values);
    for (float& value : expected) value += value;
    EXPECT_EQ(Download(sum), expected);  // Waits, so that `pinned` is free again.
  }
}

TEST_P(BackendConformanceTest, DownloadsBringWhatWasThereWhenTheyWereCalled) {
  constexpr int64_t kSize = 1000;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(2 * kSize * sizeof(float)));
  auto* const values = static_cast<float*>(host->data());
  const Tensor x = Empty({kSize});
  for (const float first : {1.0f, 3.0f}) {
    PROTOPAGE_ASSERT_OK(backend_->Fill(x, first));
    PROTOPAGE_ASSERT_OK(backend_->Download(x, values));
    PROTOPAGE_ASSERT_OK(backend_->Fill(x, first + 1.0f));
    PROTOPAGE_ASSERT_OK(backend_->Download(x, values + kSize));
    PROTOPAGE_ASSERT_OK(backend_->FinishDownloads());
    EXPECT_EQ(std::vector<float>(values, values + kSize), std::vector<float>(kSize, first));
    EXPECT_EQ(std::vector<float>(values + kSize, values + 2 * kSize),
              std::vector<float>(kSize, first + 1.0f));
  }
}

TEST_P(BackendConformanceTest, CopyRows) {
  for (const int64_t d : {1, 3, 8, 130, 512}) {
    const std::vector<float> src = RandomFloats(5 * d, 70), before = RandomFloats(7 * d, 71);
    const std::vector<int32_t> from = {4, -1, 0, 0, 3, -1, 1};
    const Tensor dst = Upload({7, d}, before);
    PROTOPAGE_ASSERT_OK(backend_->CopyRows(Upload({5, d}, src), UploadInts({7}, from), dst));
    std::vector<float> expected = before;
    for (int64_t i = 0; i < 7; ++i) {
      if (from[i] < 0) continue;
      std::copy_n(src.begin() + from[i] * d, d, expected.begin() + i * d);
    }
    EXPECT_EQ(Download(dst), expected) << d;
  }
  // Rank 1: a row is an element; and none at all.
  const Tensor numbers = Upload({3}, {1, 2, 3});
  PROTOPAGE_ASSERT_OK(
      backend_->CopyRows(Upload({2}, {8, 9}), UploadInts({3}, {1, -1, 0}), numbers));
  EXPECT_EQ(Download(numbers), (std::vector<float>{9, 2, 8}));
  PROTOPAGE_ASSERT_OK(backend_->CopyRows(numbers, UploadInts({0}, {}), Upload({0}, {})));
}

TEST_P(BackendConformanceTest, CopyRoundsToTheDtypeOfMaps) {
  for (const int64_t n : ConformanceSizes()) {
    std::vector<float> values = RandomFloats(n, 72);
    const Tensor map = EmptyMap({n}), back = Empty({n});
    PROTOPAGE_ASSERT_OK(backend_->Copy(Upload({n}, values), map));
    for (float& value : values) value = RoundedTo(map.dtype(), value);
    EXPECT_EQ(Download(map), values);
    PROTOPAGE_ASSERT_OK(backend_->Copy(map, back));
    EXPECT_EQ(Download(back), values);
  }
}

}  // namespace
}  // namespace protopage
