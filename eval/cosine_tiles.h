// ForEachCosineTile: computes all cosines between the rows of two matrices, one tile at a time.
//
//   ForEachCosineTile(features, unit_prototypes, pool, [&](const CosineTile& tile) {
//     for (int64_t i = 0; i < tile.cosines.rows(); ++i) {
//       all.row(tile.first_a + i).segment(tile.first_b, tile.cosines.cols()) = tile.cosines.row(i);
//     }
//   });
#ifndef PROTOPAGE_EVAL_COSINE_TILES_H_
#define PROTOPAGE_EVAL_COSINE_TILES_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

// cosines(i, j) is the cosine of the rows first_a + i and first_b + j.
struct CosineTile {
  int64_t first_a;
  int64_t first_b;
  ConstRowMatrixRef cosines;
  int thread;  // In [0, pool.num_threads()), for scratch memory.
};

// `a` [M, D] has rows of any norm; the rows of `unit_b` [N, D] have norm 1 or 0. Tiles of the same
// rows of `a` are visited by one thread, in ascending first_b; other tiles in parallel. Tiles and
// bits are the same for any number of threads.
void ForEachCosineTile(ConstRowMatrixRef a, ConstRowMatrixRef unit_b, ThreadPool& pool,
                       absl::FunctionRef<void(const CosineTile&)> visit);

// Divides every row by max(norm, 1e-5), as the network's own normalisation does. A zero row stays
// zero, and has cosine 0 with every row.
void NormalizeRows(RowMatrixRef rows);

// Errors: InvalidArgument, "<what> 17 is not finite", for the first such row, counted from
// `first_row`.
absl::Status CheckFinite(absl::string_view what, ConstRowMatrixRef rows, int64_t first_row = 0);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_COSINE_TILES_H_
