#include "protopage/model/scratch.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

TEST(ScratchBufferTest, GrowsOnlyWhenMoreIsAskedFor) {
  TestBackend backend(1);
  ScratchBuffer scratch;
  EXPECT_EQ(scratch.bytes(), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(Tensor a, scratch.Get(backend.get(), DType::kFloat32, {4, 5}));
  EXPECT_EQ(a.shape(), Shape({4, 5}));
  EXPECT_EQ(scratch.bytes(), 80);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(Tensor b, scratch.Get(backend.get(), DType::kFloat32, {3, 2}));
  EXPECT_EQ(b.shape(), Shape({3, 2}));
  EXPECT_EQ(scratch.bytes(), 80);
  // The same memory: what is written through one view is seen through the other.
  backend.Set(b, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(backend.ToHost(a)[5], 6.0f);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(Tensor c, scratch.Get(backend.get(), DType::kFloat32, {100}));
  EXPECT_EQ(scratch.bytes(), 400);
}

absl::Status Example(Backend* backend, int64_t batch, int64_t slots, Shape* shape) {
  ScratchBuffer cosines;
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor c, cosines.Get(backend, DType::kFloat32, {batch, slots}));
  *shape = c.shape();
  return absl::OkStatus();
}

TEST(ScratchBufferTest, TheExampleOfTheHeader) {
  TestBackend backend(1);
  Shape shape;
  PROTOPAGE_ASSERT_OK(Example(backend.get(), 3, 5, &shape));
  EXPECT_EQ(shape, Shape({3, 5}));
}

}  // namespace
}  // namespace protopage
