#include "protopage/prototypes/index/class_index.h"

#include <faiss/utils/Heap.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/ivf_index.h"
#include "protopage/prototypes/index/kmeans.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr char kChangesKind[] = "class_index_changes";
// Classes of a file of changes that are in memory at a time.
constexpr int64_t kChangesBlock = 65536;

// XXH3 of bytes that come in pieces.
class RunningChecksum {
 public:
  RunningChecksum() : state_(XXH3_createState(), XXH3_freeState) {
    XXH3_64bits_reset(state_.get());
  }
  void Add(const void* data, int64_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
  uint64_t Get() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// Rows read and written at a time: 2 MiB at D = 512.
constexpr int64_t kRowBlock = 1024;
// Tasks of a search. Enough queries for FAISS to use a matrix product (it does from 20), few
// enough classes for both threads to have work at 100k classes.
constexpr int64_t kQueryBlock = 64;
constexpr int64_t kShardRows = 32768;
// Of "auto". A flat search of 256 queries at D = 512 takes about a quarter of a second at 65536
// classes; below 1024 classes there is nothing to gain from lists.
constexpr int64_t kLargestFlat = 65536;
constexpr int64_t kSmallestIvf = 1024;

class FlatIndex : public ClassIndex {
 public:
  FlatIndex(int64_t num_classes, int64_t dim, const ClassIndexOptions& options)
      : num_classes_(num_classes), dim_(dim), options_(options), rows_(num_classes * dim) {}

  absl::Status Fill(ThreadPool* pool, RowBlockReader reader) {
    for (int64_t first = 0; first < num_classes_; first += kRowBlock) {
      const int64_t count = std::min(kRowBlock, num_classes_ - first);
      Eigen::Map<RowMatrixXf> rows(Row(first), count, dim_);
      PROTOPAGE_RETURN_IF_ERROR(reader(first, rows));
    }
    const int64_t blocks = (num_classes_ + kRowBlock - 1) / kRowBlock;
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

  absl::Status Read(File* file, const std::string& path, const Hdf5Dataset& rows,
                    const Hdf5Dataset& checksums) {
    std::vector<uint64_t> stored(checksums.dims[0]);
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(checksums.offset, stored.data(), checksums.bytes()));
    for (int64_t first = 0; first < num_classes_; first += kRowBlock) {
      const int64_t bytes = std::min(kRowBlock, num_classes_ - first) * RowBytes();
      PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(rows.offset + first * RowBytes(), Row(first), bytes));
      if (XXH3_64bits(Row(first), bytes) != stored[first / kRowBlock]) {
        return absl::DataLossError(absl::StrCat(path, ": the rows from ", first,
                                                " on do not match their checksum: the file is "
                                                "damaged"));
      }
    }
    for (int64_t i = 0; i < num_classes_; ++i)
      max_norm_ = std::max(max_norm_, FixedOrderNorm(Row(i), dim_));
    return absl::OkStatus();
  }

  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      const RowFetcher&, ThreadPool* pool, NearestClasses* out) const override {
    PROTOPAGE_RETURN_IF_ERROR(CheckSearch(queries, k, exclude, dim_));
    const int64_t n = queries.rows();
    out->k = k;
    out->ids.assign(n * k, kNoClass);
    out->scores.assign(n * k, -std::numeric_limits<float>::infinity());

    const std::shared_lock<std::shared_mutex> lock(mutex_);
    queries_ += n;
    std::vector<int64_t> open(n);  // Queries whose result is not certain yet.
    std::iota(open.begin(), open.end(), 0);
    // One for the excluded class, and some whose order FAISS's rounding may have changed.
    int64_t fetch = k + 9 + k / 4;
    while (!open.empty()) {
      fetch = std::min(fetch, num_classes_);
      RowMatrixXf block(open.size(), dim_);
      for (size_t i = 0; i < open.size(); ++i) block.row(i) = queries.row(open[i]);
      std::vector<Hit> hits;
      PROTOPAGE_RETURN_IF_ERROR(Fetch(block, fetch, pool, &hits));
      std::vector<char> certain(open.size());
      pool->ParallelFor(static_cast<int64_t>(open.size()), [&](int64_t i) {
        const int64_t q = open[i];
        certain[i] =
            Rank(block.row(i).data(), exclude.empty() ? kNoClass : exclude[q],
                 absl::MakeSpan(&hits[i * fetch], fetch), k, &out->ids[q * k], &out->scores[q * k]);
      });
      size_t left = 0;
      for (size_t i = 0; i < open.size(); ++i) {
        if (!certain[i]) open[left++] = open[i];
      }
      open.resize(left);
      fetch *= 4;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                 ThreadPool* pool) override {
    const int64_t n = static_cast<int64_t>(ids.size());
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> order,
                               CheckUpdate(ids, rows, num_classes_, dim_));
    const std::lock_guard<std::shared_mutex> lock(mutex_);
    std::vector<char> moved(n);
    pool->ParallelFor((n + 63) / 64, [&](int64_t block) {
      for (int64_t i = block * 64; i < std::min(n, block * 64 + 64); ++i) {
        const float* row = rows.row(i).data();
        const float* copy = Row(ids[i]);
        const float norms = FixedOrderNorm(row, dim_) * FixedOrderNorm(copy, dim_);
        // Written so that a zero row, whose cosine is not a number, counts as moved.
        moved[i] =
            !(FixedOrderDot(row, copy, dim_) >= options_.reencode_below * norms) || norms == 0;
      }
    });
    int64_t count = 0;
    for (int64_t i : order) {
      if (!moved[i]) continue;
      std::copy_n(rows.row(i).data(), dim_, Row(ids[i]));
      NoteChanged(ids[i]);
      max_norm_ = std::max(max_norm_, FixedOrderNorm(Row(ids[i]), dim_));
      ++count;
    }
    rows_reencoded_ += count;
    rows_kept_ += n - count;
    return count;
  }

  absl::Status SaveWhole(FileSystem* file_system, const std::string& path) const override {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    return ReplaceFile(file_system, path, [&](File* file, const std::string& temporary) {
      return Write(file, temporary);
    });
  }

  int64_t copy_bytes() const override { return RowBytes(); }
  void GetCopy(ClassId id, char* copy) const override { std::memcpy(copy, Row(id), RowBytes()); }
  absl::Status SetCopy(ClassId id, const char* copy) override {
    std::memcpy(Row(id), copy, RowBytes());
    max_norm_ = std::max(max_norm_, FixedOrderNorm(Row(id), dim_));
    return absl::OkStatus();
  }
  void FinishCopies() override {}

  int64_t num_classes() const override { return num_classes_; }
  int64_t dim() const override { return dim_; }

  ClassIndexStats stats() const override {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    ClassIndexStats stats;
    stats.bytes = num_classes_ * RowBytes();
    stats.rows_reencoded = rows_reencoded_;
    stats.rows_kept = rows_kept_;
    stats.queries = queries_;
    stats.kind = kFlat;
    return stats;
  }

 private:
  struct Hit {
    float score;  // FAISS's.
    ClassId id;
  };

  absl::Status Write(File* file, const std::string& path) const {
    const int64_t blocks = (num_classes_ + kRowBlock - 1) / kRowBlock;
    Hdf5Layout layout;
    layout.integers["format_version"] = kIndexFormatVersion;
    layout.integers["num_classes"] = num_classes_;
    layout.integers["dim"] = dim_;
    layout.texts["kind"] = "class_index";
    layout.texts["index"] = kFlat;
    layout.datasets.push_back({"rows", CellType::kFloat32, {num_classes_, dim_}});
    layout.datasets.push_back({"checksums", CellType::kUint64, {blocks}});
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, path, &layout));
    std::vector<uint64_t> checksums(blocks);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * kRowBlock;
      const int64_t bytes = std::min(kRowBlock, num_classes_ - first) * RowBytes();
      checksums[block] = XXH3_64bits(Row(first), bytes);
      PROTOPAGE_RETURN_IF_ERROR(
          file->WriteAt(layout.datasets[0].offset + first * RowBytes(), Row(first), bytes));
    }
    return file->WriteAt(layout.datasets[1].offset, checksums.data(), blocks * 8);
  }

  float* Row(int64_t id) { return rows_.data() + id * dim_; }
  const float* Row(int64_t id) const { return rows_.data() + id * dim_; }
  int64_t RowBytes() const { return dim_ * static_cast<int64_t>(sizeof(float)); }

  // hits [n, fetch]: the classes with the largest scores by FAISS, in descending order.
  absl::Status Fetch(const RowMatrixXf& queries, int64_t fetch, ThreadPool* pool,
                     std::vector<Hit>* hits) const {
    const int64_t n = queries.rows();
    const int64_t query_blocks = (n + kQueryBlock - 1) / kQueryBlock;
    const int64_t shards = (num_classes_ + kShardRows - 1) / kShardRows;
    // Of each shard, as many as it can give.
    std::vector<float> scores(shards * n * fetch);
    std::vector<int64_t> labels(shards * n * fetch);
    std::mutex error_mutex;
    std::string error;
    pool->ParallelFor(query_blocks * shards, [&](int64_t task) {
      const int64_t first_query = task % query_blocks * kQueryBlock;
      const int64_t count = std::min(kQueryBlock, n - first_query);
      const int64_t shard = task / query_blocks;
      const int64_t first_row = shard * kShardRows;
      const int64_t rows = std::min(kShardRows, num_classes_ - first_row);
      const int64_t at = (shard * n + first_query) * fetch;
      try {
        UseOneThreadForFaiss();
        faiss::float_minheap_array_t heaps = {static_cast<size_t>(count),
                                              static_cast<size_t>(fetch), &labels[at], &scores[at]};
        faiss::knn_inner_product(queries.row(first_query).data(), Row(first_row), dim_, count, rows,
                                 &heaps);
      } catch (const std::exception& e) {
        const std::lock_guard<std::mutex> lock(error_mutex);
        error = e.what();
      }
    });
    if (!error.empty()) return absl::InternalError(absl::StrCat("FAISS: ", error));
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
      std::partial_sort(all.begin(), all.begin() + found, all.end(), BetterHit());
      std::copy_n(all.begin(), found, hits->begin() + q * fetch);
      std::fill(hits->begin() + q * fetch + found, hits->begin() + (q + 1) * fetch,
                Hit{-std::numeric_limits<float>::infinity(), kNoClass});
    });
    return absl::OkStatus();
  }

  // Scores the hits again and writes the k best. False when a class that was not fetched might
  // belong among them.
  //
  // With any order of additions, |fl(q.x) - q.x| <= eps |q| |x| for eps = D u / (1 - D u),
  // u = 2^-24 (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1). So a class that was
  // not fetched has our score below the last fetched one's by FAISS + 2 eps |q| max|x|.
  bool Rank(const float* query, ClassId exclude, absl::Span<Hit> hits, int64_t k, ClassId* ids,
            float* scores) const {
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
    std::partial_sort(ranked.begin(), ranked.begin() + found, ranked.end(), BetterHit());
    if (!all_fetched && (found < k || !(double{ranked[k - 1].score} > bound))) return false;
    for (int64_t j = 0; j < found; ++j) {
      ids[j] = ranked[j].id;
      scores[j] = ranked[j].score;
    }
    return true;
  }

  const int64_t num_classes_;
  const int64_t dim_;
  const ClassIndexOptions options_;
  mutable std::shared_mutex mutex_;
  std::vector<float> rows_;  // [num_classes, dim]
  float max_norm_ = 0;
  int64_t rows_reencoded_ = 0;
  int64_t rows_kept_ = 0;
  mutable std::atomic<int64_t> queries_{0};
};

}  // namespace

absl::Status ReadRuns(absl::Span<const ClassId> ids,
                      absl::FunctionRef<absl::Status(ClassId first, RowMatrixRef rows)> reader,
                      RowMatrixRef rows) {
  constexpr size_t kMaxRun = 4096;  // 8 MiB at D = 512.
  for (size_t begin = 0; begin < ids.size();) {
    size_t end = begin + 1;
    while (end < ids.size() && ids[end] == ids[end - 1] + 1 && end - begin < kMaxRun) ++end;
    PROTOPAGE_RETURN_IF_ERROR(reader(ids[begin], rows.middleRows(begin, end - begin)));
    begin = end;
  }
  return absl::OkStatus();
}

absl::StatusOr<ClassIndexPlan> PlanClassIndex(int64_t num_classes, int64_t dim,
                                              const ClassIndexOptions& options) {
  if (num_classes < 1 || dim < 1) {
    return absl::InvalidArgumentError(absl::StrCat("an index of ", num_classes, " classes of dim ",
                                                   dim, "; both must be at least 1"));
  }
  if (options.kind == kFlat || options.kind == "auto") {
    ClassIndexPlan plan;
    plan.kind = kFlat;
    plan.code_bytes = dim * static_cast<int64_t>(sizeof(float));
    plan.bytes = num_classes * plan.code_bytes;
    const bool wanted = options.kind == kFlat || num_classes <= kLargestFlat;
    if (wanted && plan.bytes <= options.index_bytes) return plan;
    if (options.kind == kFlat || num_classes < kSmallestIvf) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a flat index of ", num_classes, " classes of dim ", dim, " takes ",
                       plan.bytes, " bytes, index_bytes allows ", options.index_bytes));
    }
  }
  return PlanIvfIndex(num_classes, dim, options);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> ClassIndex::Build(int64_t num_classes, int64_t dim,
                                                              const ClassIndexOptions& options,
                                                              ThreadPool* pool,
                                                              RowBlockReader reader) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassIndexPlan plan, PlanClassIndex(num_classes, dim, options));
  if (plan.kind != kFlat) return BuildIvfIndex(num_classes, dim, plan, options, pool, reader);
  auto index = std::make_unique<FlatIndex>(num_classes, dim, options);
  PROTOPAGE_RETURN_IF_ERROR(index->Fill(pool, reader));
  return index;
}

absl::StatusOr<std::unique_ptr<ClassIndex>> ClassIndex::Load(FileSystem* file_system,
                                                             const std::string& path,
                                                             const ClassIndexOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                             file_system->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  if (layout.texts["kind"] != "class_index") {
    return absl::DataLossError(
        absl::StrCat(path, ": kind is '", layout.texts["kind"], "', expected 'class_index'"));
  }
  const std::string& kind = layout.texts["index"];
  if (layout.integers["format_version"] > kIndexFormatVersion ||
      (kind != kFlat && kind != kIvfSq8 && kind != kIvfPq)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": format version ", layout.integers["format_version"], " of index '", kind,
        "'; this program reads 'flat', 'ivf_sq8' and 'ivf_pq' up to ", kIndexFormatVersion));
  }
  if (kind != kFlat) return LoadIvfIndex(file.get(), path, layout, options);
  const int64_t n = layout.integers["num_classes"], dim = layout.integers["dim"];
  const Hdf5Dataset* rows = layout.Find("rows");
  const Hdf5Dataset* checksums = layout.Find("checksums");
  if (rows == nullptr || rows->type != CellType::kFloat32 ||
      rows->dims != std::vector<int64_t>{n, dim} || checksums == nullptr ||
      checksums->type != CellType::kUint64 ||
      checksums->dims != std::vector<int64_t>{(n + kRowBlock - 1) / kRowBlock}) {
    return absl::DataLossError(
        absl::StrCat(path, ": datasets 'rows' and 'checksums' are not what the attributes say"));
  }
  ClassIndexOptions flat = options;
  flat.kind = kFlat;
  PROTOPAGE_RETURN_IF_ERROR(PlanClassIndex(n, dim, flat).status());
  auto index = std::make_unique<FlatIndex>(n, dim, options);
  PROTOPAGE_RETURN_IF_ERROR(index->Read(file.get(), path, *rows, *checksums));
  return index;
}

absl::Status ClassIndex::Save(FileSystem* file_system, const std::string& path) {
  PROTOPAGE_RETURN_IF_ERROR(SaveWhole(file_system, path));
  changed_.clear();
  num_changed_ = 0;
  return absl::OkStatus();
}

void ClassIndex::NoteChanged(ClassId id) {
  if (changed_.empty()) changed_.resize(num_classes());
  if (changed_[id]) return;
  changed_[id] = true;
  ++num_changed_;
}

absl::Status ClassIndex::SaveChanges(FileSystem* file_system, const std::string& path) const {
  return ReplaceFile(
      file_system, path, [&](File* file, const std::string& temporary) -> absl::Status {
        Hdf5Layout layout;
        layout.integers["format_version"] = kIndexFormatVersion;
        layout.integers["num_classes"] = num_classes();
        layout.integers["num_changed"] = num_changed_;
        layout.texts["kind"] = kChangesKind;
        layout.texts["index"] = stats().kind;
        // There is no dataset of no elements.
        const int64_t rows = std::max<int64_t>(1, num_changed_);
        layout.datasets = {{"ids", CellType::kInt64, {rows}},
                           {"copies", CellType::kUint8, {rows, copy_bytes()}},
                           {"checksums", CellType::kUint64, {2}}};
        PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, temporary, &layout));
        RunningChecksum id_sum, copy_sum;
        std::vector<ClassId> ids;
        std::vector<char> copies;
        int64_t written = 0;
        ClassId next = 0;
        while (written < num_changed_) {
          ids.clear();
          for (; static_cast<int64_t>(ids.size()) < kChangesBlock && next < num_classes(); ++next) {
            if (changed_[next]) ids.push_back(next);
          }
          const auto count = static_cast<int64_t>(ids.size());
          copies.resize(count * copy_bytes());
          for (int64_t i = 0; i < count; ++i) GetCopy(ids[i], copies.data() + i * copy_bytes());
          const auto id_bytes = count * static_cast<int64_t>(sizeof(ClassId));
          id_sum.Add(ids.data(), id_bytes);
          copy_sum.Add(copies.data(), copies.size());
          PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(
              layout.datasets[0].offset + written * static_cast<int64_t>(sizeof(ClassId)),
              ids.data(), id_bytes));
          PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(
              layout.datasets[1].offset + written * copy_bytes(), copies.data(), copies.size()));
          written += count;
        }
        const uint64_t checksums[] = {id_sum.Get(), copy_sum.Get()};
        return file->WriteAt(layout.datasets[2].offset, checksums, sizeof(checksums));
      });
}

absl::Status ClassIndex::LoadChanges(FileSystem* file_system, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                             file_system->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  const auto damaged = [&path](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  if (layout.texts["kind"] != kChangesKind || layout.texts["index"] != stats().kind ||
      layout.integers["num_classes"] != num_classes()) {
    return damaged(absl::StrCat("kind '", layout.texts["kind"], "' of a '", layout.texts["index"],
                                "' index of ", layout.integers["num_classes"],
                                " classes, expected '", kChangesKind, "' of a '", stats().kind,
                                "' index of ", num_classes()));
  }
  const int64_t n = layout.integers["num_changed"];
  const int64_t rows = std::max<int64_t>(1, n);
  const Hdf5Dataset* const ids_in = layout.Find("ids");
  const Hdf5Dataset* const copies_in = layout.Find("copies");
  const Hdf5Dataset* const checksums_in = layout.Find("checksums");
  if (n < 0 || n > num_classes() || ids_in == nullptr || copies_in == nullptr ||
      checksums_in == nullptr || ids_in->type != CellType::kInt64 ||
      ids_in->dims != std::vector<int64_t>{rows} || copies_in->type != CellType::kUint8 ||
      copies_in->dims != std::vector<int64_t>{rows, copy_bytes()} ||
      checksums_in->type != CellType::kUint64 || checksums_in->dims != std::vector<int64_t>{2}) {
    return damaged("datasets 'ids', 'copies' and 'checksums' are not what the attributes say");
  }
  std::vector<ClassId> ids;
  std::vector<char> copies;
  RunningChecksum id_sum, copy_sum;
  for (int64_t first = 0; first < n; first += kChangesBlock) {
    const int64_t count = std::min(kChangesBlock, n - first);
    const auto id_bytes = count * static_cast<int64_t>(sizeof(ClassId));
    ids.resize(count);
    copies.resize(count * copy_bytes());
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(
        ids_in->offset + first * static_cast<int64_t>(sizeof(ClassId)), ids.data(), id_bytes));
    PROTOPAGE_RETURN_IF_ERROR(
        file->ReadAt(copies_in->offset + first * copy_bytes(), copies.data(), copies.size()));
    id_sum.Add(ids.data(), id_bytes);
    copy_sum.Add(copies.data(), copies.size());
    for (int64_t i = 0; i < count; ++i) {
      if (ids[i] < 0 || ids[i] >= num_classes()) return damaged(absl::StrCat("class ", ids[i]));
      PROTOPAGE_RETURN_IF_ERROR(
          WithContext(SetCopy(ids[i], copies.data() + i * copy_bytes()), path));
      NoteChanged(ids[i]);
    }
  }
  uint64_t checksums[2];
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(checksums_in->offset, checksums, sizeof(checksums)));
  if (id_sum.Get() != checksums[0] || copy_sum.Get() != checksums[1]) {
    return damaged("the copies do not match their checksum: the file is damaged");
  }
  FinishCopies();
  return absl::OkStatus();
}

}  // namespace protopage
