#include "protopage/base/file_checksum.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

TEST(FileChecksumTest, IsThatOfTheWholeContent) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = absl::StrCat(testing::TempDir(), "/file_checksum_test");
  for (const size_t size : {0, 1, 262144, 262145, 1000000}) {
    std::string content(size, 'a');
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * i);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, content));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const uint64_t checksum, FileChecksum(fs, path));
    EXPECT_EQ(checksum, XXH3_64bits(content.data(), content.size())) << size;
  }
  EXPECT_THAT(FileChecksum(fs, path + "-none"), StatusIs(absl::StatusCode::kNotFound, path));
}

TEST(SampledFileChecksumTest, TellsFilesApart) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = absl::StrCat(testing::TempDir(), "/sampled_file_checksum_test");
  const auto checksum = [&](const std::string& content) {
    PROTOPAGE_EXPECT_OK(WriteFileAtomically(fs, path, content));
    return SampledFileChecksum(fs, path).value();
  };
  EXPECT_NE(checksum(""), checksum(std::string(1, '\0')));
  for (const size_t size : {100, 262144, 262145, 3000000}) {
    const std::string content(size, 'a');
    const uint64_t found = checksum(content);
    EXPECT_EQ(checksum(content), found);
    EXPECT_NE(checksum(content + "a"), found);
    for (const size_t at : {size_t{0}, size - 1}) {
      std::string other = content;
      other[at] = 'b';
      EXPECT_NE(checksum(other), found) << size << " " << at;
    }
    // Other content somewhere in every 64 KiB.
    std::string other = content;
    for (size_t i = 0; i < size; i += 4096) other[i] = 'b';
    EXPECT_NE(checksum(other), found) << size;
  }
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs) {
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t xxh3, FileChecksum(fs, "model.h5"));
  return xxh3 == 0 ? absl::DataLossError("") : absl::OkStatus();
}

}  // namespace
}  // namespace protopage
