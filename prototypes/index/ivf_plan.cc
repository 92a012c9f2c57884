#include "protopage/prototypes/index/ivf_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/prototypes/index/coarse_lists.h"
#include "protopage/prototypes/index/index_common.h"

namespace protopage {
namespace {

// K-means gains little from more points.
constexpr int64_t kSampleRowsPerList = 64;
constexpr int64_t kMaxSampleBytes = int64_t{512} << 20;

// Of a class in addition to its code: its list, its quality, and its place in a list (with the
// eighth that a list grows by at a time).
constexpr int64_t kBytesPerClass = 4 + 2 + 4;

}  // namespace

int64_t IvfBytes(int64_t num_classes, int64_t dim, int64_t lists, int64_t code_bytes, bool is_pq) {
  return num_classes * (code_bytes + kBytesPerClass) + CoarseLists::Bytes(lists, dim) +
         lists * kBytesPerList + (is_pq ? (dim + code_bytes) * 256 * 4 : 0);
}

int64_t IvfSampleRows(int64_t num_classes, int64_t dim, int64_t lists, int64_t index_bytes) {
  const int64_t bytes = std::min(kMaxSampleBytes, index_bytes / 4 * 3);
  return std::min({num_classes, std::max(lists * kSampleRowsPerList, 2 * kPqSampleRows),
                   std::max<int64_t>(bytes / (dim * 4), 1)});
}

// The shorter the codes, the more candidates. Of a mixture's 50 nearest (a million classes, 512
// dimensions) codes of 128 bytes find .990 among 2, .998 among 2.5 and all among 4 times as many
// candidates. 8-bit integers find .986 among as many as are asked for; the rest is not worth half a
// row read from disk each.
double CandidateShare(absl::string_view kind, int64_t dim, int64_t code_bytes,
                      const ClassIndexOptions& options) {
  if (options.candidates > 0) return options.candidates > 1 ? options.candidates : 0;
  if (kind == kIvfSq8) return 0;
  return code_bytes * 4 >= dim ? 2.5 : 4.0;
}

int64_t NumCandidates(double share, int64_t num_classes, int64_t k) {
  if (share == 0) return std::min(num_classes, k);
  // Some more, so that small k are not at the mercy of rounding.
  return std::min(num_classes, static_cast<int64_t>(std::ceil(k * share)) + 8);
}

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
  const int64_t most = IvfSampleRows(num_classes, dim, num_classes, options.index_bytes);
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

}  // namespace protopage
