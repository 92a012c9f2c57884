// The prototype store without the rest of protopage, on the host's @eigen.

#include "protopage/prototypes/prototype_store.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/detector.h"
#include "protopage/base/types.h"

namespace reuse {
namespace {

TEST(PrototypeStoreTest, UsesOurEigen) { EXPECT_EQ(REUSE_OWNS_EIGEN, 1); }

TEST(PrototypeStoreTest, KeepsRows) {
  const std::string path = ::testing::TempDir() + "/reuse.h5";
  protopage::PrototypeStoreSpec spec;
  spec.num_classes = Detector().num_classes;
  spec.dim = 4;
  protopage::RowMatrixXf rows(1, 4);
  rows << 1, 2, 3, 4;
  const std::vector<protopage::ClassId> ids = {1};
  {
    auto store = protopage::PrototypeStore::Create(path, spec, {});
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Scatter(ids, rows).ok());
    ASSERT_TRUE((*store)->Flush().ok());
  }
  auto store = protopage::PrototypeStore::Open(path, {});
  ASSERT_TRUE(store.ok()) << store.status();
  protopage::RowMatrixXf read(1, 4);
  ASSERT_TRUE((*store)->Gather(ids, read).ok());
  EXPECT_EQ(read, rows);
}

}  // namespace
}  // namespace reuse
