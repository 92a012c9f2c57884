// The elementwise operations of every backend.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/philox.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"

namespace protopage {
namespace {

using reference::Array;

TEST_P(BackendConformanceTest, ImagesToFloat) {
  std::vector<uint8_t> pixels(70001);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
  const Tensor x = backend_->Allocate(DType::kUint8, {70001}).value();
  PROTOPAGE_ASSERT_OK(backend_->CopyToDevice(pixels.data(), x));
  const Tensor y = EmptyMap({70001});
  PROTOPAGE_ASSERT_OK(backend_->ImagesToFloat(x, 1.0f / 127.5f, -1.0f, y));
  Array expected(pixels.size()), magnitude(pixels.size());
  for (size_t i = 0; i < pixels.size(); ++i) {
    expected[i] = static_cast<double>(1.0f / 127.5f) * pixels[i] - 1.0;
    magnitude[i] = 3.0;
  }
  ExpectNear(y, expected, magnitude, 2, "ImagesToFloat");
}

TEST_P(BackendConformanceTest, Relu) {
  for (const int64_t n : ConformanceSizes()) {
    const std::vector<float> x = Random(n, 2), d_y = Random(n, 3);
    std::vector<float> y(n), d_x(n);
    for (int64_t i = 0; i < n; ++i) {
      y[i] = std::max(0.0f, x[i]);
      d_x[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
    }
    const Tensor tx = UploadMap({n}, x), ty = EmptyMap({n}), td = UploadMap({n}, d_y),
                 tdx = EmptyMap({n});
    PROTOPAGE_ASSERT_OK(backend_->ReluForward(tx, ty));
    EXPECT_EQ(Download(ty), y);
    PROTOPAGE_ASSERT_OK(backend_->ReluBackward(ty, td, tdx));
    EXPECT_EQ(Download(tdx), d_x);
    PROTOPAGE_ASSERT_OK(backend_->ReluForward(tx, tx));
    EXPECT_EQ(Download(tx), y);
    PROTOPAGE_ASSERT_OK(backend_->ReluBackward(ty, td, td));
    EXPECT_EQ(Download(td), d_x);
  }
}

TEST_P(BackendConformanceTest, ReluPassesANanOn) {
  const Tensor x = UploadMap({9}, {1, -1, kNaN, 2, -2, 3, -3, 4, kNaN});
  PROTOPAGE_ASSERT_OK(backend_->ReluForward(x, x));
  const std::vector<float> y = Download(x);
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[8]));
}

TEST_P(BackendConformanceTest, AddAxpyScale) {
  for (const int64_t n : ConformanceSizes()) {
    const std::vector<float> a = Random(n, 4), b = Random(n, 5);
    Array sum(n), axpy(n), scaled(n), magnitude(n);
    for (int64_t i = 0; i < n; ++i) {
      sum[i] = static_cast<double>(a[i]) + b[i];
      axpy[i] = -0.75 * a[i] + b[i];
      scaled[i] = -0.75 * a[i];
      magnitude[i] = std::abs(a[i]) + std::abs(b[i]);
    }
    const Tensor ta = UploadMap({n}, a), tb = UploadMap({n}, b), y = EmptyMap({n});
    PROTOPAGE_ASSERT_OK(backend_->Add(ta, tb, y));
    ExpectNear(y, sum, 1, "Add");
    PROTOPAGE_ASSERT_OK(backend_->Copy(ta, y));
    PROTOPAGE_ASSERT_OK(backend_->Add(y, tb, y));
    ExpectNear(y, sum, 1, "Add in place");
    PROTOPAGE_ASSERT_OK(backend_->Axpy(-0.75f, ta, tb));
    ExpectNear(tb, axpy, magnitude, 2, "Axpy");
    const Tensor floats = Upload({n}, a);
    PROTOPAGE_ASSERT_OK(backend_->Scale(-0.75f, floats));
    ExpectNear(floats, scaled, 1, "Scale");
  }
}

TEST_P(BackendConformanceTest, DropoutDrawsPhiloxByElement) {
  DropoutKey key;
  key.key = RandomKey(1, RandomPurpose::kDropout);
  key.step = (uint64_t{3} << 32) + 11;
  for (const int64_t n : ConformanceSizes()) {
    const std::vector<float> x = Random(n, 6, 0.5f, 1.0f);
    for (const float rate : {0.0f, 0.25f, 0.9f}) {
      Array expected(n);
      for (int64_t i = 0; i < n; ++i) {
        const PhiloxBlock block = Philox4x32(key.key, key.step, static_cast<uint64_t>(i / 4));
        const bool kept = UnitFloat(block.word[i % 4]) >= rate;
        expected[i] = kept ? x[i] / (1.0 - static_cast<double>(rate)) : 0.0;
      }
      const Tensor tx = UploadMap({n}, x), y = EmptyMap({n});
      PROTOPAGE_ASSERT_OK(backend_->Dropout(rate, key, tx, y));
      ExpectNear(y, expected, 4, absl::StrCat("Dropout ", rate));
      PROTOPAGE_ASSERT_OK(backend_->Dropout(rate, key, tx, tx));
      EXPECT_EQ(Download(tx), Download(y));
    }
  }
}

}  // namespace
}  // namespace protopage
