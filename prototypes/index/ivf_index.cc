#include "protopage/prototypes/index/ivf_index.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "protopage/base/best_scores.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/mutex.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/change_tracking_index.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/ivf_build.h"
#include "protopage/prototypes/index/ivf_data.h"
#include "protopage/prototypes/index/ivf_index_file.h"
#include "protopage/prototypes/index/ivf_plan.h"

namespace protopage {
namespace {

// Queries and rows in memory at a time during a search.
constexpr int64_t kQueryGroup = 256;
constexpr int64_t kFetchRows = 8192;
// Rows of a task of Update.
constexpr int64_t kRowBlock = 64;

using Candidates = std::vector<Scored<int32_t>>;

class IvfIndex : public ChangeTrackingIndex {
 public:
  IvfIndex(IvfData data, const ClassIndexOptions& options)
      : num_classes_(data.num_classes),
        dim_(data.dim),
        kind_(data.kind),
        code_bytes_(data.codec->code_bytes()),
        candidate_share_(CandidateShare(kind_, dim_, code_bytes_, options)),
        reencode_below_(options.reencode_below),
        data_(std::move(data)) {}

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
  // The code, the list and the quality.
  int64_t copy_bytes() const override { return code_bytes_ + 6; }
  void GetCopies(absl::Span<const ClassId> ids, char* copies) const override;
  absl::Status SetCopies(absl::Span<const ClassId> ids, const char* copies) override;
  void FinishCopies() override;

  // Scores the candidates found for each query of a group again, by the rows that `fetch` gives,
  // and writes the k best to ids and scores [group.rows(), k].
  absl::Status RankByRows(const RowMatrixXf& group, int64_t k, const RowFetcher& fetch,
                          ThreadPool* pool, std::vector<Candidates>* found, ClassId* ids,
                          float* scores) const;

  const int64_t num_classes_;
  const int64_t dim_;
  const std::string kind_;
  const int64_t code_bytes_;
  const double candidate_share_;
  const float reencode_below_;

  Mutex update_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // Held by Update: one at a time.
  mutable SharedMutex mutex_;
  IvfData data_ ABSL_GUARDED_BY(mutex_);
  int64_t rows_reencoded_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t rows_kept_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable std::atomic<int64_t> queries_{0};
  mutable std::atomic<int64_t> rows_fetched_{0};
};

// Scores `candidates` again, and writes the k best to `ids` and `scores`.
void Rank(absl::FunctionRef<float(ClassId)> score, int64_t k, Candidates& candidates, ClassId* ids,
          float* scores) {
  for (Scored<int32_t>& candidate : candidates) {
    candidate.score = score(candidate.id);
    if (std::isnan(candidate.score)) candidate.score = -std::numeric_limits<float>::infinity();
  }
  const int64_t kept = std::min<int64_t>(k, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + kept, candidates.end(), BetterScore());
  for (int64_t j = 0; j < kept; ++j) {
    ids[j] = candidates[j].id;
    scores[j] = candidates[j].score;
  }
}

// Scores the candidates found for each query of a group by their decoded copies, and writes the k
// best to ids and scores [group.rows(), k].
void RankByCodes(const IvfData& data, const RowMatrixXf& group, int64_t k, ThreadPool* pool,
                 std::vector<Candidates>* found, ClassId* ids, float* scores) {
  pool->ParallelFor(group.rows(), [&](int64_t q) {
    std::vector<float> decoded(data.dim);
    const auto score = [&](ClassId id) {
      data.Decode(id, decoded.data());
      return FixedOrderDot(&group(q, 0), decoded.data(), data.dim);
    };
    Rank(score, k, (*found)[q], ids + q * k, scores + q * k);
  });
}

// Rows of an Update that must be encoded again, with their new codes.
struct Reencoded {
  std::vector<int64_t> ids;  // Ascending.
  std::vector<int32_t> lists;
  std::vector<uint8_t> codes;
  std::vector<uint16_t> quality;
};

// `order` is CheckUpdate's. Errors: InvalidArgument (a norm that is not finite).
absl::StatusOr<Reencoded> Reencode(const IvfData& data, float reencode_below,
                                   absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                   const std::vector<int64_t>& order, ThreadPool* pool) {
  const int64_t n = rows.rows(), dim = data.dim;
  std::vector<char> moved(n), too_large(n);
  pool->ParallelFor(DivideUp(n, kRowBlock), [&](int64_t block) {
    std::vector<float> copy(dim);
    for (int64_t i = block * kRowBlock; i < std::min(n, (block + 1) * kRowBlock); ++i) {
      const float* row = rows.row(i).data();
      const float norm = FixedOrderNorm(row, dim);
      too_large[i] = !std::isfinite(norm);
      data.Decode(ids[i], copy.data());
      const float norms = norm * FixedOrderNorm(copy.data(), dim);
      const float best = static_cast<float>(data.quality[ids[i]]) / 65535.0f;
      moved[i] = reencode_below > 1 || norms == 0 ||
                 !(FixedOrderDot(row, copy.data(), dim) >= reencode_below * best * norms);
    }
  });
  Reencoded changed;
  std::vector<const float*> pointers;
  for (const int64_t i : order) {
    if (too_large[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of id ", ids[i], " has a norm that is not finite"));
    }
    if (!moved[i]) continue;
    changed.ids.push_back(ids[i]);
    pointers.push_back(rows.row(i).data());
  }
  const auto count = static_cast<int64_t>(changed.ids.size());
  changed.lists.resize(count);
  changed.codes.resize(count * data.codec->code_bytes());
  changed.quality.resize(count);
  data.EncodeRows(pointers.data(), count, pool, changed.lists.data(), changed.codes.data(),
                  changed.quality.data());
  return changed;
}

absl::Status IvfIndex::Search(ConstRowMatrixRef queries, int64_t k,
                              absl::Span<const ClassId> exclude, const RowFetcher& fetch,
                              ThreadPool* pool, NearestClasses* out) const {
  PROTOPAGE_RETURN_IF_ERROR(CheckSearch(queries, k, exclude, dim_));
  const int64_t n = queries.rows();
  out->k = k;
  out->ids.assign(n * k, kNoClass);
  out->scores.assign(n * k, -std::numeric_limits<float>::infinity());
  queries_ += n;
  const bool by_rows = fetch && candidate_share_ > 0;
  const int64_t limit = NumCandidates(candidate_share_, num_classes_, k);
  std::vector<Candidates> found;
  for (int64_t first = 0; first < n; first += kQueryGroup) {
    const int64_t count = std::min(kQueryGroup, n - first);
    const RowMatrixXf group = queries.middleRows(first, count);
    const absl::Span<const ClassId> group_exclude =
        exclude.empty() ? exclude : exclude.subspan(first, count);
    ClassId* const ids = out->ids.data() + first * k;
    float* const scores = out->scores.data() + first * k;
    {
      // Held for a group: its queries are to meet the same copies. Other searches and stats() share
      // it; only the end of Update waits.
      const ReaderMutexLock lock(mutex_);
      data_.FindCandidates(group, limit, data_.probes, group_exclude, pool, &found);
      if (!by_rows) RankByCodes(data_, group, k, pool, &found, ids, scores);
    }
    if (by_rows) {
      PROTOPAGE_RETURN_IF_ERROR(RankByRows(group, k, fetch, pool, &found, ids, scores));
    }
  }
  return absl::OkStatus();
}

absl::Status IvfIndex::RankByRows(const RowMatrixXf& group, int64_t k, const RowFetcher& fetch,
                                  ThreadPool* pool, std::vector<Candidates>* found, ClassId* ids,
                                  float* scores) const {
  const int64_t count = group.rows();
  std::vector<ClassId> row_ids;
  RowMatrixXf rows;
  for (int64_t begin = 0; begin < count;) {
    // As many queries as have at most kFetchRows candidates together.
    int64_t end = begin;
    row_ids.clear();
    while (end < count && (end == begin || row_ids.size() + (*found)[end].size() <=
                                               static_cast<size_t>(kFetchRows))) {
      for (const Scored<int32_t>& candidate : (*found)[end]) row_ids.push_back(candidate.id);
      ++end;
    }
    std::sort(row_ids.begin(), row_ids.end());
    row_ids.erase(std::unique(row_ids.begin(), row_ids.end()), row_ids.end());
    rows.resize(row_ids.size(), dim_);
    if (!row_ids.empty()) PROTOPAGE_RETURN_IF_ERROR(fetch(row_ids, rows));
    rows_fetched_ += static_cast<int64_t>(row_ids.size());
    pool->ParallelFor(end - begin, [&](int64_t i) {
      const int64_t q = begin + i;
      const auto score = [&](ClassId id) {
        const auto at = std::lower_bound(row_ids.begin(), row_ids.end(), id) - row_ids.begin();
        return FixedOrderDot(&group(q, 0), &rows(at, 0), dim_);
      };
      Rank(score, k, (*found)[q], ids + q * k, scores + q * k);
    });
    begin = end;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> IvfIndex::Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                         ThreadPool* pool) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> order,
                             CheckUpdate(ids, rows, num_classes_, dim_));
  const int64_t n = static_cast<int64_t>(ids.size());
  // Held for the whole call: what it computes from the copies holds until it changes them.
  const MutexLock updating(update_mutex_);
  absl::StatusOr<Reencoded> changed;
  {
    // Shared with searches, which go on meanwhile.
    const ReaderMutexLock lock(mutex_);
    changed = Reencode(data_, reencode_below_, ids, rows, order, pool);
  }
  PROTOPAGE_RETURN_IF_ERROR(changed.status());

  const auto count = static_cast<int64_t>(changed->ids.size());
  const WriterMutexLock lock(mutex_);
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(changed->ids[i]);
    const int32_t list = changed->lists[i];
    if (list != data_.list_of[id]) {
      std::vector<int32_t>& from = data_.lists[data_.list_of[id]];
      from.erase(std::lower_bound(from.begin(), from.end(), id));
      std::vector<int32_t>& to = data_.lists[list];
      if (to.size() == to.capacity()) to.reserve(to.size() + to.size() / 8 + 8);
      to.insert(std::lower_bound(to.begin(), to.end(), id), id);
      data_.list_of[id] = list;
    }
    std::copy_n(&changed->codes[i * code_bytes_], code_bytes_, data_.Code(id));
    data_.quality[id] = changed->quality[i];
    NoteChanged(id);
  }
  rows_reencoded_ += count;
  rows_kept_ += n - count;
  return count;
}

absl::Status IvfIndex::SaveWhole(FileSystem* file_system, const std::string& path) const {
  // Held for the whole of the writing: the file must be of one state of the copies. Searches share
  // it.
  const ReaderMutexLock lock(mutex_);
  return SaveIvfData(data_, file_system, path);
}

void IvfIndex::GetCopies(absl::Span<const ClassId> ids, char* copies) const {
  const ReaderMutexLock lock(mutex_);
  for (const ClassId id : ids) {
    std::memcpy(copies, data_.Code(id), code_bytes_);
    std::memcpy(copies + code_bytes_, &data_.list_of[id], 4);
    std::memcpy(copies + code_bytes_ + 4, &data_.quality[id], 2);
    copies += copy_bytes();
  }
}

absl::Status IvfIndex::SetCopies(absl::Span<const ClassId> ids, const char* copies) {
  const WriterMutexLock lock(mutex_);
  for (const ClassId id : ids) {
    int32_t list;
    std::memcpy(&list, copies + code_bytes_, 4);
    if (list < 0 || list >= data_.coarse.num_lists()) {
      return absl::DataLossError(
          absl::StrCat("class ", id, " is in list ", list, " of ", data_.coarse.num_lists()));
    }
    std::memcpy(data_.Code(id), copies, code_bytes_);
    data_.list_of[id] = list;
    std::memcpy(&data_.quality[id], copies + code_bytes_ + 4, 2);
    copies += copy_bytes();
  }
  return absl::OkStatus();
}

void IvfIndex::FinishCopies() {
  const WriterMutexLock lock(mutex_);
  data_.FillLists();
}

ClassIndexStats IvfIndex::stats() const {
  const ReaderMutexLock lock(mutex_);
  ClassIndexStats stats;
  stats.kind = kind_;
  stats.lists = data_.coarse.num_lists();
  stats.probes = data_.probes;
  stats.recall = data_.recall;
  stats.recall_k = data_.recall_k;
  stats.rows_reencoded = rows_reencoded_;
  stats.rows_kept = rows_kept_;
  stats.queries = queries_;
  stats.rows_fetched = rows_fetched_;
  stats.bytes =
      static_cast<int64_t>(data_.codes.capacity() + data_.list_of.capacity() * sizeof(int32_t) +
                           data_.quality.capacity() * sizeof(uint16_t)) +
      data_.coarse.bytes() + data_.codec->memory_bytes() + kBytesPerList * stats.lists;
  for (const std::vector<int32_t>& list : data_.lists) {
    stats.bytes += static_cast<int64_t>(list.capacity() * sizeof(int32_t));
    stats.longest_list = std::max(stats.longest_list, static_cast<int64_t>(list.size()));
  }
  return stats;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildIvfIndex(int64_t num_classes, int64_t dim,
                                                          const ClassIndexPlan& plan,
                                                          const ClassIndexOptions& options,
                                                          ThreadPool* pool, RowBlockReader reader) {
  PROTOPAGE_ASSIGN_OR_RETURN(IvfData data,
                             BuildIvfData(num_classes, dim, plan, options, pool, reader));
  return std::make_unique<IvfIndex>(std::move(data), options);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> LoadIvfIndex(File* file, const std::string& path,
                                                         const Hdf5Layout& layout,
                                                         const ClassIndexOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(IvfData data, ReadIvfData(file, path, layout, options));
  return std::make_unique<IvfIndex>(std::move(data), options);
}

}  // namespace protopage
