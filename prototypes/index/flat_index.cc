#include "protopage/prototypes/index/flat_index.h"

#include <faiss/utils/Heap.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "protopage/base/best_scores.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/mutex.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/change_tracking_index.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/index/faiss_call.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "xxhash.h"

namespace protopage {
namespace {

// Rows read and written at a time: 2 MiB at D = 512.
constexpr int64_t kRowBlock = 1024;
// Tasks of a search. Enough queries for FAISS to use a matrix product (it does from 20), few
// enough classes for both threads to have work at 100k classes.
constexpr int64_t kQueryBlock = 64;
constexpr int64_t kShardRows = 32768;
// Rows of a task of Update.
constexpr int64_t kUpdateBlock = 64;

// The scores of hits are FAISS's until they are scored again.
using Hit = Scored<ClassId>;

int64_t NumRowBlocks(int64_t num_classes) { return DivideUp(num_classes, kRowBlock); }

// The rows, and the largest of their norms (ever: it does not shrink when a row does).
class FlatRows {
 public:
  FlatRows(int64_t num_classes, int64_t dim)
      : num_classes_(num_classes), dim_(dim), rows_(num_classes * dim) {}

  int64_t num_classes() const { return num_classes_; }
  int64_t dim() const { return dim_; }
  int64_t row_bytes() const { return dim_ * static_cast<int64_t>(sizeof(float)); }
  const float* Row(int64_t id) const { return rows_.data() + id * dim_; }

  void SetRow(int64_t id, const void* row) {
    std::memcpy(MutableRow(id), row, row_bytes());
    max_norm_ = std::max(max_norm_, FixedOrderNorm(Row(id), dim_));
  }

  absl::Status Fill(ThreadPool* pool, RowBlockReader reader);
  absl::Status Read(File* file, const std::string& path, const Hdf5Dataset& rows,
                    const Hdf5Dataset& checksums);
  // Writes the file of a flat index to `path`, atomically.
  absl::Status Save(FileSystem* file_system, const std::string& path) const;

  // As ClassIndex::Search, with checked arguments and a prepared `out`.
  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      ThreadPool* pool, NearestClasses* out) const;

  // [ids.size()]: whether the cosine of the new row to the old one is below `below`.
  std::vector<char> FindMoved(absl::Span<const ClassId> ids, ConstRowMatrixRef rows, float below,
                              ThreadPool* pool) const;

 private:
  float* MutableRow(int64_t id) { return rows_.data() + id * dim_; }

  absl::Status Write(File* file, const std::string& path) const;

  // hits [n, fetch]: the classes with the largest scores by FAISS, in descending order.
  absl::Status Fetch(ConstRowMatrixRef queries, int64_t fetch, ThreadPool* pool,
                     std::vector<Hit>* hits) const;

  // Scores the hits again and writes the k best. False, and nothing is written, when a class that
  // was not fetched might belong among them.
  bool Rank(const float* query, ClassId exclude, absl::Span<Hit> hits, int64_t k, ClassId* ids,
            float* scores) const;

  // The results of the queries `open`, by a scan of all rows. Takes memory for k classes a query,
  // however many score as the last of them does, as rows of zeros do.
  void Scan(ConstRowMatrixRef queries, absl::Span<const int64_t> open, int64_t k,
            absl::Span<const ClassId> exclude, ThreadPool* pool, NearestClasses* out) const;

  const int64_t num_classes_;
  const int64_t dim_;
  std::vector<float> rows_;  // [num_classes, dim]
  float max_norm_ = 0;
};

absl::Status FlatRows::Fill(ThreadPool* pool, RowBlockReader reader) {
  for (int64_t first = 0; first < num_classes_; first += kRowBlock) {
    const int64_t count = std::min(kRowBlock, num_classes_ - first);
    Eigen::Map<RowMatrixXf> rows(MutableRow(first), count, dim_);
    PROTOPAGE_RETURN_IF_ERROR(reader(first, rows));
  }
  const int64_t blocks = NumRowBlocks(num_classes_);
  std::vector<float> largest(blocks, 0.0f);
  std::vector<ClassId> bad(blocks, kNoClass);
  pool->ParallelFor(blocks, [&](int64_t block) {
    const int64_t end = std::min(num_classes_, (block + 1) * kRowBlock);
    for (int64_t i = block * kRowBlock; i < end; ++i) {
      const float norm = FixedOrderNorm(Row(i), dim_);
      if (!std::isfinite(norm)) bad[block] = i;
      largest[block] = std::max(largest[block], norm);
    }
  });
  for (int64_t block = 0; block < blocks; ++block) {
    if (bad[block] != kNoClass) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of class ", bad[block], " is not finite"));
    }
    max_norm_ = std::max(max_norm_, largest[block]);
  }
  return absl::OkStatus();
}

absl::Status FlatRows::Read(File* file, const std::string& path, const Hdf5Dataset& rows,
                            const Hdf5Dataset& checksums) {
  std::vector<uint64_t> stored(checksums.dims[0]);
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(checksums.offset, stored.data(), checksums.bytes()));
  for (int64_t first = 0; first < num_classes_; first += kRowBlock) {
    const int64_t bytes = std::min(kRowBlock, num_classes_ - first) * row_bytes();
    PROTOPAGE_RETURN_IF_ERROR(
        file->ReadAt(rows.offset + first * row_bytes(), MutableRow(first), bytes));
    if (XXH3_64bits(Row(first), bytes) != stored[first / kRowBlock]) {
      return absl::DataLossError(absl::StrCat(
          path, ": the rows from ", first, " on do not match their checksum: the file is damaged"));
    }
  }
  for (int64_t i = 0; i < num_classes_; ++i) {
    max_norm_ = std::max(max_norm_, FixedOrderNorm(Row(i), dim_));
  }
  return absl::OkStatus();
}

absl::Status FlatRows::Save(FileSystem* file_system, const std::string& path) const {
  return ReplaceFile(file_system, path, [&](File* file, const std::string& temporary) {
    return Write(file, temporary);
  });
}

absl::Status FlatRows::Write(File* file, const std::string& path) const {
  const int64_t blocks = NumRowBlocks(num_classes_);
  Hdf5Layout layout;
  layout.integers["format_version"] = kIndexFormatVersion;
  layout.integers["num_classes"] = num_classes_;
  layout.integers["dim"] = dim_;
  layout.texts["kind"] = kIndexFileKind;
  layout.texts["index"] = kFlat;
  layout.datasets.push_back({"rows", CellType::kFloat32, {num_classes_, dim_}});
  layout.datasets.push_back({"checksums", CellType::kUint64, {blocks}});
  PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, path, &layout));
  std::vector<uint64_t> checksums(blocks);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = block * kRowBlock;
    const int64_t bytes = std::min(kRowBlock, num_classes_ - first) * row_bytes();
    checksums[block] = XXH3_64bits(Row(first), bytes);
    PROTOPAGE_RETURN_IF_ERROR(
        file->WriteAt(layout.datasets[0].offset + first * row_bytes(), Row(first), bytes));
  }
  return file->WriteAt(layout.datasets[1].offset, checksums.data(), blocks * 8);
}

absl::Status FlatRows::Fetch(ConstRowMatrixRef queries, int64_t fetch, ThreadPool* pool,
                             std::vector<Hit>* hits) const {
  const int64_t n = queries.rows();
  const int64_t query_blocks = DivideUp(n, kQueryBlock);
  const int64_t shards = DivideUp(num_classes_, kShardRows);
  // Of each shard, as many as it can give.
  std::vector<float> scores(shards * n * fetch);
  std::vector<int64_t> labels(shards * n * fetch);
  std::vector<absl::Status> errors(query_blocks * shards);
  pool->ParallelFor(query_blocks * shards, [&](int64_t task) {
    const int64_t first_query = task % query_blocks * kQueryBlock;
    const int64_t count = std::min(kQueryBlock, n - first_query);
    const int64_t shard = task / query_blocks;
    const int64_t first_row = shard * kShardRows;
    const int64_t rows = std::min(kShardRows, num_classes_ - first_row);
    const int64_t at = (shard * n + first_query) * fetch;
    const FaissCall call;
    errors[task] = call.status();
    if (!call.status().ok()) return;
    try {
      faiss::float_minheap_array_t heaps = {static_cast<size_t>(count), static_cast<size_t>(fetch),
                                            &labels[at], &scores[at]};
      faiss::knn_inner_product(queries.row(first_query).data(), Row(first_row), dim_, count, rows,
                               &heaps);
    } catch (const std::exception& e) {
      errors[task] = absl::InternalError(absl::StrCat("FAISS: ", e.what()));
    }
  });
  for (const absl::Status& error : errors) PROTOPAGE_RETURN_IF_ERROR(error);
  hits->resize(n * fetch);
  pool->ParallelFor(n, [&](int64_t q) {
    std::vector<Hit> all;
    all.reserve(shards * fetch);
    for (int64_t shard = 0; shard < shards; ++shard) {
      const int64_t at = (shard * n + q) * fetch;
      for (int64_t j = 0; j < fetch && labels[at + j] >= 0; ++j) {
        all.push_back({scores[at + j], shard * kShardRows + labels[at + j]});
      }
    }
    // A query with infinite or NaN scores finds fewer; the rest says "none".
    const int64_t found = std::min<int64_t>(fetch, all.size());
    std::partial_sort(all.begin(), all.begin() + found, all.end(), BetterScore());
    std::copy_n(all.begin(), found, hits->begin() + q * fetch);
    std::fill(hits->begin() + q * fetch + found, hits->begin() + (q + 1) * fetch,
              Hit{-std::numeric_limits<float>::infinity(), kNoClass});
  });
  return absl::OkStatus();
}

// With any order of additions, |fl(q.x) - q.x| <= eps |q| |x| for eps = D u / (1 - D u), u = 2^-24
// (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1). So a class that was not fetched
// has our score below the last fetched one's by FAISS + 2 eps |q| max|x|.
bool FlatRows::Rank(const float* query, ClassId exclude, absl::Span<Hit> hits, int64_t k,
                    ClassId* ids, float* scores) const {
  const bool all_fetched =
      static_cast<int64_t>(hits.size()) == num_classes_ || hits.back().id == kNoClass;
  const double unit = std::ldexp(1.0, -24) * static_cast<double>(dim_ + 2);
  const double slack =
      2 * unit / (1 - unit) * 1.001 * double{FixedOrderNorm(query, dim_)} * double{max_norm_};
  const double bound = double{hits.back().score} + slack;
  std::vector<Hit> ranked;
  ranked.reserve(hits.size());
  for (const Hit& hit : hits) {
    if (hit.id == kNoClass || hit.id == exclude) continue;
    ranked.push_back({FixedOrderDot(query, Row(hit.id), dim_), hit.id});
  }
  const int64_t found = std::min<int64_t>(k, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + found, ranked.end(), BetterScore());
  if (!all_fetched && (found < k || !(double{ranked[k - 1].score} > bound))) return false;
  for (int64_t j = 0; j < found; ++j) {
    ids[j] = ranked[j].id;
    scores[j] = ranked[j].score;
  }
  return true;
}

absl::Status FlatRows::Search(ConstRowMatrixRef queries, int64_t k,
                              absl::Span<const ClassId> exclude, ThreadPool* pool,
                              NearestClasses* out) const {
  // FAISS reads one row right after the other.
  if (queries.outerStride() != dim_) return Search(RowMatrixXf(queries), k, exclude, pool, out);
  const int64_t n = queries.rows();
  // One for the excluded class, and some whose order FAISS's rounding may have changed.
  const int64_t fetch = std::min(k + 9 + k / 4, num_classes_);
  std::vector<Hit> hits;
  PROTOPAGE_RETURN_IF_ERROR(Fetch(queries, fetch, pool, &hits));
  std::vector<char> certain(n);
  pool->ParallelFor(n, [&](int64_t q) {
    certain[q] =
        Rank(queries.row(q).data(), exclude.empty() ? kNoClass : exclude[q],
             absl::MakeSpan(&hits[q * fetch], fetch), k, &out->ids[q * k], &out->scores[q * k]);
  });
  std::vector<int64_t> open;
  for (int64_t q = 0; q < n; ++q) {
    if (!certain[q]) open.push_back(q);
  }
  if (!open.empty()) Scan(queries, open, k, exclude, pool, out);
  return absl::OkStatus();
}

void FlatRows::Scan(ConstRowMatrixRef queries, absl::Span<const int64_t> open, int64_t k,
                    absl::Span<const ClassId> exclude, ThreadPool* pool,
                    NearestClasses* out) const {
  RowMatrixXf block(open.size(), dim_);
  std::vector<ClassId> excluded;
  for (size_t i = 0; i < open.size(); ++i) {
    block.row(i) = queries.row(open[i]);
    if (!exclude.empty()) excluded.push_back(exclude[open[i]]);
  }
  ExactNeighbors exact(std::move(block), k, std::move(excluded));
  exact.Add(0, Eigen::Map<const RowMatrixXf>(Row(0), num_classes_, dim_), pool);
  exact.Finish();
  for (size_t i = 0; i < open.size(); ++i) {
    std::copy_n(exact.ids().begin() + i * k, k, out->ids.begin() + open[i] * k);
    std::copy_n(exact.scores().begin() + i * k, k, out->scores.begin() + open[i] * k);
  }
}

std::vector<char> FlatRows::FindMoved(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                      float below, ThreadPool* pool) const {
  const int64_t n = static_cast<int64_t>(ids.size());
  std::vector<char> moved(n);
  pool->ParallelFor(DivideUp(n, kUpdateBlock), [&](int64_t block) {
    for (int64_t i = block * kUpdateBlock; i < std::min(n, (block + 1) * kUpdateBlock); ++i) {
      const float* row = rows.row(i).data();
      const float* copy = Row(ids[i]);
      const float norms = FixedOrderNorm(row, dim_) * FixedOrderNorm(copy, dim_);
      // Written so that a zero row, whose cosine is not a number, counts as moved.
      moved[i] = !(FixedOrderDot(row, copy, dim_) >= below * norms) || norms == 0;
    }
  });
  return moved;
}

class FlatIndex : public ChangeTrackingIndex {
 public:
  FlatIndex(FlatRows rows, const ClassIndexOptions& options)
      : num_classes_(rows.num_classes()),
        dim_(rows.dim()),
        row_bytes_(rows.row_bytes()),
        reencode_below_(options.reencode_below),
        rows_(std::move(rows)) {}

  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      const RowFetcher& fetch, ThreadPool* pool,
                      NearestClasses* out) const override;
  absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                 ThreadPool* pool) override;
  int64_t num_classes() const override { return num_classes_; }
  int64_t dim() const override { return dim_; }
  ClassIndexStats stats() const override;

 private:
  const std::string& kind() const override { return kind_; }
  absl::Status SaveWhole(FileSystem* file_system, const std::string& path) const override;
  int64_t copy_bytes() const override { return row_bytes_; }
  void GetCopies(absl::Span<const ClassId> ids, char* copies) const override;
  absl::Status SetCopies(absl::Span<const ClassId> ids, const char* copies) override;
  void FinishCopies() override {}

  const std::string kind_ = kFlat;
  const int64_t num_classes_;
  const int64_t dim_;
  const int64_t row_bytes_;
  const float reencode_below_;
  mutable SharedMutex mutex_;
  FlatRows rows_ ABSL_GUARDED_BY(mutex_);
  int64_t rows_reencoded_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t rows_kept_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable std::atomic<int64_t> queries_{0};
};

absl::Status FlatIndex::Search(ConstRowMatrixRef queries, int64_t k,
                               absl::Span<const ClassId> exclude, const RowFetcher&,
                               ThreadPool* pool, NearestClasses* out) const {
  PROTOPAGE_RETURN_IF_ERROR(CheckSearch(queries, k, exclude, dim_));
  const int64_t n = queries.rows();
  out->k = k;
  out->ids.assign(n * k, kNoClass);
  out->scores.assign(n * k, -std::numeric_limits<float>::infinity());
  queries_ += n;
  // Held for the whole search: all queries are to meet the same rows. Other searches and stats()
  // share it; only Update waits.
  const ReaderMutexLock lock(mutex_);
  return rows_.Search(queries, k, exclude, pool, out);
}

absl::StatusOr<int64_t> FlatIndex::Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                          ThreadPool* pool) {
  const int64_t n = static_cast<int64_t>(ids.size());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> order,
                             CheckUpdate(ids, rows, num_classes_, dim_));
  const WriterMutexLock lock(mutex_);
  const std::vector<char> moved = rows_.FindMoved(ids, rows, reencode_below_, pool);
  int64_t count = 0;
  for (const int64_t i : order) {
    if (!moved[i]) continue;
    rows_.SetRow(ids[i], rows.row(i).data());
    NoteChanged(ids[i]);
    ++count;
  }
  rows_reencoded_ += count;
  rows_kept_ += n - count;
  return count;
}

absl::Status FlatIndex::SaveWhole(FileSystem* file_system, const std::string& path) const {
  // Held for the whole of the writing: the file must be of one state of the rows. Searches share
  // it.
  const ReaderMutexLock lock(mutex_);
  return rows_.Save(file_system, path);
}

void FlatIndex::GetCopies(absl::Span<const ClassId> ids, char* copies) const {
  const ReaderMutexLock lock(mutex_);
  for (size_t i = 0; i < ids.size(); ++i) {
    std::memcpy(copies + i * row_bytes_, rows_.Row(ids[i]), row_bytes_);
  }
}

absl::Status FlatIndex::SetCopies(absl::Span<const ClassId> ids, const char* copies) {
  const WriterMutexLock lock(mutex_);
  for (size_t i = 0; i < ids.size(); ++i) rows_.SetRow(ids[i], copies + i * row_bytes_);
  return absl::OkStatus();
}

ClassIndexStats FlatIndex::stats() const {
  const ReaderMutexLock lock(mutex_);
  ClassIndexStats stats;
  stats.bytes = num_classes_ * row_bytes_;
  stats.rows_reencoded = rows_reencoded_;
  stats.rows_kept = rows_kept_;
  stats.queries = queries_;
  stats.kind = kFlat;
  return stats;
}

}  // namespace

absl::StatusOr<ClassIndexPlan> PlanFlatIndex(int64_t num_classes, int64_t dim,
                                             const ClassIndexOptions& options) {
  ClassIndexPlan plan;
  plan.kind = kFlat;
  plan.code_bytes = dim * static_cast<int64_t>(sizeof(float));
  plan.bytes = num_classes * plan.code_bytes;
  if (plan.bytes > options.index_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a flat index of ", num_classes, " classes of dim ", dim, " takes ",
                     plan.bytes, " bytes, index_bytes allows ", options.index_bytes));
  }
  return plan;
}

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildFlatIndex(int64_t num_classes, int64_t dim,
                                                           const ClassIndexOptions& options,
                                                           ThreadPool* pool,
                                                           RowBlockReader reader) {
  FlatRows rows(num_classes, dim);
  PROTOPAGE_RETURN_IF_ERROR(rows.Fill(pool, reader));
  return std::make_unique<FlatIndex>(std::move(rows), options);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> LoadFlatIndex(File* file, const std::string& path,
                                                          const Hdf5Layout& layout,
                                                          const ClassIndexOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(const IndexShape shape, ReadIndexShape(path, layout));
  const Hdf5Dataset* rows_in = layout.Find("rows");
  const Hdf5Dataset* checksums = layout.Find("checksums");
  if (rows_in == nullptr || rows_in->type != CellType::kFloat32 ||
      rows_in->dims != std::vector<int64_t>{shape.num_classes, shape.dim} || checksums == nullptr ||
      checksums->type != CellType::kUint64 ||
      checksums->dims != std::vector<int64_t>{NumRowBlocks(shape.num_classes)}) {
    return absl::DataLossError(
        absl::StrCat(path, ": datasets 'rows' and 'checksums' are not what the attributes say"));
  }
  PROTOPAGE_RETURN_IF_ERROR(PlanFlatIndex(shape.num_classes, shape.dim, options).status());
  FlatRows rows(shape.num_classes, shape.dim);
  PROTOPAGE_RETURN_IF_ERROR(rows.Read(file, path, *rows_in, *checksums));
  return std::make_unique<FlatIndex>(std::move(rows), options);
}

}  // namespace protopage
