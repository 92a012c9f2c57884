// BestScores: the k best of many scored items, in the one order of the project: score descending,
// then id ascending.
//
//   BestScores<int64_t> best(/*limit=*/2);
//   best.Add(0.5f, 7);
//   best.Add(0.9f, 4);
//   best.Add(0.5f, 3);
//   const std::vector<Scored<int64_t>> top = best.TakeSorted();  // Ids 4 and 3.
//
// With distinct ids that order is total, so the result does not depend on the order of the calls.
#ifndef PROTOPAGE_BASE_BEST_SCORES_H_
#define PROTOPAGE_BASE_BEST_SCORES_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "protopage/base/check.h"

namespace protopage {

// The order, for anything that has a `score`, which is not NaN, and an `id`.
struct BetterScore {
  template <typename Item>
  bool operator()(const Item& a, const Item& b) const {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  }
};

template <typename Id>
struct Scored {
  float score;
  Id id;
};

// Not thread-safe. An addition takes amortised constant time; memory is that of at most 2 `limit`
// items. An item whose score is NaN is ignored.
template <typename Id>
class BestScores {
 public:
  // limit >= 1 (CHECKed).
  explicit BestScores(int64_t limit) : limit_(limit) { PROTOPAGE_CHECK(limit >= 1); }

  void Add(float score, Id id) {
    if (!Accepts(score, id)) return;
    items_.push_back({score, id});
    if (static_cast<int64_t>(items_.size()) >= 2 * limit_) Shrink();
  }

  // Adds scores[i] with the id first_id + i for every i in [0, count), but leaves out ids for which
  // `keep` is false. `keep` is called only for items that are good enough. Faster than Add.
  template <typename Keep>
  void AddRange(const float* scores, int64_t count, Id first_id, const Keep& keep) {
    float floor = floor_;  // In a register.
    for (int64_t i = 0; i < count; ++i) {
      if (!(scores[i] >= floor)) continue;
      const Id id = first_id + static_cast<Id>(i);
      if (!Accepts(scores[i], id) || !keep(id)) continue;
      Add(scores[i], id);
      floor = floor_;
    }
  }

  // The best items, in no particular order; leaves the object empty.
  std::vector<Scored<Id>> Take() {
    if (static_cast<int64_t>(items_.size()) > limit_) Shrink();
    full_ = false;
    floor_ = -std::numeric_limits<float>::infinity();
    return std::exchange(items_, {});
  }

  // The best items, best first; leaves the object empty.
  std::vector<Scored<Id>> TakeSorted() {
    std::vector<Scored<Id>> items = Take();
    std::sort(items.begin(), items.end(), BetterScore());
    return items;
  }

 private:
  // False for an item that is certainly not among the best.
  bool Accepts(float score, Id id) const {
    if (!(score >= floor_)) return false;
    return !full_ || BetterScore()(Scored<Id>{score, id}, worst_);
  }

  // Keeps the best `limit_` items.
  void Shrink() {
    std::nth_element(items_.begin(), items_.begin() + limit_ - 1, items_.end(), BetterScore());
    items_.resize(limit_);
    worst_ = items_.back();
    floor_ = worst_.score;
    full_ = true;
  }

  int64_t limit_;
  std::vector<Scored<Id>> items_;
  bool full_ = false;  // worst_ is the worst of `limit_` items.
  Scored<Id> worst_{};
  float floor_ = -std::numeric_limits<float>::infinity();  // Of worst_, once full_.
};

}  // namespace protopage

#endif  // PROTOPAGE_BASE_BEST_SCORES_H_
