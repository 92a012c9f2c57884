#include "protopage/eval/verification.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/cosine_tiles.h"

namespace protopage {
namespace {

// Scores are sorted by counting. The key of a score is a 32-bit number in the order of the scores.
// A first pass counts keys by their upper 16 bits; a second one counts by the lower 16 bits, for
// the few values of the upper bits that a result falls into.
constexpr int64_t kBuckets = 65536;

// Positive scores have the order of their bits, negative ones the opposite order. Both zeros, which
// are equal, have the key 0x80000000. Neighbouring keys are neighbouring scores.
uint32_t KeyOf(float score) {
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  return bits & 0x80000000u ? -bits : bits | 0x80000000u;
}

float ScoreOf(uint32_t key) {
  const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : -key;
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  return score;
}

// Impostor and genuine pairs.
struct Counts {
  int64_t impostor = 0;
  int64_t genuine = 0;
  void operator+=(const Counts& other) {
    impostor += other.impostor;
    genuine += other.genuine;
  }
};

using Histogram = std::vector<Counts>;  // [kBuckets]

// The largest number of false accepts that `far` allows. The factor compensates for products such
// as 0.29 * 100 = 28.999999999999996.
int64_t AllowedAccepts(double far, int64_t impostor_pairs) {
  return static_cast<int64_t>(std::floor(far * static_cast<double>(impostor_pairs) * (1 + 1e-12)));
}

class PairCounter {
 public:
  PairCounter(const LabeledFeatures& ids, const LabeledFeatures& spots, ThreadPool& pool)
      : ids_(ids), spots_(spots), pool_(pool), unit_ids_(ids.features) {
    NormalizeRows(unit_ids_);
  }

  // Counts all pairs by the upper half of their keys.
  Histogram CountUpper() {
    return Count(1, [](uint32_t key, Histogram* histograms) -> Counts* {
      return &histograms[0][key >> 16];
    })[0];
  }

  // Counts by the lower half the pairs whose upper half is uppers[i], for each i.
  std::vector<Histogram> CountLower(const std::vector<uint32_t>& uppers) {
    std::vector<int> histogram_of(kBuckets, -1);
    for (size_t i = 0; i < uppers.size(); ++i) histogram_of[uppers[i]] = static_cast<int>(i);
    return Count(uppers.size(), [&](uint32_t key, Histogram* histograms) -> Counts* {
      const int i = histogram_of[key >> 16];
      return i < 0 ? nullptr : &histograms[i][key & 0xffff];
    });
  }

 private:
  template <typename Place>
  std::vector<Histogram> Count(int64_t num_histograms, Place place) {
    // Counts are integers, so threads may add them in any order.
    std::vector<std::vector<Histogram>> of_thread(
        pool_.num_threads(), std::vector<Histogram>(num_histograms, Histogram(kBuckets)));
    ForEachCosineTile(spots_.features, unit_ids_, pool_, [&](const CosineTile& tile) {
      Histogram* const histograms = of_thread[tile.thread].data();
      const ClassId* const id_labels = ids_.labels.data() + tile.first_b;
      for (int64_t i = 0; i < tile.cosines.rows(); ++i) {
        const ClassId label = spots_.labels[tile.first_a + i];
        for (int64_t j = 0; j < tile.cosines.cols(); ++j) {
          Counts* const counts = place(KeyOf(tile.cosines(i, j)), histograms);
          if (counts == nullptr) continue;
          ++(id_labels[j] == label ? counts->genuine : counts->impostor);
        }
      }
    });
    std::vector<Histogram>& sum = of_thread[0];
    for (size_t t = 1; t < of_thread.size(); ++t) {
      for (int64_t h = 0; h < num_histograms; ++h) {
        for (int64_t b = 0; b < kBuckets; ++b) sum[h][b] += of_thread[t][h][b];
      }
    }
    return std::move(sum);
  }

  const LabeledFeatures& ids_;
  const LabeledFeatures& spots_;
  ThreadPool& pool_;
  RowMatrixXf unit_ids_;
};

// above[b]: the pairs in buckets above b. `before` are the pairs above the last bucket.
std::vector<Counts> CountsAbove(const Histogram& histogram, Counts before) {
  std::vector<Counts> above(kBuckets);
  for (int64_t b = kBuckets - 1; b >= 0; --b) {
    above[b] = before;
    before += histogram[b];
  }
  return above;
}

// The lowest b with at most `allowed` impostors above it. Their number grows as b falls.
uint32_t LowestWithin(const std::vector<Counts>& above, int64_t allowed) {
  return std::partition_point(above.begin(), above.end(),
                              [&](const Counts& c) { return c.impostor > allowed; }) -
         above.begin();
}

// False reject rate minus FAR: from -1 to 1 as the threshold rises.
double RejectsOverAccepts(const Counts& accepted, const Counts& total) {
  return 1.0 - static_cast<double>(accepted.genuine) / total.genuine -
         static_cast<double>(accepted.impostor) / total.impostor;
}

// The lowest b at which false rejects are as frequent as false accepts, or more.
uint32_t LowestBalanced(const std::vector<Counts>& above, const Counts& total) {
  return std::partition_point(above.begin(), above.end(),
                              [&](const Counts& c) { return RejectsOverAccepts(c, total) < 0; }) -
         above.begin();
}

// The points at the borders of buckets, which are exact, thinned to `max_points` that are spaced
// evenly in log(FAR).
std::vector<RocPoint> RocOf(const std::vector<Counts>& above, const Counts& total,
                            int64_t max_points) {
  std::vector<RocPoint> roc;
  const double log_lowest = -std::log(static_cast<double>(total.impostor));
  for (int64_t i = 0; i < max_points; ++i) {
    const double target =
        i == max_points - 1 ? 1.0 : std::exp(log_lowest * (1.0 - i / (max_points - 1.0)));
    uint32_t upper = LowestWithin(above, AllowedAccepts(target, total.impostor));
    // Skips empty buckets, whose borders need not be scores, up to the lowest accepted score.
    while (upper + 1 < kBuckets && above[upper + 1].impostor == above[upper].impostor &&
           above[upper + 1].genuine == above[upper].genuine) {
      ++upper;
    }
    const RocPoint point = {.threshold = ScoreOf((upper << 16) | 0xffff),
                            .far = static_cast<double>(above[upper].impostor) / total.impostor,
                            .tar = static_cast<double>(above[upper].genuine) / total.genuine};
    if (roc.empty() || point.far != roc.back().far) roc.push_back(point);
  }
  return roc;
}

absl::Status CheckSide(const std::string& what, const LabeledFeatures& side) {
  if (side.features.rows() != static_cast<int64_t>(side.labels.size())) {
    return absl::InvalidArgumentError(absl::StrCat("verification got ", side.labels.size(),
                                                   " labels for ", side.features.rows(), " ", what,
                                                   " features"));
  }
  return CheckFinite(absl::StrCat(what, " feature"), side.features);
}

}  // namespace

absl::StatusOr<VerificationResult> EvaluateVerification(const LabeledFeatures& ids,
                                                        const LabeledFeatures& spots,
                                                        const VerificationOptions& options,
                                                        ThreadPool& pool) {
  PROTOPAGE_RETURN_IF_ERROR(CheckSide("id", ids));
  PROTOPAGE_RETURN_IF_ERROR(CheckSide("spot", spots));
  if (ids.features.cols() != spots.features.cols()) {
    return absl::InvalidArgumentError(absl::StrCat("id features have ", ids.features.cols(),
                                                   " columns, but spot features have ",
                                                   spots.features.cols()));
  }
  for (const double far : options.fars) {
    if (!(far > 0 && far < 1)) {
      return absl::InvalidArgumentError(absl::StrCat("FAR ", far, " is outside (0, 1)"));
    }
  }
  if (options.roc_points < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("roc_points is ", options.roc_points, "; it must be at least 2"));
  }

  PairCounter counter(ids, spots, pool);
  const Histogram upper_counts = counter.CountUpper();
  const std::vector<Counts> above_upper = CountsAbove(upper_counts, {});
  Counts total = above_upper[0];
  total += upper_counts[0];
  if (total.genuine == 0 || total.impostor == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "verification needs genuine and impostor pairs; ", ids.labels.size(), " ids and ",
        spots.labels.size(), " spots give ", total.genuine, " and ", total.impostor));
  }

  // Each threshold lies in a bucket; the second pass looks into these buckets.
  std::vector<uint32_t> uppers;
  for (const double far : options.fars) {
    uppers.push_back(LowestWithin(above_upper, AllowedAccepts(far, total.impostor)));
  }
  uppers.push_back(LowestBalanced(above_upper, total));
  std::vector<uint32_t> distinct = uppers;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const std::vector<Histogram> lower_counts = counter.CountLower(distinct);
  const auto histogram_of = [&](uint32_t upper) -> const Histogram& {
    return lower_counts[std::lower_bound(distinct.begin(), distinct.end(), upper) -
                        distinct.begin()];
  };

  VerificationResult result;
  result.genuine_pairs = total.genuine;
  result.impostor_pairs = total.impostor;
  for (size_t i = 0; i < options.fars.size(); ++i) {
    const std::vector<Counts> above = CountsAbove(histogram_of(uppers[i]), above_upper[uppers[i]]);
    const uint32_t lower = LowestWithin(above, AllowedAccepts(options.fars[i], total.impostor));
    const Counts accepted = above[lower];
    result.at_far.push_back({.target_far = options.fars[i],
                             .threshold = ScoreOf((uppers[i] << 16) | lower),
                             .false_accepts = accepted.impostor,
                             .true_accepts = accepted.genuine,
                             .far = static_cast<double>(accepted.impostor) / total.impostor,
                             .tar = static_cast<double>(accepted.genuine) / total.genuine,
                             .tar_interval = WilsonInterval(accepted.genuine, total.genuine),
                             .few_false_accepts = accepted.impostor < 10});
  }

  // The rates cross between two neighbouring keys; takes the one where they are nearer.
  const uint32_t upper = uppers.back();
  const std::vector<Counts> above = CountsAbove(histogram_of(upper), above_upper[upper]);
  const uint32_t lower = LowestBalanced(above, total);
  uint32_t key = (upper << 16) | lower;
  Counts accepted = above[lower];
  Counts accepted_below = accepted;
  accepted_below += histogram_of(upper)[lower];
  if (std::abs(RejectsOverAccepts(accepted_below, total)) <
      std::abs(RejectsOverAccepts(accepted, total))) {
    accepted = accepted_below;
    --key;
  }
  const double false_rejects = 1.0 - static_cast<double>(accepted.genuine) / total.genuine;
  result.equal_error_rate =
      (false_rejects + static_cast<double>(accepted.impostor) / total.impostor) / 2;
  result.equal_error_threshold = ScoreOf(key);
  result.roc = RocOf(above_upper, total, options.roc_points);
  return result;
}

}  // namespace protopage
