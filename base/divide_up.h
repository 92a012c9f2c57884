// DivideUp: a / b, rounded up, for a >= 0 and b > 0.
//
//   const int64_t blocks = DivideUp(1000, 256);  // 4
#ifndef PROTOPAGE_BASE_DIVIDE_UP_H_
#define PROTOPAGE_BASE_DIVIDE_UP_H_

#include <cstdint>

namespace protopage {

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace protopage

#endif  // PROTOPAGE_BASE_DIVIDE_UP_H_
