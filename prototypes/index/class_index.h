// ClassIndex: finds the classes whose prototypes are nearest to given vectors.
//
// An index keeps its own copy of the rows, from when it was built or from when a row was last
// re-encoded. class_index_factory.h builds and loads one:
//
//   NearestClasses nearest;
//   PROTOPAGE_RETURN_IF_ERROR(index->Search(queries, 50, own_ids, &pool, &nearest));
//   const ClassId third = nearest.ids[q * 50 + 2];  // Of query q; likewise nearest.scores.
//   PROTOPAGE_RETURN_IF_ERROR(index->Update(ids, new_rows, &pool).status());
//
// Kinds:
//   flat     The rows themselves: 4 D bytes per class. FAISS scans all of them. Hits are scored
//            again, and more are fetched until the rounding of FAISS's scores cannot change the
//            result, which is therefore exact.
//   ivf_sq8  Rows as 8-bit integers (D + 4 bytes) in lists made by k-means. A search scans the
//            codes of the lists nearest to the query and takes the best candidates.
//   ivf_pq   The same with product quantization: D / 2 to D / 32 bytes.
// The last two take another 11 bytes per class, and some memory for the lists. Candidates of ivf_pq
// are scored again by the rows that a RowFetcher gives. Those of ivf_sq8, and all candidates where
// there is no fetcher, are scored by their decoded codes.
//
// Results are reproducible: scores are FixedOrderDot, in the order (score descending, id
// ascending). The number of queries in a call, the number of threads, and Save and Load do not
// change a bit.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_
#define PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

struct ClassIndexOptions {
  // Upper bound on the memory of the index, in bytes.
  int64_t index_bytes = int64_t{256} << 20;
  // Update re-encodes a row whose cosine to its indexed copy is below this; above 1: always.
  // For compressed rows the bound is this times the cosine that the copy had to its row when it was
  // encoded.
  float reencode_below = 0.999f;
  // "flat", "ivf_sq8", "ivf_pq", or "auto": the first of these that fits in index_bytes, flat only
  // up to 65536 classes, the others only from 1024.
  std::string kind = "auto";
  // The rest is for the ivf kinds. Number of lists; 0 means 4 sqrt(N).
  int64_t lists = 0;
  // Lists that a search scans. 0: building the index takes the fewest that hold .98 of the 50
  // nearest and of the 10 nearest of sampled classes, but no more than an eighth of the lists (at
  // least 64, at most 256).
  int64_t probes = 0;
  // Candidates that are scored again, for each neighbour asked for. Up to 1: candidates are chosen
  // and ordered by their codes, and no row is read. 0 means 1 for ivf_sq8; for ivf_pq 2.5 with
  // codes of D / 4 bytes or more, else 4.
  double candidates = 0;
  uint64_t seed = 1;  // Of the samples that lists and codes are trained with.
};

// What an index of some options is.
struct ClassIndexPlan {
  std::string kind;
  int64_t lists = 0;
  int64_t code_bytes = 0;  // Of one row's copy.
  int64_t bytes = 0;       // Memory. Updates may add a few percent.
  double candidates = 0;   // Rows that a search reads for each neighbour asked for.
};

// Fills `rows` [count, dim] with the rows [first, first + count).
using RowBlockReader = absl::FunctionRef<absl::Status(ClassId first, RowMatrixRef rows)>;

// Fills `rows` [ids.size(), dim] with the rows of `ids`, which are distinct and ascending.
using RowFetcher = std::function<absl::Status(absl::Span<const ClassId> ids, RowMatrixRef rows)>;

// [num_queries, k] each. Places past the last class found hold kNoClass and -infinity.
struct NearestClasses {
  int64_t k = 0;
  std::vector<ClassId> ids;
  std::vector<float> scores;
};

struct ClassIndexStats {
  int64_t bytes = 0;           // Memory in use.
  int64_t rows_reencoded = 0;  // By Update, since the index was made.
  int64_t rows_kept = 0;       // Passed to Update, and near enough to their copy.
  int64_t queries = 0;
  std::string kind;
  // Of the ivf kinds, else 0.
  int64_t lists = 0;
  int64_t longest_list = 0;
  int64_t probes = 0;
  int64_t rows_fetched = 0;  // Requested from RowFetchers.
  // The share of the `recall_k` nearest of sampled classes that a search by rows found when the
  // index was built; 1 for flat.
  double recall = 1;
  int64_t recall_k = 0;
};

// Thread-safe, except that num_changed, Save, SaveChanges and LoadChanges must not run concurrently
// with Update or with each other. Update waits for searches, and blocks them while it changes the
// copies.
class ClassIndex {
 public:
  virtual ~ClassIndex() = default;

  // For each query, a row of `queries` [n, dim], finds the k classes of largest inner product with
  // their row as `fetch` gives it. The indexed copy takes the place of the row if `fetch` is empty,
  // for flat, and where the options say that no candidates are scored again. `exclude` is empty or
  // [n]: a class that query n must not find, usually its own; kNoClass: none. `fetch` is called in
  // the calling thread, for at most 8192 rows at a time (or the candidates of one query).
  // Errors: InvalidArgument, Internal (FAISS), those of `fetch`.
  virtual absl::Status Search(ConstRowMatrixRef queries, int64_t k,
                              absl::Span<const ClassId> exclude, const RowFetcher& fetch,
                              ThreadPool* pool, NearestClasses* out) const = 0;
  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      ThreadPool* pool, NearestClasses* out) const {
    return Search(queries, k, exclude, RowFetcher(), pool, out);
  }

  // `rows` [ids.size(), dim] are the new rows of `ids`. Rows that moved far enough are re-encoded,
  // in the order of their ids. Returns how many. Errors: InvalidArgument, OutOfRange.
  virtual absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                         ThreadPool* pool) = 0;

  // Writes the index to `path`, which is replaced if it exists, and syncs it. Changes are counted
  // from here.
  virtual absl::Status Save(FileSystem* file_system, const std::string& path) = 0;
  // Classes re-encoded since the index was built, loaded or saved whole.
  virtual int64_t num_changed() const = 0;
  // Writes the copies of these classes to `path` in the same way: a small file that goes with the
  // last whole one, which stays as it is.
  virtual absl::Status SaveChanges(FileSystem* file_system, const std::string& path) const = 0;
  // Brings an index that was just loaded to the state in which SaveChanges wrote `path`. The file
  // loaded must be the one that the changes were counted from.
  // Errors: as LoadClassIndex; on error the index is unspecified.
  virtual absl::Status LoadChanges(FileSystem* file_system, const std::string& path) = 0;

  virtual int64_t num_classes() const = 0;
  virtual int64_t dim() const = 0;
  virtual ClassIndexStats stats() const = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_
