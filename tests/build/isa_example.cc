#include "protopage/tests/build/isa_example.h"

#include <Eigen/Core>
#include <vector>

namespace protopage {
namespace PROTOPAGE_ISA {

float Dot(const float* x, const float* y, int64_t n) {
  // The copies bring in inline functions of the standard library, which both
  // instruction sets compile.
  std::vector<float> copy_x, copy_y;
  for (int64_t i = 0; i < n; ++i) {
    copy_x.push_back(x[i]);
    copy_y.push_back(y[i]);
  }
  return Eigen::Map<const Eigen::VectorXf>(copy_x.data(), n)
      .dot(Eigen::Map<const Eigen::VectorXf>(copy_y.data(), n));
}

}  // namespace PROTOPAGE_ISA
}  // namespace protopage
