#include "protopage/base/status_macros.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "absl/strings/cord.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<int>> Half(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError("odd");
  return std::make_unique<int>(x / 2);
}

absl::Status Quarter(int x, int* out) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(x));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<int> quarter, Half(*half));
  PROTOPAGE_RETURN_IF_ERROR(absl::OkStatus());
  *out = *quarter;
  return absl::OkStatus();
}

struct FakeFile {
  absl::StatusOr<int64_t> Size() { return size; }
  absl::Status Sync() { return sync; }
  absl::Status ReadAt(int64_t, char*, int64_t) { return absl::OutOfRangeError("the file ends"); }

  absl::StatusOr<int64_t> size = 3;
  absl::Status sync;
};

absl::StatusOr<int64_t> SyncedSize(FakeFile* file) {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  PROTOPAGE_RETURN_IF_ERROR(file->Sync());
  return size;
}

TEST(StatusMacrosTest, TheExampleOfTheHeader) {
  FakeFile file;
  EXPECT_EQ(SyncedSize(&file).value(), 3);
  file.sync = absl::DataLossError("sync");
  EXPECT_THAT(SyncedSize(&file), StatusIs(absl::StatusCode::kDataLoss, "sync"));
  file.size = absl::UnavailableError("stat");
  EXPECT_THAT(SyncedSize(&file), StatusIs(absl::StatusCode::kUnavailable, "stat"));
}

TEST(StatusMatchersTest, TheExampleOfTheHeader) {
  FakeFile fake;
  FakeFile* const file = &fake;
  char byte;
  PROTOPAGE_EXPECT_OK(file->Sync());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  EXPECT_THAT(file->ReadAt(size, &byte, 1), StatusIs(absl::StatusCode::kOutOfRange, "ends"));
}

TEST(StatusMatchersTest, StatusIsComparesCodeAndMessage) {
  const absl::Status status = absl::NotFoundError("no such file");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "such"));
  EXPECT_THAT(status, testing::Not(StatusIs(absl::StatusCode::kDataLoss, "such")));
  EXPECT_THAT(status, testing::Not(StatusIs(absl::StatusCode::kNotFound, "folder")));
  EXPECT_THAT(status, testing::Not(IsOk()));
}

TEST(StatusMacrosTest, ValueIsMovedOutAndErrorsReturn) {
  int out = 0;
  PROTOPAGE_EXPECT_OK(Quarter(8, &out));
  EXPECT_EQ(out, 2);
  EXPECT_THAT(Quarter(6, &out), StatusIs(absl::StatusCode::kInvalidArgument, "odd"));
  EXPECT_EQ(out, 2);
}

TEST(StatusMacrosTest, ContextKeepsCodeAndPayload) {
  absl::Status status = absl::DataLossError("bad row");
  status.SetPayload("url", absl::Cord("p"));
  const absl::Status result = WithContext(status, "w.h5");
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDataLoss, "w.h5: bad row"));
  EXPECT_TRUE(result.GetPayload("url").has_value());
  PROTOPAGE_EXPECT_OK(WithContext(absl::OkStatus(), "x"));
}

}  // namespace
}  // namespace protopage
