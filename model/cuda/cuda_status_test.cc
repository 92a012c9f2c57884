#include "protopage/model/cuda/cuda_status.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {
namespace {

absl::Status Synchronize(cudaStream_t stream) {
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream)));
  return absl::OkStatus();
}

TEST(CudaStatusTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(Synchronize(nullptr)); }

TEST(CudaStatusTest, OnlyALackOfMemoryIsResourceExhausted) {
  EXPECT_THAT(
      CudaStatus(cudaErrorMemoryAllocation),
      StatusIs(absl::StatusCode::kResourceExhausted, "cudaErrorMemoryAllocation: out of memory"));
  EXPECT_THAT(CudaStatus(cudaErrorIllegalAddress),
              StatusIs(absl::StatusCode::kInternal,
                       "cudaErrorIllegalAddress: an illegal memory access was encountered"));
}

}  // namespace
}  // namespace protopage
