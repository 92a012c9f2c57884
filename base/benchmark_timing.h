// Measurements for benchmarks that have a main() of their own.
#ifndef PROTOPAGE_BASE_BENCHMARK_TIMING_H_
#define PROTOPAGE_BASE_BENCHMARK_TIMING_H_

#include <sys/resource.h>

#include <algorithm>
#include <vector>

namespace protopage {

// CPU time of all threads of the process so far, user and system.
inline double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The upper median of at least one value.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace protopage

#endif  // PROTOPAGE_BASE_BENCHMARK_TIMING_H_
