#include "protopage/prototypes/fuzz/table_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_scrub.h"

namespace protopage {
namespace {

class TableFileTest : public testing::Test {
 protected:
  TableFileTest() : path_(absl::StrCat(testing::TempDir(), "/table_file_test_", getpid(), ".h5")) {
    DefaultFileSystem()->Remove(path_).IgnoreError();
    PrototypeStoreSpec spec;
    spec.num_classes = 4;
    spec.dim = 3;
    const auto store = PrototypeStore::Create(path_, spec, {});
    PROTOPAGE_EXPECT_OK(store.status());
    PROTOPAGE_EXPECT_OK((*store)->Scatter({2}, RowMatrixXf::Ones(1, 3)));
    PROTOPAGE_EXPECT_OK((*store)->Flush());
    PROTOPAGE_EXPECT_OK((*store)->Drop({1}));
  }

  const std::string path_;
};

TEST_F(TableFileTest, TheExampleOfTheHeader) {
  const std::vector<uint8_t> bytes = {0, 0, 1, 19, 1};  // The attribute dim becomes 3, as it is.
  FuzzInput input(bytes.data(), bytes.size());
  const std::string& path = path_;
  [&] {
    TableFile file = ReadTableFile(path);
    Mutate(&input, &file);
    if (input.Below(4) > 0) SetChecksums(&file);
    if (!WriteTableFile(path, file)) return;  // No such file can be made.
  }();
  PROTOPAGE_EXPECT_OK(PrototypeStore::Open(path, {}).status());
}

TEST_F(TableFileTest, ChangedCellsMatchTheNewChecksumsAlone) {
  TableFile file = ReadTableFile(path_);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "prototypes") dataset.content[2 * 12] ^= 1;
  }
  ASSERT_TRUE(WriteTableFile(path_, file));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path_, {}));
    EXPECT_EQ(ScrubStore(store.get(), {}).size(), 1u);
  }
  SetChecksums(&file);
  ASSERT_TRUE(WriteTableFile(path_, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path_, {}));
  EXPECT_EQ(ScrubStore(store.get(), {}).size(), 0u);
  EXPECT_EQ(store->num_dropped(), 1);
}

TEST_F(TableFileTest, SizesThatHdf5CannotMakeAreNotWritten) {
  TableFile file = ReadTableFile(path_);
  file.datasets[0].dims[0] = -1;
  EXPECT_FALSE(WriteTableFile(path_, file));
}

}  // namespace
}  // namespace protopage
