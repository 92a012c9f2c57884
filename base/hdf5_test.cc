#include "protopage/base/hdf5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using ::testing::HasSubstr;

absl::Status TheExampleOfTheHeader(const std::string& path) {
  const QuietHdf5Errors quiet;
  const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", LastHdf5Error()));
  }
  const Hdf5Handle dataset(H5Dopen2(file, "embeddings", H5P_DEFAULT), H5Dclose);
  return dataset.ok() ? absl::OkStatus() : absl::NotFoundError(LastHdf5Error());
}

std::string TestPath(const std::string& name) {
  return absl::StrCat(::testing::TempDir(), "/", name);
}

bool IsOpen(hid_t id) { return H5Iis_valid(id) > 0; }

hid_t NewType() { return H5Tcopy(H5T_NATIVE_INT); }

TEST(Hdf5Test, TheExampleOfTheHeader) {
  ::testing::internal::CaptureStderr();
  const std::string path = TestPath("hdf5_test_missing.h5");
  EXPECT_THAT(TheExampleOfTheHeader(path),
              StatusIs(absl::StatusCode::kDataLoss, "unable to open file"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Hdf5Test, AHandleClosesItsIdentifier) {
  hid_t id = H5I_INVALID_HID;
  {
    const Hdf5Handle handle(NewType(), H5Tclose);
    ASSERT_TRUE(handle.ok());
    id = handle;
    EXPECT_TRUE(IsOpen(id));
  }
  EXPECT_FALSE(IsOpen(id));
}

TEST(Hdf5Test, AMovedHandleClosesOnce) {
  hid_t id = H5I_INVALID_HID;
  {
    Hdf5Handle first(NewType(), H5Tclose);
    id = first;
    Hdf5Handle second(std::move(first));
    EXPECT_FALSE(first.ok());
    EXPECT_EQ(static_cast<hid_t>(second), id);
    Hdf5Handle third;
    third = std::move(second);
    EXPECT_TRUE(IsOpen(id));
  }
  EXPECT_FALSE(IsOpen(id));
}

TEST(Hdf5Test, CloseTellsWhetherHdf5Failed) {
  Hdf5Handle handle(NewType(), H5Tclose);
  EXPECT_TRUE(handle.Close());
  EXPECT_FALSE(handle.ok());
  EXPECT_TRUE(handle.Close()) << "nothing is open";
  Hdf5Handle failing(NewType(), [](hid_t id) -> herr_t {
    H5Tclose(id);
    return -1;
  });
  EXPECT_FALSE(failing.Close());
}

TEST(Hdf5Test, QuietErrorsRestoreTheSettingBefore) {
  H5E_auto2_t before = nullptr, during = nullptr, after = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &before, &data);
  ASSERT_NE(before, nullptr);
  {
    const QuietHdf5Errors quiet;
    H5Eget_auto2(H5E_DEFAULT, &during, &data);
  }
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  EXPECT_EQ(during, nullptr);
  EXPECT_EQ(after, before);
}

TEST(Hdf5Test, LastErrorIsTheInnermostAndIsTakenOnce) {
  const QuietHdf5Errors quiet;
  const std::string path = TestPath("hdf5_test_missing.h5");
  ASSERT_LT(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  EXPECT_THAT(LastHdf5Error(), HasSubstr("No such file or directory"));
  EXPECT_EQ(LastHdf5Error(), "unknown HDF5 error");
}

TEST(Hdf5Test, TheLibraryIsThreadSafe) { EXPECT_TRUE(Hdf5IsThreadSafe()); }

}  // namespace
}  // namespace protopage
