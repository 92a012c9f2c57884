#include "protopage/third_party/versions.h"

#include <iostream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hdf5.h"
#include "zlib.h"

namespace protopage {
namespace {

using ::testing::ContainsRegex;

TEST(VersionsTest, EveryComponentHasAVersion) {
  for (const ComponentVersion& component : ComponentVersions()) {
    if (component.name == "target" || component.name == "Abseil") continue;
    EXPECT_THAT(component.version, ContainsRegex("[0-9]+\\.[0-9]+")) << component.name;
  }
}

TEST(VersionsTest, TheExampleOfTheHeader) {
  testing::internal::CaptureStdout();
  for (const ComponentVersion& component : ComponentVersions()) {
    std::cout << component.name << " " << component.version << "\n";
  }
  EXPECT_THAT(testing::internal::GetCapturedStdout(), ContainsRegex("HDF5 [0-9.]+\n"));
}

TEST(VersionsTest, HeadersAndLinkedLibrariesAgree) {
  std::map<std::string, std::string> versions;
  for (const ComponentVersion& component : ComponentVersions()) {
    versions[component.name] = component.version;
  }
  unsigned major = 0, minor = 0, release = 0;
  ASSERT_GE(H5get_libversion(&major, &minor, &release), 0);
  EXPECT_EQ(versions["HDF5"],
            std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release));
  EXPECT_EQ(versions["zlib"], zlibVersion());
}

}  // namespace
}  // namespace protopage
