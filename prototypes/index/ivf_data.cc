#include "protopage/prototypes/index/ivf_data.h"

#include <algorithm>
#include <cmath>

#include "protopage/base/divide_up.h"
#include "protopage/prototypes/index/index_kernels.h"

namespace protopage {
namespace {

// Tasks: rows that are assigned to lists together, and queries.
constexpr int64_t kRowBlock = 64;
constexpr int64_t kQueryBlock = 8;

}  // namespace

void IvfData::ResizeClasses() {
  codes.resize(num_classes * codec->code_bytes());
  list_of.resize(num_classes);
  quality.resize(num_classes);
}

void IvfData::FillLists() {
  std::vector<int64_t> sizes(coarse.num_lists());
  for (const int32_t list : list_of) ++sizes[list];
  lists.assign(coarse.num_lists(), {});
  for (size_t list = 0; list < lists.size(); ++list) lists[list].reserve(sizes[list]);
  for (int64_t id = 0; id < num_classes; ++id) {
    lists[list_of[id]].push_back(static_cast<int32_t>(id));
  }
}

void IvfData::EncodeRows(const float* const* rows, int64_t n, ThreadPool* pool, int32_t* lists_out,
                         uint8_t* codes_out, uint16_t* quality_out) const {
  const int64_t code_bytes = codec->code_bytes();
  pool->ParallelFor(DivideUp(n, kRowBlock), [&](int64_t block) {
    const int64_t first = block * kRowBlock, count = std::min(kRowBlock, n - first);
    std::vector<CoarseLists::Hit> hits(count);
    coarse.Nearest(rows + first, count, 1, hits.data());
    std::vector<float> decoded(dim);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + i;
      lists_out[at] = hits[i].list;
      const float* centroid = coarse.centroid(hits[i].list);
      codec->Encode(rows[at], centroid, codes_out + at * code_bytes);
      codec->Decode(codes_out + at * code_bytes, centroid, decoded.data());
      const float norms = FixedOrderNorm(rows[at], dim) * FixedOrderNorm(decoded.data(), dim);
      const float cosine = norms > 0 ? FixedOrderDot(rows[at], decoded.data(), dim) / norms : 0.0f;
      quality_out[at] = static_cast<uint16_t>(std::clamp(cosine, 0.0f, 1.0f) * 65535.0f);
    }
  });
}

void IvfData::FindCandidates(const RowMatrixXf& queries, int64_t limit, int64_t num_probes,
                             absl::Span<const ClassId> exclude, ThreadPool* pool,
                             std::vector<std::vector<Scored<int32_t>>>* found) const {
  const int64_t n = queries.rows();
  found->assign(n, {});
  pool->ParallelFor(DivideUp(n, kQueryBlock), [&](int64_t block) {
    std::vector<int64_t> open;  // Queries that have not met `limit` rows yet.
    for (int64_t q = block * kQueryBlock; q < std::min(n, (block + 1) * kQueryBlock); ++q) {
      // Infinite scores have no order; such a query finds nothing.
      if (std::isfinite(FixedOrderNorm(&queries(q, 0), dim))) open.push_back(q);
    }
    std::vector<float> scores;
    for (int64_t at = std::min(num_probes, coarse.num_lists()); !open.empty();
         at = std::min(4 * at, coarse.num_lists())) {
      std::vector<const float*> pointers;
      for (const int64_t q : open) pointers.push_back(&queries(q, 0));
      std::vector<CoarseLists::Hit> hits(open.size() * at);
      coarse.Nearest(pointers.data(), open.size(), at, hits.data());
      size_t left = 0;
      for (size_t i = 0; i < open.size(); ++i) {
        const int64_t q = open[i];
        const RowCodec::Query query = codec->Prepare(pointers[i]);
        BestScores<int32_t> best(limit);
        int64_t met = 0;
        for (int64_t p = 0; p < at && hits[i * at + p].list >= 0; ++p) {
          const CoarseLists::Hit& hit = hits[i * at + p];
          const std::vector<int32_t>& list = lists[hit.list];
          const auto size = static_cast<int64_t>(list.size());
          met += size;
          scores.resize(size);
          codec->Score(query, hit.score, codes.data(), list.data(), size, scores.data());
          for (int64_t j = 0; j < size; ++j) {
            if (!exclude.empty() && list[j] == exclude[q]) continue;
            best.Add(scores[j], list[j]);
          }
        }
        if (met <= limit && at < coarse.num_lists()) {
          open[left++] = q;
        } else {
          (*found)[q] = best.Take();
        }
      }
      open.resize(left);
    }
  });
}

}  // namespace protopage
