#include "protopage/prototypes/index/ivf_build.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/ivf_plan.h"

namespace protopage {
namespace {

// Rows read at a time: 8 MiB at D = 512.
constexpr int64_t kReadRows = 4096;
// Rows that a task assigns to lists together.
constexpr int64_t kRowBlock = 64;

// The goal of choosing the number of probes: the share of neighbours in probed lists.
constexpr double kReachGoal = 0.98;
constexpr int64_t kLeastProbes = 4;
constexpr int64_t kRecallQueries = 64;
constexpr int64_t kRecallNeighbors = 50;
constexpr int64_t kFewNeighbors = 10;

class IvfBuilder {
 public:
  IvfBuilder(int64_t num_classes, int64_t dim, const ClassIndexPlan& plan,
             const ClassIndexOptions& options, ThreadPool* pool)
      : plan_(plan), options_(options), pool_(pool) {
    data_.num_classes = num_classes;
    data_.dim = dim;
    data_.kind = plan.kind;
  }

  absl::Status Build(RowBlockReader reader);
  IvfData Take() { return std::move(data_); }

 private:
  // Trains lists and codes. Also gives some classes and their rows, for measuring recall.
  absl::Status Train(RowBlockReader reader, std::vector<ClassId>* query_ids, RowMatrixXf* queries);
  absl::Status TrainPq(RowMatrixXf sample);
  void ChooseProbes(const ExactNeighbors& exact);
  // [n, k]: how many of a query's nearest lists must be probed to reach the list of its j-th
  // neighbour; most + 1 when more than `most`.
  std::vector<int64_t> ProbesToNeighbors(const ExactNeighbors& exact, int64_t most) const;

  const ClassIndexPlan plan_;
  const ClassIndexOptions options_;
  ThreadPool* const pool_;
  IvfData data_;
};

absl::Status IvfBuilder::Train(RowBlockReader reader, std::vector<ClassId>* query_ids,
                               RowMatrixXf* queries) {
  const int64_t n = IvfSampleRows(data_.num_classes, data_.dim, plan_.lists, options_.index_bytes);
  RandomStream random(options_.seed, RandomPurpose::kIndex, 0);
  std::vector<int64_t> ids = SampleWithoutReplacement(random, data_.num_classes, n);
  // The draw is in random order: its first are as good a sample as any.
  query_ids->assign(ids.begin(), ids.begin() + std::min(n, kRecallQueries));
  std::sort(ids.begin(), ids.end());
  RowMatrixXf sample(n, data_.dim);
  PROTOPAGE_RETURN_IF_ERROR(ReadRuns(ids, reader, sample));
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(FixedOrderNorm(sample.data() + i * data_.dim, data_.dim))) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of class ", ids[i], " is not finite"));
    }
  }
  queries->resize(query_ids->size(), data_.dim);
  for (size_t i = 0; i < query_ids->size(); ++i) {
    const auto at = std::lower_bound(ids.begin(), ids.end(), (*query_ids)[i]) - ids.begin();
    queries->row(i) = sample.row(at);
  }
  PROTOPAGE_ASSIGN_OR_RETURN(data_.coarse,
                             CoarseLists::Train(sample, plan_.lists, options_.seed, pool_));
  if (data_.kind == kIvfSq8) {
    data_.codec = RowCodec::MakeSq8(data_.dim);
    return absl::OkStatus();
  }
  return TrainPq(std::move(sample));
}

absl::Status IvfBuilder::TrainPq(RowMatrixXf sample) {
  const int64_t n = sample.rows();
  // Spread over the sample.
  const int64_t count = std::min(n, kPqSampleRows);
  RowMatrixXf residuals(count, data_.dim);
  pool_->ParallelFor(DivideUp(count, kRowBlock), [&](int64_t block) {
    const int64_t first = block * kRowBlock, rows = std::min(kRowBlock, count - first);
    std::vector<const float*> pointers(rows);
    std::vector<CoarseLists::Hit> hits(rows);
    for (int64_t i = 0; i < rows; ++i) pointers[i] = &sample((first + i) * n / count, 0);
    data_.coarse.Nearest(pointers.data(), rows, 1, hits.data());
    for (int64_t i = 0; i < rows; ++i) {
      residuals.row(first + i) =
          Eigen::Map<const Eigen::RowVectorXf>(pointers[i], data_.dim) -
          Eigen::Map<const Eigen::RowVectorXf>(data_.coarse.centroid(hits[i].list), data_.dim);
    }
  });
  sample.resize(0, 0);
  PROTOPAGE_ASSIGN_OR_RETURN(data_.codec,
                             RowCodec::TrainPq(residuals, plan_.code_bytes, options_.seed, pool_));
  return absl::OkStatus();
}

std::vector<int64_t> IvfBuilder::ProbesToNeighbors(const ExactNeighbors& exact,
                                                   int64_t most) const {
  const int64_t n = exact.num_queries(), k = exact.k();
  std::vector<int64_t> needed(n * k, most + 1);
  pool_->ParallelFor(n, [&](int64_t q) {
    const float* const query = exact.queries().data() + q * data_.dim;
    std::vector<CoarseLists::Hit> hits(most);
    data_.coarse.Nearest(&query, 1, most, hits.data());
    for (int64_t j = 0; j < k; ++j) {
      const ClassId id = exact.ids()[q * k + j];
      if (id == kNoClass) break;
      for (int64_t p = 0; p < most && needed[q * k + j] > most; ++p) {
        if (hits[p].list == data_.list_of[id]) needed[q * k + j] = p + 1;
      }
    }
  });
  return needed;
}

// Takes the fewest probes that reach the lists of nearly all of the nearest classes. What a search
// misses beyond that is due to the codes: more candidates make up for it, more lists cannot. The
// goal must hold for few neighbours too, as their searches never go on to more lists for want of
// candidates.
void IvfBuilder::ChooseProbes(const ExactNeighbors& exact) {
  const int64_t lists = data_.coarse.num_lists();
  const int64_t most = std::min(lists, std::clamp<int64_t>(lists / 8, 64, 256));
  if (options_.probes > 0) {
    data_.probes = std::min(options_.probes, lists);
  } else {
    data_.probes = std::min(kLeastProbes, most);
    const std::vector<int64_t> needed = ProbesToNeighbors(exact, most);
    const auto reached = [&](int64_t k) {
      int64_t hits = 0, wanted = 0;
      for (int64_t i = 0; i < static_cast<int64_t>(needed.size()); ++i) {
        if (i % exact.k() >= k || exact.ids()[i] == kNoClass) continue;
        ++wanted;
        hits += needed[i] <= data_.probes ? 1 : 0;
      }
      return static_cast<double>(hits) >= kReachGoal * static_cast<double>(wanted);
    };
    while (data_.probes < most &&
           !(reached(exact.k()) && reached(std::min(kFewNeighbors, exact.k())))) {
      data_.probes = std::min(most, data_.probes * 3 / 2);
    }
  }
  const int64_t limit =
      NumCandidates(CandidateShare(data_.kind, data_.dim, data_.codec->code_bytes(), options_),
                    data_.num_classes, exact.k());
  std::vector<std::vector<Scored<int32_t>>> found;
  data_.FindCandidates(exact.queries(), limit, data_.probes, exact.exclude(), pool_, &found);
  std::vector<ClassId> ids(found.size() * limit, kNoClass);
  for (size_t q = 0; q < found.size(); ++q) {
    for (size_t j = 0; j < found[q].size(); ++j) ids[q * limit + j] = found[q][j].id;
  }
  data_.recall = RecallOf(exact, exact.k(), ids);
}

absl::Status IvfBuilder::Build(RowBlockReader reader) {
  std::vector<ClassId> query_ids;
  RowMatrixXf queries;
  PROTOPAGE_RETURN_IF_ERROR(Train(reader, &query_ids, &queries));
  data_.recall_k = std::min(kRecallNeighbors, data_.num_classes - 1);
  // ExactNeighbors needs at least 1; with a single class there is nothing to find.
  ExactNeighbors exact(std::move(queries), std::max<int64_t>(data_.recall_k, 1), query_ids);

  data_.ResizeClasses();
  RowMatrixXf rows(std::min(kReadRows, data_.num_classes), data_.dim);
  std::vector<const float*> pointers(rows.rows());
  for (int64_t i = 0; i < rows.rows(); ++i) pointers[i] = &rows(i, 0);
  for (int64_t first = 0; first < data_.num_classes; first += kReadRows) {
    const int64_t count = std::min(kReadRows, data_.num_classes - first);
    PROTOPAGE_RETURN_IF_ERROR(reader(first, rows.topRows(count)));
    for (int64_t i = 0; i < count; ++i) {
      if (!std::isfinite(FixedOrderNorm(pointers[i], data_.dim))) {
        return absl::InvalidArgumentError(
            absl::StrCat("the row of class ", first + i, " is not finite"));
      }
    }
    data_.EncodeRows(pointers.data(), count, pool_, &data_.list_of[first], data_.Code(first),
                     &data_.quality[first]);
    exact.Add(first, rows.topRows(count), pool_);
  }
  exact.Finish();
  data_.FillLists();
  ChooseProbes(exact);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IvfData> BuildIvfData(int64_t num_classes, int64_t dim, const ClassIndexPlan& plan,
                                     const ClassIndexOptions& options, ThreadPool* pool,
                                     RowBlockReader reader) {
  IvfBuilder builder(num_classes, dim, plan, options, pool);
  PROTOPAGE_RETURN_IF_ERROR(builder.Build(reader));
  return builder.Take();
}

}  // namespace protopage
