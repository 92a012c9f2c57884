// Shows that Google Benchmark links and runs; the product is the unit that the
// other benchmarks can be read in.
//
//   ./bazelw run //third_party:smoke_benchmark

#include <Eigen/Core>

#include "benchmark/benchmark.h"

namespace {

void BM_Product(benchmark::State& state) {
  const Eigen::Index n = state.range(0);
  const Eigen::MatrixXf a = Eigen::MatrixXf::Random(n, n);
  const Eigen::MatrixXf b = Eigen::MatrixXf::Random(n, n);
  Eigen::MatrixXf c(n, n);
  for (auto _ : state) {
    c.noalias() = a * b;
    benchmark::DoNotOptimize(c.data());
  }
  state.SetItemsProcessed(state.iterations() * 2 * n * n * n);
}
BENCHMARK(BM_Product)->Arg(256);

}  // namespace
