// Another HDF5 program, h5py, reads what a store wrote.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {
namespace {

// The exit status of prototypes/h5py_read.py: 0 if all is right, 77 if there is no h5py.
int Check(const std::string& path, const std::string& state, RowType type) {
  const int status = std::system(absl::StrCat("/usr/bin/python3 prototypes/h5py_read.py '", path,
                                              "' ", state, " ", RowTypeName(type))
                                     .c_str());
  return WEXITSTATUS(status);
}

class H5pyReadTest : public testing::TestWithParam<RowType> {};

TEST_P(H5pyReadTest, H5pyReadsTheStore) {
  const RowType type = GetParam();
  const std::string path =
      absl::StrCat(testing::TempDir(), "/h5py_read_test_", getpid(), RowTypeName(type));
  PrototypeStoreSpec spec;
  spec.num_classes = 1000;
  spec.capacity = 1200;
  spec.dim = 24;
  spec.seed = 5;
  spec.dtype = type;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(path, spec, {}));
  if (Check(path, "empty", type) == 77) GTEST_SKIP() << "no h5py in /usr/bin/python3";
  // As in the script: row(c)[j] = c / 2 + j, which float16 can hold too, and momentum = -row.
  const std::vector<ClassId> ids = {0, 7, 8, 999};
  StepRows rows;
  PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &rows));
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 24; ++j) rows.rows(i, j) = 0.5f * static_cast<float>(ids[i]) + j;
  }
  rows.state = -rows.rows;
  PROTOPAGE_ASSERT_OK(store->ScatterStep(ids, rows, 41));
  EXPECT_EQ(Check(path, "empty", type), 0) << "well-formed while it is written";
  PROTOPAGE_ASSERT_OK(store->Flush());
  EXPECT_EQ(Check(path, "written", type), 0) << "also while it is open";
  store.reset();
  EXPECT_EQ(Check(path, "written", type), 0);
}

INSTANTIATE_TEST_SUITE_P(RowTypes, H5pyReadTest,
                         testing::Values(RowType::kFloat32, RowType::kFloat16),
                         [](const auto& info) { return RowTypeName(info.param); });

}  // namespace
}  // namespace protopage
