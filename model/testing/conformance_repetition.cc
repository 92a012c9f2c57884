// What every backend does with operations that are run again: recordings, and equal bits.
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/every_operation.h"
#include "protopage/model/testing/test_windows.h"

namespace protopage {
namespace {

TEST_P(BackendConformanceTest, RunWorksOnWhatIsThereNow) {
  constexpr int64_t kSize = 1003;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(kSize * sizeof(float)));
  const Tensor x = Empty({kSize}), y = Empty({kSize}),
               sum = Upload({kSize}, std::vector<float>(kSize));
  const Tensor found = UploadInts({1}, {0});
  const std::unique_ptr<Recording> recording = backend_->NewRecording();
  uint64_t step = 0;
  int calls = 0;
  const auto operations = [&]() -> absl::Status {
    ++calls;
    PROTOPAGE_RETURN_IF_ERROR(backend_->Dropout(0.5f, {3, step}, x, y));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Axpy(1.0f, y, sum));
    PROTOPAGE_RETURN_IF_ERROR(backend_->FindNonFinite({x, y}, found));
    return backend_->Download(y, host->data());
  };
  std::vector<float> expected_sum(kSize);
  // Made here: where memory is given back, what was recorded is forgotten.
  const Tensor expected = Empty({kSize});
  for (int run = 0; run < 5; ++run) {
    step = 10 + 3 * static_cast<uint64_t>(run);
    std::vector<float> values = RandomFloats(kSize, 80 + static_cast<uint64_t>(run));
    if (run == 3) values[kSize - 1] = kNaN;
    PROTOPAGE_ASSERT_OK(backend_->CopyToDevice(values.data(), x));
    // Numbers of another step in between.
    PROTOPAGE_ASSERT_OK(backend_->Dropout(0.5f, {3, step}, x, expected));
    PROTOPAGE_ASSERT_OK(backend_->Dropout(0.5f, {3, 1}, x, y));
    PROTOPAGE_ASSERT_OK(backend_->Run(recording.get(), step, operations));
    PROTOPAGE_ASSERT_OK(backend_->FinishDownloads());
    EXPECT_EQ(DownloadInts(found)[0], run == 3 ? 1 : 0);
    if (run == 3) {
      PROTOPAGE_ASSERT_OK(backend_->Fill(sum, 0.0f));
      expected_sum.assign(kSize, 0.0f);
      continue;
    }
    const auto* const downloaded = static_cast<const float*>(host->data());
    EXPECT_EQ(std::vector<float>(downloaded, downloaded + kSize), Download(expected)) << run;
    for (int64_t i = 0; i < kSize; ++i) expected_sum[i] += downloaded[i];
    EXPECT_EQ(Download(sum), expected_sum) << run;
  }
  // A GPU records them the second time.
  EXPECT_EQ(calls, backend_->device() == DeviceType::kCuda ? 2 : 5);
  PROTOPAGE_EXPECT_OK(recording->refusal());
}

TEST_P(BackendConformanceTest, RunCallsWhatWaitsOrCopiesFromTheHostEveryTime) {
  const Tensor x = Empty({3});
  for (const bool waits : {true, false}) {
    const std::unique_ptr<Recording> recording = backend_->NewRecording();
    for (int run = 0; run < 4; ++run) {
      const float value = static_cast<float>(run);
      std::vector<float> seen(3);
      PROTOPAGE_ASSERT_OK(backend_->Run(recording.get(), 0, [&]() -> absl::Status {
        if (waits) {
          PROTOPAGE_RETURN_IF_ERROR(backend_->Fill(x, value));
          return backend_->CopyToHost(x, seen.data());
        }
        return backend_->CopyToDevice(std::vector<float>(3, value).data(), x);
      }));
      EXPECT_EQ(waits ? seen : Download(x), std::vector<float>(3, value));
    }
  }
}

TEST_P(BackendConformanceTest, TwoRunsGiveTheSameBits) {
  const auto first = RunEveryOperation(*backend_);
  PROTOPAGE_ASSERT_OK(first.status());
  // Between them scratch memory is used and left in another state.
  const Window2d w = MakeWindow(3, 11, 9, 20, 40, 3, 3, 1, 1, true);
  PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, UploadMap(InShape(w), Random(3 * 11 * 9 * 20, 47)),
                                              Upload(KernelShape(w), Random(9 * 20 * 40, 48)),
                                              Tensor(), false, EmptyMap(OutShape(w))));
  const auto second = RunEveryOperation(*backend_);
  PROTOPAGE_ASSERT_OK(second.status());
  ASSERT_EQ(first->size(), second->size());
  for (size_t i = 0; i < first->size(); ++i) {
    EXPECT_EQ((*first)[i].bytes, (*second)[i].bytes) << (*first)[i].name;
  }
}

}  // namespace
}  // namespace protopage
