#include "protopage/base/hdf5_connection.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::Status TheExampleOfTheHeader(const std::unique_ptr<File>& file, const std::string& path) {
  const QuietHdf5Errors quiet;
  const Hdf5Connection connection(file.get());
  Hdf5Handle handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, connection.fapl()),
                    H5Fclose);
  if (!handle.Close() || !connection.ok()) {
    return connection.Failure(absl::StatusCode::kInternal, path, "cannot write");
  }
  return absl::OkStatus();
}

std::unique_ptr<File> NewFile(const std::string& name) {
  return DefaultFileSystem()
      ->Open(absl::StrCat(testing::TempDir(), "/", name), OpenMode::kCreate)
      .value();
}

// Its writes and truncations fail, and are counted.
class FullFile : public ForwardingFile {
 public:
  FullFile(std::unique_ptr<File> file, int* calls)
      : ForwardingFile(std::move(file)), calls_(calls) {}
  absl::Status WriteAt(int64_t, const void*, int64_t) override { return Fail(); }
  absl::Status Truncate(int64_t) override { return Fail(); }

 private:
  absl::Status Fail() {
    ++*calls_;
    return absl::ResourceExhaustedError("the disk is full");
  }

  int* calls_;
};

std::string BytesOf(File* file) {
  std::string bytes(file->Size().value(), ' ');
  PROTOPAGE_EXPECT_OK(file->ReadAt(0, &bytes[0], static_cast<int64_t>(bytes.size())));
  return bytes;
}

const char kSignature[] = "\x89HDF\r\n\x1a\n";

TEST(Hdf5ConnectionTest, WritesThroughTheFile) {
  const std::unique_ptr<File> file = NewFile("hdf5_connection_test_whole.h5");
  PROTOPAGE_EXPECT_OK(TheExampleOfTheHeader(file, "any name"));
  EXPECT_EQ(BytesOf(file.get()).substr(0, 8), kSignature);
}

TEST(Hdf5ConnectionTest, TheFirstFailureOfTheFileIsToldAndNothingIsLeftToWrite) {
  int calls = 0;
  const std::unique_ptr<File> file =
      std::make_unique<FullFile>(NewFile("hdf5_connection_test_full.h5"), &calls);
  EXPECT_THAT(TheExampleOfTheHeader(file, "any name"),
              StatusIs(absl::StatusCode::kResourceExhausted, "the disk is full"));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

TEST(Hdf5ConnectionTest, FailuresOfHdf5AreToldWithThePath) {
  const std::unique_ptr<File> file = NewFile("hdf5_connection_test_empty.h5");
  const QuietHdf5Errors quiet;
  const Hdf5Connection connection(file.get());
  EXPECT_LT(H5Fopen("any name", H5F_ACC_RDONLY, connection.fapl()), 0);
  EXPECT_TRUE(connection.ok());
  EXPECT_THAT(connection.Failure(absl::StatusCode::kDataLoss, "w.h5", "cannot open"),
              StatusIs(absl::StatusCode::kDataLoss, "w.h5: cannot open: "));
}

TEST(Hdf5ConnectionTest, TheSignatureWaits) {
  const std::unique_ptr<File> file = NewFile("hdf5_connection_test_held.h5");
  Hdf5Connection connection(file.get(), /*hold_signature=*/true);
  Hdf5Handle handle(H5Fcreate("any name", H5F_ACC_TRUNC, H5P_DEFAULT, connection.fapl()), H5Fclose);
  ASSERT_TRUE(handle.ok());
  EXPECT_TRUE(handle.Close());
  EXPECT_EQ(BytesOf(file.get()).substr(0, 8), std::string(8, '\0'));
  EXPECT_EQ(std::memcmp(connection.signature(), kSignature, Hdf5Connection::kSignatureBytes), 0);
  PROTOPAGE_EXPECT_OK(connection.WriteSignature());
  EXPECT_EQ(BytesOf(file.get()).substr(0, 8), kSignature);
}

TEST(Hdf5ConnectionTest, WhatIsClosedLateIsDropped) {
  std::unique_ptr<File> file = NewFile("hdf5_connection_test_late.h5");
  auto connection = std::make_unique<Hdf5Connection>(file.get());
  Hdf5Handle handle(H5Fcreate("any name", H5F_ACC_TRUNC, H5P_DEFAULT, connection->fapl()),
                    H5Fclose);
  ASSERT_TRUE(handle.ok());
  connection.reset();
  file.reset();
  EXPECT_TRUE(handle.Close());
}

}  // namespace
}  // namespace protopage
