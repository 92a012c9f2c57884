#include "protopage/prototypes/index/ivf_index.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/coarse_lists.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/row_codec.h"
#include "xxhash.h"

namespace protopage {
namespace {

// Rows read at a time when the index is built: 8 MiB at D = 512.
constexpr int64_t kReadRows = 4096;
// Tasks: rows that are assigned to lists together, and queries.
constexpr int64_t kRowBlock = 64;
constexpr int64_t kQueryBlock = 8;
// Queries and rows in memory at a time during a search.
constexpr int64_t kQueryGroup = 256;
constexpr int64_t kFetchRows = 8192;

// K-means gains little from more points.
constexpr int64_t kSampleRowsPerList = 64;
constexpr int64_t kPqSampleRows = 8192;  // 32 for each of 256 vectors.
constexpr int64_t kMaxSampleBytes = int64_t{512} << 20;

// What Build looks for when it chooses the number of probes: the share of neighbours in probed
// lists.
constexpr double kReachGoal = 0.98;
constexpr int64_t kLeastProbes = 4;
constexpr int64_t kRecallQueries = 64;
constexpr int64_t kRecallNeighbors = 50;
constexpr int64_t kFewNeighbors = 10;

// Of a class beside its code: list_of_, quality_, and its place in a list (with the eighth that a
// list grows by at a time).
constexpr int64_t kBytesPerClass = 4 + 2 + 4;
constexpr int64_t kBytesPerList = sizeof(std::vector<int32_t>) + 16;

// Pieces of the file that have a checksum each.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

int64_t SampleRows(int64_t num_classes, int64_t dim, int64_t lists, int64_t index_bytes) {
  const int64_t bytes = std::min(kMaxSampleBytes, index_bytes / 4 * 3);
  return std::min({num_classes, std::max(lists * kSampleRowsPerList, 2 * kPqSampleRows),
                   std::max<int64_t>(bytes / (dim * 4), 1)});
}

// Candidates to be scored by their rows, for each neighbour asked for: the shorter the codes, the
// more. 0: rows could only order what the codes chose, and are not read. Of a mixture's 50 nearest
// (a million classes, 512 dimensions) codes of 128 bytes find .990 among 2, .998 among 2.5 and all
// among 4 times as many; 8-bit integers find .986 among as many as are asked for, which is not
// worth half a row read from disk each.
double CandidateShare(absl::string_view kind, int64_t dim, int64_t code_bytes,
                      const ClassIndexOptions& options) {
  if (options.candidates > 0) return options.candidates > 1 ? options.candidates : 0;
  if (kind == kIvfSq8) return 0;
  return code_bytes * 4 >= dim ? 2.5 : 4.0;
}

int64_t NumPieces(const Hdf5Dataset& dataset) {
  return (dataset.bytes() + kPieceBytes - 1) / kPieceBytes;
}

int64_t IvfBytes(int64_t num_classes, int64_t dim, int64_t lists, int64_t code_bytes, bool is_pq) {
  return num_classes * (code_bytes + kBytesPerClass) + CoarseLists::Bytes(lists, dim) +
         lists * kBytesPerList + (is_pq ? (dim + code_bytes) * 256 * 4 : 0);
}

struct Candidate {
  float score;
  int32_t id;
};

// The best `limit` of what is added.
class BestCandidates {
 public:
  explicit BestCandidates(int64_t limit) : limit_(limit) {}

  void Add(float score, int32_t id) {
    const Candidate candidate = {score, id};
    if (full_ && !BetterHit()(candidate, worst_)) return;
    all_.push_back(candidate);
    if (static_cast<int64_t>(all_.size()) >= 2 * limit_) Shrink();
  }

  std::vector<Candidate> Take() {
    if (static_cast<int64_t>(all_.size()) > limit_) Shrink();
    return std::move(all_);
  }

 private:
  void Shrink() {
    std::nth_element(all_.begin(), all_.begin() + limit_ - 1, all_.end(), BetterHit());
    all_.resize(limit_);
    worst_ = all_.back();
    full_ = true;
  }

  const int64_t limit_;
  std::vector<Candidate> all_;
  bool full_ = false;
  Candidate worst_{};
};

class IvfIndex : public ClassIndex {
 public:
  IvfIndex(int64_t num_classes, int64_t dim, std::string kind, const ClassIndexOptions& options)
      : num_classes_(num_classes), dim_(dim), kind_(std::move(kind)), options_(options) {}

  absl::Status Build(const ClassIndexPlan& plan, ThreadPool* pool, RowBlockReader reader);
  absl::Status Read(File* file, const std::string& path, const Hdf5Layout& layout);

  absl::Status Search(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                      const RowFetcher& fetch, ThreadPool* pool,
                      NearestClasses* out) const override;
  absl::StatusOr<int64_t> Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                 ThreadPool* pool) override;
  absl::Status SaveWhole(FileSystem* file_system, const std::string& path) const override;
  int64_t copy_bytes() const override { return codec_->code_bytes() + 6; }
  void GetCopy(ClassId id, char* copy) const override;
  absl::Status SetCopy(ClassId id, const char* copy) override;
  void FinishCopies() override { FillLists(); }

  int64_t num_classes() const override { return num_classes_; }
  int64_t dim() const override { return dim_; }
  ClassIndexStats stats() const override;

 private:
  // A dataset of the file, and where it is in memory.
  struct Part {
    Hdf5Dataset dataset;
    const void* data;
  };

  const uint8_t* Code(int64_t id) const { return codes_.data() + id * codec_->code_bytes(); }
  uint8_t* Code(int64_t id) { return codes_.data() + id * codec_->code_bytes(); }

  absl::Status Train(const ClassIndexPlan& plan, ThreadPool* pool, RowBlockReader reader,
                     std::vector<ClassId>* query_ids, RowMatrixXf* queries);
  // The list, code and quality of each row, in tasks on the pool.
  void EncodeRows(const float* const* rows, int64_t n, ThreadPool* pool, int32_t* lists,
                  uint8_t* codes, uint16_t* quality) const;
  void FillLists();
  void ChooseProbes(const ExactNeighbors& exact, ThreadPool* pool);
  // [n, k]: how many of a query's nearest lists must be probed to come by the list of its j-th
  // neighbour; most + 1 when more than `most`.
  std::vector<int64_t> ProbesToNeighbors(const ExactNeighbors& exact, int64_t most,
                                         ThreadPool* pool) const;

  int64_t NumCandidates(int64_t k) const;
  // found[q]: the best `limit` candidates of each query, in no order. Needs mutex_ (shared).
  void Find(const RowMatrixXf& queries, int64_t limit, int64_t probes,
            absl::Span<const ClassId> exclude, ThreadPool* pool,
            std::vector<std::vector<Candidate>>* found) const;

  // What a file holds, in its order.
  std::vector<Part> Parts() const;

  const int64_t num_classes_;
  const int64_t dim_;
  const std::string kind_;
  const ClassIndexOptions options_;
  int64_t probes_ = 0;
  double recall_ = 0;
  int64_t recall_k_ = 0;

  std::mutex update_mutex_;          // One Update at a time. Before mutex_.
  mutable std::shared_mutex mutex_;  // Guards what follows; Update reads it without.
  CoarseLists coarse_;
  std::unique_ptr<RowCodec> codec_;
  std::vector<uint8_t> codes_;    // [N, code_bytes]
  std::vector<int32_t> list_of_;  // [N]
  std::vector<uint16_t>
      quality_;  // [N]: cosine of the decoded copy to its row, times 65535, rounded down
  std::vector<std::vector<int32_t>> lists_;  // Ascending ids.
  int64_t rows_reencoded_ = 0;
  int64_t rows_kept_ = 0;
  mutable std::atomic<int64_t> queries_{0};
  mutable std::atomic<int64_t> rows_fetched_{0};
};

absl::Status IvfIndex::Train(const ClassIndexPlan& plan, ThreadPool* pool, RowBlockReader reader,
                             std::vector<ClassId>* query_ids, RowMatrixXf* queries) {
  const int64_t n = SampleRows(num_classes_, dim_, plan.lists, options_.index_bytes);
  RandomStream random(options_.seed, RandomPurpose::kIndex, 0);
  std::vector<int64_t> ids = SampleWithoutReplacement(random, num_classes_, n);
  // The draw is in random order: its first are as good a sample as any.
  query_ids->assign(ids.begin(), ids.begin() + std::min(n, kRecallQueries));
  std::sort(ids.begin(), ids.end());
  RowMatrixXf sample(n, dim_);
  PROTOPAGE_RETURN_IF_ERROR(ReadRuns(ids, reader, sample));
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(FixedOrderNorm(sample.data() + i * dim_, dim_))) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of class ", ids[i], " is not finite"));
    }
  }
  queries->resize(query_ids->size(), dim_);
  for (size_t i = 0; i < query_ids->size(); ++i) {
    const auto at = std::lower_bound(ids.begin(), ids.end(), (*query_ids)[i]) - ids.begin();
    queries->row(i) = sample.row(at);
  }
  PROTOPAGE_ASSIGN_OR_RETURN(coarse_, CoarseLists::Train(sample, plan.lists, options_.seed, pool));
  if (kind_ == kIvfSq8) {
    codec_ = RowCodec::MakeSq8(dim_);
    return absl::OkStatus();
  }
  // Spread over the sample.
  const int64_t count = std::min(n, kPqSampleRows);
  RowMatrixXf residuals(count, dim_);
  pool->ParallelFor((count + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
    const int64_t first = block * kRowBlock, rows = std::min(kRowBlock, count - first);
    std::vector<const float*> pointers(rows);
    std::vector<CoarseLists::Hit> hits(rows);
    for (int64_t i = 0; i < rows; ++i) pointers[i] = &sample((first + i) * n / count, 0);
    coarse_.Nearest(pointers.data(), rows, 1, hits.data());
    for (int64_t i = 0; i < rows; ++i) {
      residuals.row(first + i) =
          Eigen::Map<const Eigen::RowVectorXf>(pointers[i], dim_) -
          Eigen::Map<const Eigen::RowVectorXf>(coarse_.centroid(hits[i].list), dim_);
    }
  });
  sample.resize(0, 0);
  PROTOPAGE_ASSIGN_OR_RETURN(codec_,
                             RowCodec::TrainPq(residuals, plan.code_bytes, options_.seed, pool));
  return absl::OkStatus();
}

void IvfIndex::EncodeRows(const float* const* rows, int64_t n, ThreadPool* pool, int32_t* lists,
                          uint8_t* codes, uint16_t* quality) const {
  const int64_t code_bytes = codec_->code_bytes();
  pool->ParallelFor((n + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
    const int64_t first = block * kRowBlock, count = std::min(kRowBlock, n - first);
    std::vector<CoarseLists::Hit> hits(count);
    coarse_.Nearest(rows + first, count, 1, hits.data());
    std::vector<float> decoded(dim_);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + i;
      lists[at] = hits[i].list;
      const float* centroid = coarse_.centroid(hits[i].list);
      codec_->Encode(rows[at], centroid, codes + at * code_bytes);
      codec_->Decode(codes + at * code_bytes, centroid, decoded.data());
      const float norms = FixedOrderNorm(rows[at], dim_) * FixedOrderNorm(decoded.data(), dim_);
      const float cosine = norms > 0 ? FixedOrderDot(rows[at], decoded.data(), dim_) / norms : 0.0f;
      quality[at] = static_cast<uint16_t>(std::clamp(cosine, 0.0f, 1.0f) * 65535.0f);
    }
  });
}

void IvfIndex::FillLists() {
  std::vector<int64_t> sizes(coarse_.num_lists());
  for (int32_t list : list_of_) ++sizes[list];
  lists_.assign(coarse_.num_lists(), {});
  for (size_t list = 0; list < lists_.size(); ++list) lists_[list].reserve(sizes[list]);
  for (int64_t id = 0; id < num_classes_; ++id) {
    lists_[list_of_[id]].push_back(static_cast<int32_t>(id));
  }
}

absl::Status IvfIndex::Build(const ClassIndexPlan& plan, ThreadPool* pool, RowBlockReader reader) {
  std::vector<ClassId> query_ids;
  RowMatrixXf queries;
  PROTOPAGE_RETURN_IF_ERROR(Train(plan, pool, reader, &query_ids, &queries));
  recall_k_ = std::min(kRecallNeighbors, num_classes_ - 1);
  // At least 1, so that the object works; with a single class there is nothing to find.
  ExactNeighbors exact(std::move(queries), std::max<int64_t>(recall_k_, 1), query_ids);

  codes_.resize(num_classes_ * codec_->code_bytes());
  list_of_.resize(num_classes_);
  quality_.resize(num_classes_);
  RowMatrixXf rows(std::min(kReadRows, num_classes_), dim_);
  std::vector<const float*> pointers(rows.rows());
  for (int64_t i = 0; i < rows.rows(); ++i) pointers[i] = &rows(i, 0);
  for (int64_t first = 0; first < num_classes_; first += kReadRows) {
    const int64_t count = std::min(kReadRows, num_classes_ - first);
    PROTOPAGE_RETURN_IF_ERROR(reader(first, rows.topRows(count)));
    for (int64_t i = 0; i < count; ++i) {
      if (!std::isfinite(FixedOrderNorm(pointers[i], dim_))) {
        return absl::InvalidArgumentError(
            absl::StrCat("the row of class ", first + i, " is not finite"));
      }
    }
    EncodeRows(pointers.data(), count, pool, &list_of_[first], Code(first), &quality_[first]);
    exact.Add(first, rows.topRows(count), pool);
  }
  exact.Finish();
  FillLists();
  ChooseProbes(exact, pool);
  return absl::OkStatus();
}

// The fewest probes that come by the lists of nearly all of the nearest. What a search misses
// beyond that is the codes' doing, which the number of candidates makes up for and more lists
// cannot. The goal holds for few neighbours too, whose searches do not go on to more lists for want
// of candidates.
void IvfIndex::ChooseProbes(const ExactNeighbors& exact, ThreadPool* pool) {
  const int64_t lists = coarse_.num_lists();
  const int64_t most = std::min(lists, std::clamp<int64_t>(lists / 8, 64, 256));
  if (options_.probes > 0) {
    probes_ = std::min(options_.probes, lists);
  } else {
    probes_ = std::min(kLeastProbes, most);
    const std::vector<int64_t> needed = ProbesToNeighbors(exact, most, pool);
    const auto reached = [&](int64_t k) {
      int64_t hits = 0, wanted = 0;
      for (int64_t i = 0; i < static_cast<int64_t>(needed.size()); ++i) {
        if (i % exact.k() >= k || exact.ids()[i] == kNoClass) continue;
        ++wanted;
        hits += needed[i] <= probes_ ? 1 : 0;
      }
      return static_cast<double>(hits) >= kReachGoal * static_cast<double>(wanted);
    };
    while (probes_ < most && !(reached(exact.k()) && reached(std::min(kFewNeighbors, exact.k())))) {
      probes_ = std::min(most, probes_ * 3 / 2);
    }
  }
  const int64_t limit = NumCandidates(exact.k());
  std::vector<std::vector<Candidate>> found;
  Find(exact.queries(), limit, probes_, exact.exclude(), pool, &found);
  std::vector<ClassId> ids(found.size() * limit, kNoClass);
  for (size_t q = 0; q < found.size(); ++q) {
    for (size_t j = 0; j < found[q].size(); ++j) ids[q * limit + j] = found[q][j].id;
  }
  recall_ = RecallOf(exact, exact.k(), ids);
}

std::vector<int64_t> IvfIndex::ProbesToNeighbors(const ExactNeighbors& exact, int64_t most,
                                                 ThreadPool* pool) const {
  const int64_t n = exact.num_queries(), k = exact.k();
  std::vector<int64_t> needed(n * k, most + 1);
  pool->ParallelFor(n, [&](int64_t q) {
    const float* const query = exact.queries().data() + q * dim_;
    std::vector<CoarseLists::Hit> hits(most);
    coarse_.Nearest(&query, 1, most, hits.data());
    for (int64_t j = 0; j < k; ++j) {
      const ClassId id = exact.ids()[q * k + j];
      if (id == kNoClass) break;
      for (int64_t p = 0; p < most && needed[q * k + j] > most; ++p) {
        if (hits[p].list == list_of_[id]) needed[q * k + j] = p + 1;
      }
    }
  });
  return needed;
}

int64_t IvfIndex::NumCandidates(int64_t k) const {
  const double share = CandidateShare(kind_, dim_, codec_->code_bytes(), options_);
  if (share == 0) return std::min(num_classes_, k);
  // Some more, so that small k are not at the mercy of rounding.
  return std::min(num_classes_, static_cast<int64_t>(std::ceil(k * share)) + 8);
}

void IvfIndex::Find(const RowMatrixXf& queries, int64_t limit, int64_t probes,
                    absl::Span<const ClassId> exclude, ThreadPool* pool,
                    std::vector<std::vector<Candidate>>* found) const {
  const int64_t n = queries.rows();
  found->assign(n, {});
  pool->ParallelFor((n + kQueryBlock - 1) / kQueryBlock, [&](int64_t block) {
    std::vector<int64_t> open;  // Queries that have not met `limit` rows yet.
    for (int64_t q = block * kQueryBlock; q < std::min(n, (block + 1) * kQueryBlock); ++q) {
      // Infinite scores have no order; such a query finds nothing.
      if (std::isfinite(FixedOrderNorm(&queries(q, 0), dim_))) open.push_back(q);
    }
    std::vector<float> scores;
    for (int64_t at = std::min(probes, coarse_.num_lists()); !open.empty();
         at = std::min(4 * at, coarse_.num_lists())) {
      std::vector<const float*> pointers;
      for (int64_t q : open) pointers.push_back(&queries(q, 0));
      std::vector<CoarseLists::Hit> hits(open.size() * at);
      coarse_.Nearest(pointers.data(), open.size(), at, hits.data());
      size_t left = 0;
      for (size_t i = 0; i < open.size(); ++i) {
        const int64_t q = open[i];
        const RowCodec::Query query = codec_->Prepare(pointers[i]);
        BestCandidates best(limit);
        int64_t met = 0;
        for (int64_t p = 0; p < at && hits[i * at + p].list >= 0; ++p) {
          const CoarseLists::Hit& hit = hits[i * at + p];
          const std::vector<int32_t>& list = lists_[hit.list];
          const auto size = static_cast<int64_t>(list.size());
          met += size;
          scores.resize(size);
          codec_->Score(query, hit.score, codes_.data(), list.data(), size, scores.data());
          for (int64_t j = 0; j < size; ++j) {
            if (!exclude.empty() && list[j] == exclude[q]) continue;
            best.Add(scores[j], list[j]);
          }
        }
        if (met <= limit && at < coarse_.num_lists()) {
          open[left++] = q;
        } else {
          (*found)[q] = best.Take();
        }
      }
      open.resize(left);
    }
  });
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
  const bool by_rows = fetch && CandidateShare(kind_, dim_, codec_->code_bytes(), options_) > 0;
  const int64_t limit = NumCandidates(k);
  std::vector<std::vector<Candidate>> found;
  std::vector<ClassId> ids;
  RowMatrixXf rows;
  for (int64_t first = 0; first < n; first += kQueryGroup) {
    const int64_t count = std::min(kQueryGroup, n - first);
    const RowMatrixXf group = queries.middleRows(first, count);
    const absl::Span<const ClassId> group_exclude =
        exclude.empty() ? exclude : exclude.subspan(first, count);
    // Scores the candidates of query q again and keeps the k best.
    const auto rank = [&](int64_t q, absl::FunctionRef<float(ClassId)> score) {
      std::vector<Candidate>& hits = found[q];
      for (Candidate& hit : hits) {
        hit.score = score(hit.id);
        if (std::isnan(hit.score)) hit.score = -std::numeric_limits<float>::infinity();
      }
      const int64_t kept = std::min<int64_t>(k, hits.size());
      std::partial_sort(hits.begin(), hits.begin() + kept, hits.end(), BetterHit());
      for (int64_t j = 0; j < kept; ++j) {
        out->ids[(first + q) * k + j] = hits[j].id;
        out->scores[(first + q) * k + j] = hits[j].score;
      }
    };
    std::shared_lock<std::shared_mutex> lock(mutex_);
    Find(group, limit, probes_, group_exclude, pool, &found);
    if (!by_rows) {
      pool->ParallelFor(count, [&](int64_t q) {
        std::vector<float> decoded(dim_);
        rank(q, [&](ClassId id) {
          codec_->Decode(Code(id), coarse_.centroid(list_of_[id]), decoded.data());
          return FixedOrderDot(&group(q, 0), decoded.data(), dim_);
        });
      });
      continue;
    }
    lock.unlock();
    for (int64_t begin = 0; begin < count;) {
      // As many queries as have at most kFetchRows candidates together.
      int64_t end = begin;
      ids.clear();
      while (end < count &&
             (end == begin || ids.size() + found[end].size() <= static_cast<size_t>(kFetchRows))) {
        for (const Candidate& candidate : found[end]) ids.push_back(candidate.id);
        ++end;
      }
      std::sort(ids.begin(), ids.end());
      ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
      rows.resize(ids.size(), dim_);
      if (!ids.empty()) PROTOPAGE_RETURN_IF_ERROR(fetch(ids, rows));
      rows_fetched_ += static_cast<int64_t>(ids.size());
      pool->ParallelFor(end - begin, [&](int64_t i) {
        rank(begin + i, [&](ClassId id) {
          const auto at = std::lower_bound(ids.begin(), ids.end(), id) - ids.begin();
          return FixedOrderDot(&group(begin + i, 0), &rows(at, 0), dim_);
        });
      });
      begin = end;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> IvfIndex::Update(absl::Span<const ClassId> ids, ConstRowMatrixRef rows,
                                         ThreadPool* pool) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> order,
                             CheckUpdate(ids, rows, num_classes_, dim_));
  const int64_t n = static_cast<int64_t>(ids.size());
  // Only Update changes anything, so that it may read beside searches.
  const std::lock_guard<std::mutex> updating(update_mutex_);
  std::vector<char> moved(n), too_large(n);
  pool->ParallelFor((n + kRowBlock - 1) / kRowBlock, [&](int64_t block) {
    std::vector<float> copy(dim_);
    for (int64_t i = block * kRowBlock; i < std::min(n, (block + 1) * kRowBlock); ++i) {
      const float* row = rows.row(i).data();
      const float norm = FixedOrderNorm(row, dim_);
      too_large[i] = !std::isfinite(norm);
      codec_->Decode(Code(ids[i]), coarse_.centroid(list_of_[ids[i]]), copy.data());
      const float norms = norm * FixedOrderNorm(copy.data(), dim_);
      const float best = static_cast<float>(quality_[ids[i]]) / 65535.0f;
      moved[i] = options_.reencode_below > 1 || norms == 0 ||
                 !(FixedOrderDot(row, copy.data(), dim_) >= options_.reencode_below * best * norms);
    }
  });
  std::vector<int64_t> changed;
  std::vector<const float*> pointers;
  for (int64_t i : order) {
    if (too_large[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of id ", ids[i], " has a norm that is not finite"));
    }
    if (!moved[i]) continue;
    changed.push_back(ids[i]);
    pointers.push_back(rows.row(i).data());
  }
  const auto count = static_cast<int64_t>(changed.size());
  const int64_t code_bytes = codec_->code_bytes();
  std::vector<int32_t> lists(count);
  std::vector<uint8_t> codes(count * code_bytes);
  std::vector<uint16_t> quality(count);
  EncodeRows(pointers.data(), count, pool, lists.data(), codes.data(), quality.data());

  const std::lock_guard<std::shared_mutex> lock(mutex_);
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(changed[i]);
    if (lists[i] != list_of_[id]) {
      std::vector<int32_t>& from = lists_[list_of_[id]];
      from.erase(std::lower_bound(from.begin(), from.end(), id));
      std::vector<int32_t>& to = lists_[lists[i]];
      if (to.size() == to.capacity()) to.reserve(to.size() + to.size() / 8 + 8);
      to.insert(std::lower_bound(to.begin(), to.end(), id), id);
      list_of_[id] = lists[i];
    }
    std::copy_n(&codes[i * code_bytes], code_bytes, Code(id));
    quality_[id] = quality[i];
    NoteChanged(id);
  }
  rows_reencoded_ += count;
  rows_kept_ += n - count;
  return count;
}

std::vector<IvfIndex::Part> IvfIndex::Parts() const {
  const int64_t code_bytes = codec_->code_bytes();
  std::vector<Part> parts;
  parts.push_back(
      {{"groups", CellType::kFloat32, {coarse_.num_groups(), dim_}}, coarse_.groups().data()});
  parts.push_back({{"group_begin", CellType::kInt64, {coarse_.num_groups() + 1}},
                   coarse_.group_begin().data()});
  parts.push_back(
      {{"centroids", CellType::kFloat32, {coarse_.num_lists(), dim_}}, coarse_.centroids().data()});
  if (kind_ == kIvfPq) {
    parts.push_back({{"codebook", CellType::kFloat32, {code_bytes, dim_ / code_bytes, 256}},
                     codec_->codebook().data()});
  }
  parts.push_back({{"list_of", CellType::kInt32, {num_classes_}}, list_of_.data()});
  parts.push_back({{"quality", CellType::kUint8, {num_classes_, 2}}, quality_.data()});
  parts.push_back({{"codes", CellType::kUint8, {num_classes_, code_bytes}}, codes_.data()});
  return parts;
}

void IvfIndex::GetCopy(ClassId id, char* copy) const {
  const int64_t code_bytes = codec_->code_bytes();
  std::memcpy(copy, codes_.data() + id * code_bytes, code_bytes);
  std::memcpy(copy + code_bytes, &list_of_[id], 4);
  std::memcpy(copy + code_bytes + 4, &quality_[id], 2);
}

absl::Status IvfIndex::SetCopy(ClassId id, const char* copy) {
  const int64_t code_bytes = codec_->code_bytes();
  int32_t list;
  std::memcpy(&list, copy + code_bytes, 4);
  if (list < 0 || list >= coarse_.num_lists()) {
    return absl::DataLossError(
        absl::StrCat("class ", id, " is in list ", list, " of ", coarse_.num_lists()));
  }
  std::memcpy(Code(id), copy, code_bytes);
  list_of_[id] = list;
  std::memcpy(&quality_[id], copy + code_bytes + 4, 2);
  return absl::OkStatus();
}

absl::Status IvfIndex::SaveWhole(FileSystem* file_system, const std::string& path) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return ReplaceFile(
      file_system, path, [&](File* file, const std::string& temporary) -> absl::Status {
        const std::vector<Part> parts = Parts();
        int64_t pieces = 0;
        Hdf5Layout layout;
        layout.integers["format_version"] = kIndexFormatVersion;
        layout.integers["num_classes"] = num_classes_;
        layout.integers["dim"] = dim_;
        layout.integers["probes"] = probes_;
        layout.integers["recall_ppm"] = std::lround(recall_ * 1e6);
        layout.integers["recall_k"] = recall_k_;
        layout.texts["kind"] = "class_index";
        layout.texts["index"] = kind_;
        for (const Part& part : parts) {
          layout.datasets.push_back(part.dataset);
          pieces += NumPieces(part.dataset);
        }
        layout.datasets.push_back({"checksums", CellType::kUint64, {pieces}});
        PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, temporary, &layout));
        std::vector<uint64_t> checksums;
        for (size_t i = 0; i < parts.size(); ++i) {
          const Hdf5Dataset& dataset = layout.datasets[i];
          const auto* data = static_cast<const char*>(parts[i].data);
          for (int64_t at = 0; at < dataset.bytes(); at += kPieceBytes) {
            const int64_t bytes = std::min(kPieceBytes, dataset.bytes() - at);
            checksums.push_back(XXH3_64bits(data + at, bytes));
            PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(dataset.offset + at, data + at, bytes));
          }
        }
        return file->WriteAt(layout.datasets.back().offset, checksums.data(), pieces * 8);
      });
}

absl::Status IvfIndex::Read(File* file, const std::string& path, const Hdf5Layout& layout) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  const auto find = [&](const char* name, CellType type, size_t dims) -> const Hdf5Dataset* {
    const Hdf5Dataset* dataset = layout.Find(name);
    const bool good = dataset != nullptr && dataset->type == type && dataset->dims.size() == dims;
    return good ? dataset : nullptr;
  };
  const bool is_pq = kind_ == kIvfPq;
  const Hdf5Dataset* const groups = find("groups", CellType::kFloat32, 2);
  const Hdf5Dataset* const group_begin = find("group_begin", CellType::kInt64, 1);
  const Hdf5Dataset* const centroids = find("centroids", CellType::kFloat32, 2);
  const Hdf5Dataset* const codebook = find("codebook", CellType::kFloat32, 3);
  const Hdf5Dataset* const list_of = find("list_of", CellType::kInt32, 1);
  const Hdf5Dataset* const quality = find("quality", CellType::kUint8, 2);
  const Hdf5Dataset* const codes = find("codes", CellType::kUint8, 2);
  const Hdf5Dataset* const stored = find("checksums", CellType::kUint64, 1);
  for (const char* name : {"probes", "recall_ppm", "recall_k"}) {
    if (layout.integers.count(name) == 0) {
      return damaged(absl::StrCat("attribute '", name, "' is missing"));
    }
  }
  std::vector<const Hdf5Dataset*> all = {groups, group_begin, centroids};
  if (is_pq) all.push_back(codebook);
  for (const Hdf5Dataset* dataset : {list_of, quality, codes}) all.push_back(dataset);
  int64_t pieces = 0;
  for (const Hdf5Dataset* dataset : all) {
    if (dataset == nullptr) return damaged("a dataset of the index is missing or of another type");
    pieces += NumPieces(*dataset);
  }
  const int64_t code_bytes = codes->dims[1];
  if (stored == nullptr || stored->dims[0] != pieces || num_classes_ < 1 || dim_ < 1 ||
      groups->dims[1] != dim_ || centroids->dims[1] != dim_ || list_of->dims[0] != num_classes_ ||
      quality->dims != std::vector<int64_t>{num_classes_, 2} || codes->dims[0] != num_classes_ ||
      code_bytes < 1 || (!is_pq && code_bytes != dim_ + 4) ||
      (is_pq && (dim_ % code_bytes != 0 ||
                 codebook->dims != std::vector<int64_t>{code_bytes, dim_ / code_bytes, 256}))) {
    return damaged("the shapes of the index's datasets are not what the attributes say");
  }
  const int64_t bytes = IvfBytes(num_classes_, dim_, centroids->dims[0], code_bytes, is_pq);
  if (bytes > options_.index_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": the index takes ", bytes, " bytes, index_bytes allows ",
                     options_.index_bytes, "; raise prototypes.index_bytes"));
  }

  std::vector<uint64_t> checksums(pieces);
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(stored->offset, checksums.data(), stored->bytes()));
  size_t piece = 0;
  const auto read = [&](const Hdf5Dataset& dataset, void* data) -> absl::Status {
    for (int64_t at = 0; at < dataset.bytes(); at += kPieceBytes, ++piece) {
      const int64_t count = std::min(kPieceBytes, dataset.bytes() - at);
      char* const to = static_cast<char*>(data) + at;
      PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(dataset.offset + at, to, count));
      if (XXH3_64bits(to, count) != checksums[piece]) {
        return damaged(absl::StrCat("dataset '", dataset.name, "' from byte ", at,
                                    " on does not match its checksum: the file is damaged"));
      }
    }
    return absl::OkStatus();
  };
  RowMatrixXf group_rows(groups->dims[0], dim_), centroid_rows(centroids->dims[0], dim_);
  std::vector<int64_t> begin(group_begin->dims[0]);
  PROTOPAGE_RETURN_IF_ERROR(read(*groups, group_rows.data()));
  PROTOPAGE_RETURN_IF_ERROR(read(*group_begin, begin.data()));
  PROTOPAGE_RETURN_IF_ERROR(read(*centroids, centroid_rows.data()));
  absl::StatusOr<CoarseLists> coarse =
      CoarseLists::FromParts(std::move(group_rows), std::move(begin), std::move(centroid_rows));
  if (!coarse.ok()) return damaged(coarse.status().message());
  coarse_ = *std::move(coarse);
  if (is_pq) {
    std::vector<float> vectors(dim_ * 256);
    PROTOPAGE_RETURN_IF_ERROR(read(*codebook, vectors.data()));
    codec_ = RowCodec::MakePq(dim_, code_bytes, std::move(vectors));
  } else {
    codec_ = RowCodec::MakeSq8(dim_);
  }
  list_of_.resize(num_classes_);
  quality_.resize(num_classes_);
  codes_.resize(num_classes_ * code_bytes);
  PROTOPAGE_RETURN_IF_ERROR(read(*list_of, list_of_.data()));
  PROTOPAGE_RETURN_IF_ERROR(read(*quality, quality_.data()));
  PROTOPAGE_RETURN_IF_ERROR(read(*codes, codes_.data()));
  for (int64_t id = 0; id < num_classes_; ++id) {
    if (list_of_[id] < 0 || list_of_[id] >= coarse_.num_lists()) {
      return damaged(
          absl::StrCat("class ", id, " is in list ", list_of_[id], " of ", coarse_.num_lists()));
    }
  }
  FillLists();
  probes_ = std::clamp<int64_t>(
      options_.probes > 0 ? options_.probes : layout.integers.at("probes"), 1, coarse_.num_lists());
  recall_ = static_cast<double>(layout.integers.at("recall_ppm")) * 1e-6;
  recall_k_ = layout.integers.at("recall_k");
  return absl::OkStatus();
}

ClassIndexStats IvfIndex::stats() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  ClassIndexStats stats;
  stats.kind = kind_;
  stats.lists = coarse_.num_lists();
  stats.probes = probes_;
  stats.recall = recall_;
  stats.recall_k = recall_k_;
  stats.rows_reencoded = rows_reencoded_;
  stats.rows_kept = rows_kept_;
  stats.queries = queries_;
  stats.rows_fetched = rows_fetched_;
  stats.bytes = static_cast<int64_t>(codes_.capacity() + list_of_.capacity() * sizeof(int32_t) +
                                     quality_.capacity() * sizeof(uint16_t)) +
                coarse_.bytes() + codec_->memory_bytes() + kBytesPerList * stats.lists;
  for (const std::vector<int32_t>& list : lists_) {
    stats.bytes += static_cast<int64_t>(list.capacity() * sizeof(int32_t));
    stats.longest_list = std::max(stats.longest_list, static_cast<int64_t>(list.size()));
  }
  return stats;
}

}  // namespace

absl::StatusOr<ClassIndexPlan> PlanIvfIndex(int64_t num_classes, int64_t dim,
                                            const ClassIndexOptions& options) {
  if (options.kind != "auto" && options.kind != kIvfSq8 && options.kind != kIvfPq) {
    return absl::InvalidArgumentError(absl::StrCat("the kind of an index is '", options.kind,
                                                   "'; allowed are auto, flat, ivf_sq8, ivf_pq"));
  }
  constexpr int64_t kMaxClasses = std::numeric_limits<int32_t>::max(), kMaxDim = 1 << 16;
  if (num_classes > kMaxClasses || dim > kMaxDim) {
    return absl::InvalidArgumentError(absl::StrCat("an index of ", num_classes, " classes of dim ",
                                                   dim, "; at most ", kMaxClasses, " and ",
                                                   kMaxDim));
  }
  // Few lists make long scans, many make the search among them long; both grow as sqrt(N).
  const int64_t most = SampleRows(num_classes, dim, num_classes, options.index_bytes);
  ClassIndexPlan plan;
  plan.lists = options.lists;
  if (plan.lists == 0) {
    plan.lists = static_cast<int64_t>(4 * std::sqrt(static_cast<double>(num_classes)));
    plan.lists = std::clamp<int64_t>(std::min({plan.lists, num_classes / 8, most / 8}), 1, 65536);
  }
  if (plan.lists < 1 || plan.lists > most) {
    return absl::InvalidArgumentError(absl::StrCat(plan.lists, " lists for ", num_classes,
                                                   " classes; allowed are 1 to ", most,
                                                   ", the rows that lists are trained with"));
  }
  if (options.probes < 0 || options.candidates < 0) {
    return absl::InvalidArgumentError(absl::StrCat("probes ", options.probes, ", candidates ",
                                                   options.candidates, "; neither is negative"));
  }
  if (options.kind != kIvfPq) {
    plan.kind = kIvfSq8;
    plan.code_bytes = dim + 4;
    plan.bytes = IvfBytes(num_classes, dim, plan.lists, plan.code_bytes, /*is_pq=*/false);
    plan.candidates = CandidateShare(plan.kind, dim, plan.code_bytes, options);
    if (plan.bytes <= options.index_bytes) return plan;
  }
  if (options.kind != kIvfSq8) {
    // The longest codes that fit, of parts of 2 to 32 dimensions.
    for (int64_t part_dim = 2; part_dim <= std::min<int64_t>(32, dim); ++part_dim) {
      if (dim % part_dim != 0) continue;
      plan.kind = kIvfPq;
      plan.code_bytes = dim / part_dim;
      plan.bytes = IvfBytes(num_classes, dim, plan.lists, plan.code_bytes, /*is_pq=*/true);
      plan.candidates = CandidateShare(plan.kind, dim, plan.code_bytes, options);
      if (plan.bytes <= options.index_bytes) return plan;
    }
    if (plan.kind != kIvfPq && options.kind == kIvfPq) {
      return absl::InvalidArgumentError(
          absl::StrCat("an ivf_pq index of dim ", dim, ": no number from 2 to 32 divides the dim"));
    }
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "an index of ", num_classes, " classes of dim ", dim, " takes ", plan.bytes, " bytes as ",
      plan.kind, " with ", plan.lists, " lists and codes of ", plan.code_bytes,
      " bytes, the shortest there are; index_bytes allows ", options.index_bytes,
      options.kind == kIvfSq8 ? "; raise prototypes.index_bytes, or set prototypes.index to ivf_pq"
                              : "; raise prototypes.index_bytes, or lower model.embedding_dim"));
}

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildIvfIndex(int64_t num_classes, int64_t dim,
                                                          const ClassIndexPlan& plan,
                                                          const ClassIndexOptions& options,
                                                          ThreadPool* pool,
                                                          ClassIndex::RowBlockReader reader) {
  auto index = std::make_unique<IvfIndex>(num_classes, dim, plan.kind, options);
  PROTOPAGE_RETURN_IF_ERROR(index->Build(plan, pool, reader));
  return index;
}

absl::StatusOr<std::unique_ptr<ClassIndex>> LoadIvfIndex(File* file, const std::string& path,
                                                         const Hdf5Layout& layout,
                                                         const ClassIndexOptions& options) {
  for (const char* name : {"num_classes", "dim"}) {
    if (layout.integers.count(name) == 0) {
      return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is missing"));
    }
  }
  auto index =
      std::make_unique<IvfIndex>(layout.integers.at("num_classes"), layout.integers.at("dim"),
                                 layout.texts.at("index"), options);
  PROTOPAGE_RETURN_IF_ERROR(index->Read(file, path, layout));
  return index;
}

}  // namespace protopage
