#include "protopage/model/cuda/emulation/pointers_in.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename T>
std::vector<const void*> PointersIn(const T& value) {
  std::vector<const void*> pointers;
  ForEachPointerIn(value, [&](const void* pointer) { pointers.push_back(pointer); });
  return pointers;
}

struct Empty {};
enum class Kind { kOne };
struct Numbers {
  [[maybe_unused]] static constexpr int kWidth = 4;
  float a, b;
  bool c = true;
  Kind kind = Kind::kOne;
  int64_t n;
};
struct alignas(16) Pack {
  float v[4];
};
struct Map {
  Empty op;
  const float* x;
  Numbers numbers;
  Pack m, s;
  int8_t* y;
};
struct Pair {
  float a, b;
};
struct OnePointer {
  const void* p;
};
struct AfterAPair {
  Pair pair;
  const void* p;
};
struct Nested {
  int n;
  AfterAPair inner;
  OnePointer one;
};
class Made {
 public:
  explicit Made(int n) : n_(n) {}
  int n() const { return n_; }

 private:
  int n_;
};
struct AfterAClass {
  Made made;
  const float* x;
};
struct Twelve {
  float a;
  const float *b, *c, *d, *e, *f, *g, *h;
  Pack i, j, k;
  float* l;
};

TEST(PointersInTest, ThereAreNoneInNumbers) {
  EXPECT_THAT(PointersIn(1.0f), IsEmpty());
  EXPECT_THAT(PointersIn(Numbers()), IsEmpty());
  EXPECT_THAT(PointersIn(Pack()), IsEmpty());
  EXPECT_THAT(PointersIn(Empty()), IsEmpty());
  EXPECT_THAT(PointersIn(Made(3)), IsEmpty());
}

TEST(PointersInTest, AnArgumentAndFieldsOfStructsAreFound) {
  float x[14] = {};
  int8_t y = 0;
  EXPECT_THAT(PointersIn(&x[0]), ElementsAre(x));
  EXPECT_THAT(PointersIn(Map{{}, x, {}, {}, {}, &y}), ElementsAre(x, &y));
  EXPECT_THAT(PointersIn(OnePointer{x}), ElementsAre(x));
  EXPECT_THAT(PointersIn(AfterAPair{{}, x}), ElementsAre(x));
  EXPECT_THAT(PointersIn(Nested{1, {{}, x}, {&y}}), ElementsAre(x, &y));
  EXPECT_THAT(PointersIn(AfterAClass{Made(1), x}), ElementsAre(x));
  EXPECT_THAT(PointersIn(Twelve{0, x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, {}, {}, {}, x + 7}),
              ElementsAre(x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7));
}

TEST(PointersInTest, TheExampleOfTheHeader) {
  const float in = 1.0f;
  float out = 0.0f;
  std::vector<const void*> pointers;
  struct Map {
    float rate;
    const float* x;
    float* y;
  };
  Map map = {0.5f, &in, &out};
  ForEachPointerIn(map, [&](const void* pointer) { pointers.push_back(pointer); });
  EXPECT_THAT(pointers, ElementsAre(&in, &out));
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
