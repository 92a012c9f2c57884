#include "protopage/base/external_sort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return JoinPath(testing::TempDir(), absl::StrCat("external_sort_test_", name));
}

std::vector<uint64_t> RandomKeys(int64_t count, uint64_t seed) {
  RandomStream random(seed, RandomPurpose::kTest, 0);
  std::vector<uint64_t> keys;
  for (int64_t i = 0; i < count; ++i) keys.push_back(random.Next64());
  return keys;
}

absl::Status Sort(const std::vector<uint64_t>& keys, const std::string& temporary,
                  int64_t keys_in_memory, std::vector<uint64_t>* sorted) {
  FileSystem* const fs = DefaultFileSystem();
  const auto use = [&](uint64_t key) {
    sorted->push_back(key);
    return absl::OkStatus();
  };
  // The example of the header.
  ExternalSort sort(fs, temporary, keys_in_memory);
  for (const uint64_t key : keys) PROTOPAGE_RETURN_IF_ERROR(sort.Add(key));
  return sort.ForEach(use);
}

TEST(ExternalSortTest, HeaderExample) {
  FileSystem* const fs = DefaultFileSystem();
  const std::vector<uint64_t> keys = {3, 1, 2};
  std::vector<uint64_t> used;
  const auto Use = [&](uint64_t key) {
    used.push_back(key);
    return absl::OkStatus();
  };
  const auto example = [&]() -> absl::Status {
    ExternalSort sort(fs, "table.h5.sort");
    for (const uint64_t key : keys) PROTOPAGE_RETURN_IF_ERROR(sort.Add(key));
    PROTOPAGE_RETURN_IF_ERROR(sort.ForEach([&](uint64_t key) { return Use(key); }));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(used, (std::vector<uint64_t>{1, 2, 3}));
}

TEST(ExternalSortTest, SortsWithinMemoryAndBeyond) {
  // Around the bound: one key fewer, as many, one more; and many runs, the last of them short.
  for (const int64_t count : {0, 1, 99, 100, 101, 200, 12345}) {
    std::vector<uint64_t> keys = RandomKeys(count, 1), sorted;
    PROTOPAGE_ASSERT_OK(Sort(keys, TempPath("sorts"), 100, &sorted));
    std::sort(keys.begin(), keys.end());
    EXPECT_EQ(sorted, keys) << count;
  }
}

TEST(ExternalSortTest, ReadsLongRunsInPieces) {
  std::vector<uint64_t> keys = RandomKeys(20000, 2), sorted;
  PROTOPAGE_ASSERT_OK(Sort(keys, TempPath("pieces"), 3000, &sorted));
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(sorted, keys);
}

TEST(ExternalSortTest, KeepsEqualKeys) {
  std::vector<uint64_t> keys(1000, 7), sorted;
  keys[500] = 3;
  PROTOPAGE_ASSERT_OK(Sort(keys, TempPath("equal"), 64, &sorted));
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(sorted, keys);
}

TEST(ExternalSortTest, RemovesItsFile) {
  const std::string path = TempPath("removed");
  std::vector<uint64_t> sorted;
  PROTOPAGE_ASSERT_OK(Sort(RandomKeys(1000, 3), path, 100, &sorted));
  EXPECT_FALSE(DefaultFileSystem()->Exists(path));
}

TEST(ExternalSortTest, AnErrorOfTheCallEndsIt) {
  ExternalSort sort(DefaultFileSystem(), TempPath("error"), 10);
  for (uint64_t key = 0; key < 100; ++key) PROTOPAGE_ASSERT_OK(sort.Add(key));
  int64_t calls = 0;
  const absl::Status status = sort.ForEach([&](uint64_t) -> absl::Status {
    return ++calls == 42 ? absl::DataLossError("found") : absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(calls, 42);
}

}  // namespace
}  // namespace protopage
