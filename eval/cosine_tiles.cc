#include "protopage/eval/cosine_tiles.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/divide_up.h"

namespace protopage {
namespace {

// A tile of cosines takes 256 KiB, so that it is still in the L2 cache when it is visited.
constexpr int64_t kTileRowsA = 128;
constexpr int64_t kTileRowsB = 512;

}  // namespace

void ForEachCosineTile(ConstRowMatrixRef a, ConstRowMatrixRef unit_b, ThreadPool& pool,
                       absl::FunctionRef<void(const CosineTile&)> visit) {
  PROTOPAGE_CHECK(a.cols() == unit_b.cols());
  struct Scratch {
    RowMatrixXf unit_a;
    RowMatrixXf cosines;
  };
  std::vector<Scratch> scratches(pool.num_threads());
  const int64_t num_tasks = DivideUp(a.rows(), kTileRowsA);
  pool.ParallelForThread(num_tasks, [&](int64_t task, int thread) {
    Scratch& scratch = scratches[thread];
    const int64_t first_a = task * kTileRowsA;
    const int64_t rows_a = std::min(kTileRowsA, a.rows() - first_a);
    scratch.unit_a = a.middleRows(first_a, rows_a);
    NormalizeRows(scratch.unit_a);
    for (int64_t first_b = 0; first_b < unit_b.rows(); first_b += kTileRowsB) {
      const int64_t rows_b = std::min(kTileRowsB, unit_b.rows() - first_b);
      scratch.cosines.resize(rows_a, rows_b);
      scratch.cosines.noalias() = scratch.unit_a * unit_b.middleRows(first_b, rows_b).transpose();
      visit({first_a, first_b, scratch.cosines, thread});
    }
  });
}

void NormalizeRows(RowMatrixRef rows) {
  for (int64_t i = 0; i < rows.rows(); ++i) {
    // In double, so that no square over- or underflows.
    const double norm = rows.row(i).cast<double>().norm();
    rows.row(i) *= static_cast<float>(1.0 / std::max(norm, 1e-5));
  }
}

absl::Status CheckFinite(absl::string_view what, ConstRowMatrixRef rows, int64_t first_row) {
  for (int64_t i = 0; i < rows.rows(); ++i) {
    if (!rows.row(i).allFinite()) {
      return absl::InvalidArgumentError(absl::StrCat(what, " ", first_row + i, " is not finite"));
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
