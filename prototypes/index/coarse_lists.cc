#include "protopage/prototypes/index/coarse_lists.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/kmeans.h"

namespace protopage {
namespace {

// K-means gains little from more points per centroid.
constexpr int64_t kPointsPerGroup = 256;

int64_t NumGroups(int64_t num_lists) {
  return static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(num_lists))));
}

bool Before(const CoarseLists::Hit& a, const CoarseLists::Hit& b) {
  return a.score != b.score ? a.score > b.score : a.list < b.list;
}

// The number of lists of each group: in proportion to its points, at least one and at most as many
// as it has points.
std::vector<int64_t> Share(int64_t lists, const std::vector<std::vector<int64_t>>& members) {
  const int64_t groups = static_cast<int64_t>(members.size());
  std::vector<int64_t> share(groups, 1);
  for (int64_t left = lists - groups; left > 0; --left) {
    // The next list goes to the group with the most points per list (Jefferson's rule).
    int64_t best = -1;
    double most = 0;
    for (int64_t g = 0; g < groups; ++g) {
      const auto size = static_cast<int64_t>(members[g].size());
      if (share[g] >= size) continue;
      const double ratio = static_cast<double>(size) / static_cast<double>(share[g] + 1);
      if (best < 0 || ratio > most) {
        best = g;
        most = ratio;
      }
    }
    ++share[best];  // There is such a group: there are no more lists than points.
  }
  return share;
}

}  // namespace

int64_t CoarseLists::Bytes(int64_t num_lists, int64_t dim) {
  const int64_t groups = NumGroups(num_lists);
  return (num_lists + groups) * dim * static_cast<int64_t>(sizeof(float)) +
         (groups + 1) * static_cast<int64_t>(sizeof(int64_t));
}

absl::StatusOr<CoarseLists> CoarseLists::Train(const RowMatrixXf& sample, int64_t num_lists,
                                               uint64_t seed, ThreadPool* pool) {
  const int64_t n = sample.rows(), dim = sample.cols();
  if (num_lists < 1 || num_lists > n) {
    return absl::InvalidArgumentError(
        absl::StrCat(num_lists, " lists of ", n, " rows; allowed are 1 to the number of rows"));
  }
  const int seed_of_groups = static_cast<int>(seed % 1000000007);
  KMeansOptions options;
  options.spherical = true;
  options.seed = seed_of_groups;

  // The first level, with some of the rows.
  const int64_t num_groups = NumGroups(num_lists);
  CoarseLists lists;
  {
    const int64_t points = std::min(n, kPointsPerGroup * num_groups);
    RandomStream random(seed, RandomPurpose::kIndex, 1);
    const std::vector<int64_t> drawn = SampleWithoutReplacement(random, n, points);
    RowMatrixXf some(points, dim);
    for (int64_t i = 0; i < points; ++i) some.row(i) = sample.row(drawn[i]);
    PROTOPAGE_ASSIGN_OR_RETURN(lists.groups_, KMeans(some, num_groups, options));
  }
  std::vector<int32_t> group_of(n);
  constexpr int64_t kBlock = 64;
  pool->ParallelFor(DivideUp(n, kBlock), [&](int64_t block) {
    const int64_t first = block * kBlock, count = std::min(kBlock, n - first);
    std::vector<const float*> rows(count);
    for (int64_t i = 0; i < count; ++i) rows[i] = sample.data() + (first + i) * dim;
    std::vector<float> scores(count * num_groups);
    FixedOrderDots(rows.data(), count, lists.groups_.data(), num_groups, dim, scores.data());
    for (int64_t i = 0; i < count; ++i) {
      const float* begin = &scores[i * num_groups];
      group_of[first + i] =
          static_cast<int32_t>(std::max_element(begin, begin + num_groups) - begin);
    }
  });
  std::vector<std::vector<int64_t>> members(num_groups);
  for (int64_t i = 0; i < n; ++i) members[group_of[i]].push_back(i);
  // Groups without a row are left out.
  int64_t kept = 0;
  for (int64_t g = 0; g < num_groups; ++g) {
    if (members[g].empty()) continue;
    if (kept != g) {
      lists.groups_.row(kept) = lists.groups_.row(g);
      members[kept] = std::move(members[g]);
    }
    ++kept;
  }
  lists.groups_.conservativeResize(kept, dim);
  members.resize(kept);

  // The second level, inside each group.
  const std::vector<int64_t> share = Share(num_lists, members);
  lists.group_begin_.assign(kept + 1, 0);
  for (int64_t g = 0; g < kept; ++g) lists.group_begin_[g + 1] = lists.group_begin_[g] + share[g];
  lists.centroids_.resize(num_lists, dim);
  std::vector<absl::Status> errors(kept);
  pool->ParallelFor(kept, [&](int64_t g) {
    RowMatrixXf rows(members[g].size(), dim);
    for (size_t i = 0; i < members[g].size(); ++i) rows.row(i) = sample.row(members[g][i]);
    KMeansOptions inner = options;
    inner.seed = seed_of_groups + 1 + static_cast<int>(g);
    const absl::StatusOr<RowMatrixXf> centroids = KMeans(rows, share[g], inner);
    if (centroids.ok()) {
      lists.centroids_.middleRows(lists.group_begin_[g], share[g]) = *centroids;
    } else {
      errors[g] = centroids.status();
    }
  });
  for (const absl::Status& error : errors) PROTOPAGE_RETURN_IF_ERROR(error);
  return lists;
}

absl::StatusOr<CoarseLists> CoarseLists::FromParts(RowMatrixXf groups,
                                                   std::vector<int64_t> group_begin,
                                                   RowMatrixXf centroids) {
  bool good = groups.rows() >= 1 && groups.cols() == centroids.cols() &&
              static_cast<int64_t>(group_begin.size()) == groups.rows() + 1 &&
              group_begin.front() == 0 && group_begin.back() == centroids.rows();
  for (size_t g = 1; good && g < group_begin.size(); ++g) {
    good = group_begin[g - 1] < group_begin[g];
  }
  if (!good) {
    return absl::DataLossError(absl::StrCat(
        "groups [", groups.rows(), ", ", groups.cols(), "] and centroids [", centroids.rows(), ", ",
        centroids.cols(), "] of the lists do not fit together"));
  }
  CoarseLists lists;
  lists.groups_ = std::move(groups);
  lists.group_begin_ = std::move(group_begin);
  lists.centroids_ = std::move(centroids);
  return lists;
}

void CoarseLists::Nearest(const float* const* rows, int64_t n, int64_t probes, Hit* hits) const {
  const int64_t groups = num_groups();
  // An eighth of the groups, and room for twice as many lists as are asked for.
  const int64_t num_scored = std::min(groups, groups / 8 + 2 * probes * groups / num_lists() + 4);
  std::vector<float> group_scores(n * groups);
  FixedOrderDots(rows, n, groups_.data(), groups, dim(), group_scores.data());
  std::vector<std::vector<int64_t>> rows_of(groups);
  std::vector<int64_t> order(groups);
  for (int64_t i = 0; i < n; ++i) {
    const float* scores = &group_scores[i * groups];
    std::iota(order.begin(), order.end(), 0);
    std::nth_element(order.begin(), order.begin() + num_scored - 1, order.end(),
                     [scores](int64_t a, int64_t b) {
                       return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                     });
    for (int64_t j = 0; j < num_scored; ++j) rows_of[order[j]].push_back(i);
  }
  // One group after another, so that the centroids of a group are read once for all rows.
  std::vector<std::vector<Hit>> found(n);
  std::vector<const float*> some;
  std::vector<float> scores;
  for (int64_t g = 0; g < groups; ++g) {
    if (rows_of[g].empty()) continue;
    some.clear();
    for (int64_t i : rows_of[g]) some.push_back(rows[i]);
    const int64_t first = group_begin_[g], count = group_begin_[g + 1] - first;
    scores.resize(some.size() * count);
    FixedOrderDots(some.data(), some.size(), centroid(first), count, dim(), scores.data());
    for (size_t i = 0; i < some.size(); ++i) {
      std::vector<Hit>& of_row = found[rows_of[g][i]];
      for (int64_t j = 0; j < count; ++j) {
        const Hit hit = {scores[i * count + j], static_cast<int32_t>(first + j)};
        if (probes > 1 || of_row.empty()) {
          of_row.push_back(hit);
        } else if (Before(hit, of_row[0])) {
          of_row[0] = hit;
        }
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    std::vector<Hit>& of_row = found[i];
    const int64_t count = std::min<int64_t>(probes, of_row.size());
    std::partial_sort(of_row.begin(), of_row.begin() + count, of_row.end(), Before);
    std::copy_n(of_row.begin(), count, hits + i * probes);
    std::fill(hits + i * probes + count, hits + (i + 1) * probes, Hit{0, -1});
  }
}

}  // namespace protopage
