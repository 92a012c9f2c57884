// Stopwatch: wall time since its construction.
//
//   const Stopwatch stopwatch;
//   Work();
//   report.seconds = stopwatch.Seconds();
#ifndef PROTOPAGE_BASE_STOPWATCH_H_
#define PROTOPAGE_BASE_STOPWATCH_H_

#include <chrono>

namespace protopage {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_STOPWATCH_H_
