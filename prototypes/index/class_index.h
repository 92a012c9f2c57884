// ClassIndex: finds the classes whose prototypes lie nearest to given vectors.
//
// The index keeps its own copy of the rows, taken when it was built or when they were last
// re-encoded:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto index, ClassIndex::Build(
//       store->num_classes(), store->dim(), {.index_bytes = 1 << 30}, &pool,
//       [&](ClassId first, RowMatrixRef rows) { return store->ReadRange(first, rows); }));
//   NearestClasses nearest;
//   PROTOPAGE_RETURN_IF_ERROR(index->Search(queries, 50, own_ids, &pool, &nearest));
//   ... nearest.ids[q * 50 + j], nearest.scores[q * 50 + j] ...
//   PROTOPAGE_RETURN_IF_ERROR(index->Update(ids, new_rows, &pool).status());
//
// Three kinds:
//   flat     The rows themselves: 4 D bytes a class. FAISS scans them all; hits are scored again and
//            more are fetched until the rounding of FAISS's scores cannot change the set. So the
//            result is the exact one.
//   ivf_sq8  Rows as 8-bit integers (D + 4 bytes) in lists by k-means; a search scans the codes of
//            the lists nearest to the query and takes the best candidates.
//   ivf_pq   The same with product quantization: D / 2 to D / 32 bytes.
// The last two take 11 bytes a class more, and some for the lists. Candidates of ivf_pq are scored
// again, by the rows that a RowFetcher gives; those of ivf_sq8, and all without a fetcher, by what
// the codes decode to.
//
// Results are reproducible: scores are FixedOrderDot, ordered by (score descending, id ascending),
// and neither the number of queries in a call, nor of threads, nor Save and Load change a bit.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_
#define PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/index_kernels.h"

namespace protopage {

struct ClassIndexOptions {
  // Upper bound on the memory of the index, in bytes.
  int64_t index_bytes = int64_t{256} << 20;
  // Update re-encodes a row whose cosine to its indexed copy is below this; above 1: always.
  // For compressed rows, this times the cosine that the copy had to its row when it was encoded.
  float reencode_below = 0.999f;
  // "flat", "ivf_sq8", "ivf_pq", or "auto": the first of these that fits in index_bytes, flat only
  // up to 65536 classes, the others only from 1024.
  std::string kind = "auto";
  // Of the ivf kinds. Lists; 0 means 4 sqrt(N).
  int64_t lists = 0;
  // Lists that a search scans. 0: Build takes the fewest that hold .98 of the 50 nearest and of the
  // 10 nearest of sampled classes, but no more than an eighth of the lists (at least 64, at most
  // 256).
  int64_t probes = 0;
  // Candidates that are scored again, for each neighbour asked for; up to 1, what the codes choose
  // and in their order, without a row read. 0 means 1 for ivf_sq8, for ivf_pq 2.5 with codes of D /
  // 4 bytes or more, else 4.
  double candidates = 0;
  uint64_t seed = 1;  // Of the samples that lists and codes are trained with.
};

// What Build would make.
struct ClassIndexPlan {
  std::string kind;
  int64_t lists = 0;
  int64_t code_bytes = 0;  // A row's copy.
  int64_t bytes = 0;       // Memory. Updates may add a few percent.
  double candidates = 0;   // Rows that a search reads for each neighbour asked for.
};

// Errors: InvalidArgument (sizes, options), ResourceExhausted (index_bytes; the message says what
// is needed).
absl::StatusOr<ClassIndexPlan> PlanClassIndex(int64_t num_classes, int64_t dim,
                                              const ClassIndexOptions& options);

// Fills `rows` [ids.size(), dim] with the rows of `ids`, which are distinct and ascending.
using RowFetcher = std::function<absl::Status(absl::Span<const ClassId> ids, RowMatrixRef rows)>;

// Fills `rows` [ids.size(), dim] with the rows of ascending `ids`, by a `reader` of rows [first,
// first + count): runs of neighbouring ids are one read. Errors: the reader's.
absl::Status ReadRuns(absl::Span<const ClassId> ids,
                      absl::FunctionRef<absl::Status(ClassId first, RowMatrixRef rows)> reader,
                      RowMatrixRef rows);

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
  std::string kind;
  // Of the ivf kinds, else 0.
  int64_t lists = 0;
  int64_t longest_list = 0;
  int64_t probes = 0;
  int64_t rows_fetched = 0;  // Asked of RowFetchers.
  // The share of the `recall_k` nearest of sampled classes that a search by rows found when the
  // index was built; 1 for flat.
  double recall = 1;
  int64_t recall_k = 0;
};

// Search may run in several threads at once; Update waits for searches and holds them up while it
// changes the copies.
class ClassIndex {
 public:
  // Fills `rows` [count, dim] with rows [first, first + count).
  using RowBlockReader = absl::FunctionRef<absl::Status(ClassId first, RowMatrixRef rows)>;

  // Reads all rows in blocks, and before that a sample of them, row by row, for the ivf kinds.
  // Memory beside the index is a few blocks; the sample takes what the codes take later. `pool` is
  // used during the call only.
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
  // their row as `fetch` gives it; with their indexed copy if `fetch` is empty, for flat, and where
  // options say that no candidates are scored again. `exclude` is empty, or [n]: a class that query
  // n must not find (kNoClass: none), usually its own. `fetch` is called in the calling thread, for
  // at most 8192 rows at a time (or the candidates of one query). Errors: InvalidArgument, Internal
  // (FAISS), those of `fetch`.
  virtual absl::Status Search(ConstRowMatrixRef queries, int64_t k,
                              absl::Span<const ClassId> exclude, const RowFetcher& fetch,
                              ThreadPool* pool, NearestClasses* out) const = 0;
  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      ThreadPool* pool, NearestClasses* out) const {
    return Search(queries, k, exclude, RowFetcher(), pool, out);
  }

  // `rows` [ids.size(), dim] are the new rows of `ids`. Those that moved far enough are
  // re-encoded, in order of id. Returns how many. Errors: InvalidArgument, OutOfRange.
  virtual absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                         ThreadPool* pool) = 0;

  // Writes the index to `path` (replaced when it exists) and syncs it: changes are counted from
  // here. Not beside Update; nor is SaveChanges.
  absl::Status Save(FileSystem* file_system, const std::string& path);
  // Classes re-encoded since the index was built, loaded or saved whole.
  int64_t num_changed() const { return num_changed_; }
  // The copies of these, to `path`, in the same way: a small file beside a large one, which stays
  // as it is.
  absl::Status SaveChanges(FileSystem* file_system, const std::string& path) const;
  // On an index just loaded: brings it to where SaveChanges wrote `path`, from where the same was
  // loaded or saved whole. Errors: as Load; on error the index is unspecified.
  absl::Status LoadChanges(FileSystem* file_system, const std::string& path);

  virtual int64_t num_classes() const = 0;
  virtual int64_t dim() const = 0;
  virtual ClassIndexStats stats() const = 0;

 protected:
  // For Update.
  void NoteChanged(ClassId id);

 private:
  virtual absl::Status SaveWhole(FileSystem* file_system, const std::string& path) const = 0;
  // The copy of a class as bytes, with all that the index keeps beside it.
  virtual int64_t copy_bytes() const = 0;
  virtual void GetCopy(ClassId id, char* copy) const = 0;
  // Errors: DataLoss (not a copy). Then FinishCopies.
  virtual absl::Status SetCopy(ClassId id, const char* copy) = 0;
  virtual void FinishCopies() = 0;

  std::vector<bool> changed_;  // Empty: none.
  int64_t num_changed_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_H_
