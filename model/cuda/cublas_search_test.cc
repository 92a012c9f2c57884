#include "protopage/model/cuda/cublas_search.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace protopage {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CublasSearchTest : public ::testing::Test {
 protected:
  CublasSearchTest()
      : root_(::testing::TempDir() + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
  }

  // Creates an empty file and the folders above it.
  std::string Touch(const std::string& path) {
    const std::filesystem::path whole = root_ + "/" + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream file(whole);
    return whole.string();
  }

  // The libraries below the folder of the test.
  std::vector<std::string> Found(const CublasEnvironment& environment) const {
    std::vector<std::string> found;
    for (const CublasLibrary& library : FindCublas(environment).libraries) {
      if (library.cublas.rfind(root_, 0) == 0) found.push_back(library.cublas);
    }
    return found;
  }

  const std::string root_;
};

TEST_F(CublasSearchTest, TheLoadersSearchComesFirst) {
  const CublasSearch search = FindCublas({});
  ASSERT_GE(search.libraries.size(), 2u);
  EXPECT_EQ(search.libraries[0].cublas, "libcublas.so.13");
  EXPECT_EQ(search.libraries[0].cublas_lt, "libcublasLt.so.13");
  EXPECT_EQ(search.libraries[1].cublas, "libcublas.so.12");
}

TEST_F(CublasSearchTest, FindsTheToolkitWithLtBesideIt) {
  const std::string cublas = Touch("toolkit/lib64/libcublas.so.13");
  CublasEnvironment environment;
  environment.cuda_home = root_ + "/toolkit";
  EXPECT_THAT(Found(environment), ElementsAre(cublas));
  const CublasSearch search = FindCublas(environment);
  EXPECT_EQ(search.libraries[2].cublas_lt, root_ + "/toolkit/lib64/libcublasLt.so.13");
  EXPECT_THAT(search.places, Contains(root_ + "/toolkit/lib64"));
}

TEST_F(CublasSearchTest, FindsWhatPipInstalledInAnEnvironment) {
  const std::string v13 =
      Touch("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcublas.so.13");
  const std::string v12 =
      Touch("venv/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12");
  CublasEnvironment environment;
  environment.virtual_env = root_ + "/venv";
  EXPECT_THAT(Found(environment), ElementsAre(v13, v12));
}

TEST_F(CublasSearchTest, FindsTheEnvironmentOfThePythonOnPath) {
  const std::string cublas =
      Touch("conda/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12");
  const std::string python = Touch("conda/bin/python3");
  ASSERT_EQ(chmod(python.c_str(), 0755), 0);
  CublasEnvironment environment;
  environment.path = "/nonexistent:" + root_ + "/conda/bin";
  ASSERT_FALSE(Found(environment).empty());
  EXPECT_TRUE(std::filesystem::equivalent(Found(environment)[0], cublas));
}

TEST_F(CublasSearchTest, FindsFoldersOfPythonPath) {
  const std::string cublas = Touch("b/nvidia/cublas/lib/libcublas.so.12");
  CublasEnvironment environment;
  environment.python_path = root_ + "/a:" + root_ + "/b";
  EXPECT_THAT(Found(environment), ElementsAre(cublas));
  EXPECT_THAT(FindCublas(environment).places, Contains(HasSubstr("/a/nvidia")));
}

TEST_F(CublasSearchTest, AnExplicitPathIsTheOnlyOne) {
  CublasEnvironment environment;
  environment.protopage_cublas = "/opt/x/libcublas.so.12.8";
  environment.cuda_home = root_;
  const CublasSearch search = FindCublas(environment);
  ASSERT_EQ(search.libraries.size(), 1u);
  EXPECT_EQ(search.libraries[0].cublas, "/opt/x/libcublas.so.12.8");
  EXPECT_EQ(search.libraries[0].cublas_lt, "/opt/x/libcublasLt.so.12.8");
  EXPECT_THAT(search.places, ElementsAre("PROTOPAGE_CUBLAS=/opt/x/libcublas.so.12.8"));
}

// Compiled only: a cuBLAS of the machine is not worth loading for a test.
[[maybe_unused]] void* TheExampleOfTheHeader() {
  const CublasSearch search = FindCublas(CublasEnvironment::OfProcess());
  for (const CublasLibrary& library : search.libraries) {
    dlopen(library.cublas_lt.c_str(), RTLD_LAZY | RTLD_GLOBAL);
    if (void* handle = dlopen(library.cublas.c_str(), RTLD_LAZY)) return handle;
  }
  return nullptr;
}

}  // namespace
}  // namespace protopage
