#include "protopage/model/cuda/device_memory.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/cuda/emulation/runtime.h"

namespace protopage {
namespace {

using emulation::GetEmulationCounters;

constexpr int64_t kMiB = int64_t{1} << 20;

class DeviceMemoryTest : public testing::Test {
 protected:
  void SetUp() override { emulation::ResetEmulationCounters(); }
  void TearDown() override { emulation::SetEmulatedDeviceMemory(int64_t{8} << 30); }

  std::shared_ptr<DeviceMemory> memory_ = std::make_shared<DeviceMemory>();
};

TEST_F(DeviceMemoryTest, ReusesABlockForARequestOfItsSize) {
  const void* first = nullptr;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto block, memory_->Allocate(1000));
    first = block->data();
    EXPECT_EQ(block->bytes(), 1000);
    EXPECT_EQ(memory_->bytes_in_use(), 1024);
    EXPECT_EQ(memory_->bytes_cached(), 0);
  }
  EXPECT_EQ(memory_->bytes_in_use(), 0);
  EXPECT_EQ(memory_->bytes_cached(), 1024);
  // For a request in the same size class, but not in another.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto same, memory_->Allocate(900));
  EXPECT_EQ(same->data(), first);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto other, memory_->Allocate(100));
  EXPECT_NE(other->data(), first);
  EXPECT_EQ(GetEmulationCounters().mallocs, 2);
  EXPECT_EQ(GetEmulationCounters().frees, 0);
}

TEST_F(DeviceMemoryTest, RoundsUpByAnEighthAtMost) {
  for (int64_t bytes = 4096; bytes < 64 * kMiB; bytes = bytes * 11 / 10 + 1) {
    const int64_t before = memory_->bytes_in_use();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto block, memory_->Allocate(bytes));
    const int64_t size = memory_->bytes_in_use() - before;
    EXPECT_GE(size, bytes);
    EXPECT_LE(size, bytes + bytes / 8 + 1);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto nothing, memory_->Allocate(0));
  EXPECT_NE(nothing->data(), nullptr);
}

TEST_F(DeviceMemoryTest, ReturnsTheCacheToTheDriverBeforeItFails) {
  emulation::SetEmulatedDeviceMemory(GetEmulationCounters().device_bytes + 100 * kMiB);
  for (const int64_t size : {20, 30, 40}) PROTOPAGE_ASSERT_OK(memory_->Allocate(size * kMiB));
  EXPECT_EQ(memory_->bytes_cached(), 90 * kMiB);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto large, memory_->Allocate(64 * kMiB));
  EXPECT_EQ(memory_->bytes_cached(), 0);
  EXPECT_EQ(GetEmulationCounters().frees, 3);
}

TEST_F(DeviceMemoryTest, ReportsTheRequestAndWhatToLower) {
  emulation::SetEmulatedDeviceMemory(GetEmulationCounters().device_bytes + 100 * kMiB);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto used, memory_->Allocate(64 * kMiB));
  const auto failed = memory_->Allocate(48 * kMiB);
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kResourceExhausted,
                               absl::StrCat("out of GPU memory: ", 48 * kMiB,
                                            " bytes were requested, ", 64 * kMiB,
                                            " are in use here, 0 are cached for reuse, and the "
                                            "device has ",
                                            36 * kMiB, " of ")));
  EXPECT_THAT(std::string(failed.status().message()),
              testing::HasSubstr("lower the batch size or classes_per_step"));
  // Further requests may still succeed.
  PROTOPAGE_EXPECT_OK(memory_->Allocate(16 * kMiB));
}

TEST_F(DeviceMemoryTest, FreesAllWithTheLastBlock) {
  const int64_t before = GetEmulationCounters().device_bytes;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto block, memory_->Allocate(kMiB));
  PROTOPAGE_ASSERT_OK(memory_->Allocate(2 * kMiB));
  memory_.reset();
  EXPECT_EQ(GetEmulationCounters().device_bytes, before + 3 * kMiB);
  block.reset();
  EXPECT_EQ(GetEmulationCounters().device_bytes, before);
}

absl::StatusOr<std::shared_ptr<Buffer>> AllocateABlock() {
  auto memory = std::make_shared<DeviceMemory>();
  PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> block, memory->Allocate(int64_t{64} << 20));
  return block;
}

TEST_F(DeviceMemoryTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> block, AllocateABlock());
  EXPECT_EQ(block->bytes(), 64 * kMiB);
}

}  // namespace
}  // namespace protopage
