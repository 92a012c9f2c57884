#include "protopage/tests/build/isa_example.h"

#include <Eigen/Core>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/cpu_features.h"

namespace protopage {
namespace {

// Small integers, so that every order of summation gives 2 * 100.
const std::vector<float>& Ones() {
  static const auto& ones = *new std::vector<float>(100, 1.0f);
  return ones;
}
const std::vector<float>& Twos() {
  static const auto& twos = *new std::vector<float>(100, 2.0f);
  return twos;
}

TEST(IsaExampleTest, Avx2) { EXPECT_EQ(avx2::Dot(Ones().data(), Twos().data(), 100), 200); }

TEST(IsaExampleTest, Avx512WhereTheCpuHasIt) {
  if (!GetCpuFeatures().x86_64_v4) GTEST_SKIP() << "no AVX-512 here";
  EXPECT_EQ(avx512::Dot(Ones().data(), Twos().data(), 100), 200);
}

TEST(IsaExampleTest, EigenOfTheCallerIsItsOwn) {
  const Eigen::Map<const Eigen::VectorXf> ones(Ones().data(), 100);
  EXPECT_EQ(ones.dot(ones), 100);
}

}  // namespace
}  // namespace protopage
