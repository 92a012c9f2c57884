// ClassIndex: finds the classes whose prototypes lie nearest to given vectors.
//
// The one place where FAISS is used; its exceptions stop here. The index keeps its own copy of the
// rows, taken when it was built or when they were last re-encoded:
//
//   ASSIGN_OR_RETURN(auto index, ClassIndex::Build(
//       store->num_classes(), store->dim(), {.index_bytes = 1 << 30}, &pool,
//       [&](ClassId first, RowMatrixRef rows) { return store->ReadRange(first, rows); }));
//   NearestClasses nearest;
//   RETURN_IF_ERROR(index->Search(queries, 50, own_ids, &pool, &nearest));
//   ... nearest.ids[q * 50 + j], nearest.scores[q * 50 + j] ...
//   RETURN_IF_ERROR(index->Update(ids, new_rows, &pool).status());
//
// Results are reproducible: hits are scored again by FixedOrderDot and ordered by (score
// descending, id ascending), and more hits are fetched until the rounding of FAISS's own
// scores cannot change the set. So the result is the exact one, whatever the number of
// queries in the call and of threads.
//
// Flat: memory is 4 * num_classes * dim bytes, and Build refuses more than index_bytes.
#ifndef PROTOPAGE_PROTOTYPES_CLASS_INDEX_H_
#define PROTOPAGE_PROTOTYPES_CLASS_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "base/types.h"

namespace protopage {

struct ClassIndexOptions {
  // Upper bound on the memory of the index, in bytes.
  int64_t index_bytes = int64_t{256} << 20;
  // Update re-encodes a row whose cosine to its indexed copy is below this; above 1: always.
  float reencode_below = 0.999f;
};

// [num_queries, k] each; places past the last class hold kNoClass and -infinity.
struct NearestClasses {
  int64_t k = 0;
  std::vector<ClassId> ids;
  std::vector<float> scores;
};

struct ClassIndexStats {
  int64_t bytes = 0;           // Memory in use.
  int64_t rows_reencoded = 0;  // By Update, since the index was made.
  int64_t rows_kept = 0;       // Passed to Update and near enough to their copy.
  int64_t queries = 0;
};

// Search may run in several threads at once; Update excludes everything else.
class ClassIndex {
 public:
  // Fills `rows` [count, dim] with rows [first, first + count).
  using RowBlockReader = absl::FunctionRef<absl::Status(ClassId first, RowMatrixRef rows)>;

  // Reads all rows in blocks. `pool` is used during the call only.
  // Errors: InvalidArgument, ResourceExhausted (index_bytes; the message says what is needed),
  // the reader's.
  static absl::StatusOr<std::unique_ptr<ClassIndex>> Build(int64_t num_classes, int64_t dim,
                                                           const ClassIndexOptions& options,
                                                           ThreadPool* pool, RowBlockReader reader);
  // An index written by Save: the same bits. Errors: NotFound, DataLoss, FailedPrecondition
  // (newer format), ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<ClassIndex>> Load(FileSystem* file_system,
                                                          const std::string& path,
                                                          const ClassIndexOptions& options);
  virtual ~ClassIndex() = default;

  // For each query, a row of `queries` [n, dim], the k classes of largest inner product with
  // their indexed copy. `exclude` is empty, or [n]: a class that query n must not find
  // (kNoClass: none), usually its own. Errors: InvalidArgument, Internal (FAISS).
  virtual absl::Status Search(ConstRowMatrixRef queries, int64_t k,
                              absl::Span<const ClassId> exclude, ThreadPool* pool,
                              NearestClasses* out) const = 0;

  // `rows` [ids.size(), dim] are the new rows of `ids`. Those that moved far enough are
  // re-encoded, in order of id. Returns how many. Errors: InvalidArgument, OutOfRange.
  virtual absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                         ThreadPool* pool) = 0;

  // Writes the index to `path` (replaced when it exists) and syncs it.
  virtual absl::Status Save(FileSystem* file_system, const std::string& path) const = 0;

  virtual int64_t num_classes() const = 0;
  virtual int64_t dim() const = 0;
  virtual ClassIndexStats stats() const = 0;
};

// The inner product of two vectors of `dim` floats in one fixed order of additions: 16 running
// sums over i mod 16, then a fixed tree. The same bits on every CPU.
float FixedOrderDot(const float* a, const float* b, int64_t dim);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_CLASS_INDEX_H_
