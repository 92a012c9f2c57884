#include "protopage/eval/row_source.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/types.h"

namespace protopage {
namespace {

// Stands for a PrototypeStore: row i is i, i, ...
struct Store {
  int64_t num_classes() const { return 10; }
  int64_t dim() const { return 2; }
  absl::Status ReadRange(int64_t first, RowMatrixRef out) const {
    for (int64_t i = 0; i < out.rows(); ++i) out.row(i).setConstant(static_cast<float>(first + i));
    return absl::OkStatus();
  }
};

TEST(RowSource, TheExampleOfTheHeader) {
  RowMatrixXf features(3, 2);
  features << 1, 2, 3, 4, 5, 6;
  const auto store = std::make_unique<Store>();
  const RowSource gallery = MatrixRows(features);
  const RowSource prototypes = {
      .rows = store->num_classes(),
      .dim = store->dim(),
      .read = [&](int64_t first, RowMatrixRef out) { return store->ReadRange(first, out); }};
  EXPECT_EQ(gallery.rows, 3);
  EXPECT_EQ(gallery.dim, 2);
  RowMatrixXf rows(2, 2);
  PROTOPAGE_ASSERT_OK(gallery.read(1, rows));
  EXPECT_EQ(rows, features.bottomRows(2));
  PROTOPAGE_ASSERT_OK(prototypes.read(4, rows));
  EXPECT_EQ(rows(1, 0), 5);
}

}  // namespace
}  // namespace protopage
