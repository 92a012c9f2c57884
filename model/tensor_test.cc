#include "protopage/model/tensor.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace protopage {
namespace {

// A buffer over a vector, which says when it is gone.
class VectorBuffer : public Buffer {
 public:
  VectorBuffer(std::vector<float>* values, bool* freed)
      : Buffer(values->data(), values->size() * sizeof(float)), freed_(freed) {}
  ~VectorBuffer() override { *freed_ = true; }

 private:
  bool* freed_;
};

TEST(ShapeTest, CountsElementsAndPrints) {
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ(Shape().ToString(), "[]");
  const Shape shape = {64, 32, 32, 3};
  EXPECT_EQ(shape.num_elements(), 64 * 32 * 32 * 3);
  EXPECT_EQ(shape.ToString(), "[64, 32, 32, 3]");
  EXPECT_EQ((Shape{4, 0, 2}).num_elements(), 0);
  EXPECT_NE(shape, (Shape{64, 32, 32}));
}

TEST(TensorTest, ADefaultTensorIsAbsent) { EXPECT_FALSE(Tensor()); }

TEST(TensorTest, ViewsShareTheBufferAndKeepItAlive) {
  std::vector<float> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  bool freed = false;
  Tensor row;
  {
    const Tensor x(std::make_shared<VectorBuffer>(&values, &freed), DType::kFloat32, {3, 2, 2});
    EXPECT_EQ(x.bytes(), 48);
    const Tensor matrix = x.Reshaped({3, 4});
    EXPECT_EQ(matrix.shape(), (Shape{3, 4}));
    EXPECT_EQ(matrix.f32(), values.data());
    row = x.Slice(1, 2);
    EXPECT_EQ(row.shape(), (Shape{2, 2, 2}));
    EXPECT_EQ(row.Slice(1, 1).f32()[0], 8.0f);
  }
  EXPECT_FALSE(freed);
  row.f32()[0] = -1.0f;
  EXPECT_EQ(values[4], -1.0f);
  row = Tensor();
  EXPECT_TRUE(freed);
}

TEST(TensorTest, ASliceOfNoRowsIsEmpty) {
  std::vector<float> values(6);
  bool freed = false;
  const Tensor x(std::make_shared<VectorBuffer>(&values, &freed), DType::kInt32, {3, 2});
  EXPECT_EQ(x.Slice(3, 0).num_elements(), 0);
}

TEST(TensorTest, BytesCanBeViewedAsAnotherDtype) {
  std::vector<float> values = {0, 1, 2, 3};
  bool freed = false;
  const Tensor bytes(std::make_shared<VectorBuffer>(&values, &freed), DType::kUint8, {16});
  const Tensor x = bytes.Slice(4, 12).ViewedAs(DType::kFloat32, {2, 1}, 4);
  EXPECT_EQ(x.shape(), (Shape{2, 1}));
  EXPECT_EQ(x.f32()[0], 2.0f);
  EXPECT_EQ(bytes.ViewedAs(DType::kBfloat16, {2, 4}, 0).bytes(), 16);
}

TEST(TensorDeathTest, RefusesAViewOutsideTheBuffer) {
  std::vector<float> values(6);
  bool freed = false;
  const Tensor x(std::make_shared<VectorBuffer>(&values, &freed), DType::kFloat32, {3, 2});
  EXPECT_DEATH(x.Slice(2, 2), "check failed");
  EXPECT_DEATH(x.Reshaped({7}), "check failed");
  EXPECT_DEATH(x.ViewedAs(DType::kFloat16, {11}, 4), "check failed");
  EXPECT_DEATH(x.ViewedAs(DType::kFloat16, {1}, -2), "check failed");
  EXPECT_DEATH(x.i32(), "check failed");  // It is of floats.
  EXPECT_DEATH(Tensor(std::make_shared<VectorBuffer>(&values, &freed), DType::kFloat32, {7}),
               "check failed");
}

}  // namespace
}  // namespace protopage
