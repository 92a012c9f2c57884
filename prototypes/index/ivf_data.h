// The data of an index of kind ivf_sq8 or ivf_pq, and the search among its codes. Private to the
// index.
//
// Codes lie in memory in the order of the classes, and a list is the ascending ids of its classes:
// a row that moves to another list is overwritten in place, and a search prefetches the codes that
// it reads. The candidates of a search are the best by (score descending, id ascending), a set that
// does not depend on the order in which they are met.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_IVF_DATA_H_
#define PROTOPAGE_PROTOTYPES_INDEX_IVF_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "protopage/base/best_scores.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/coarse_lists.h"
#include "protopage/prototypes/index/row_codec.h"

namespace protopage {

struct IvfData {
  int64_t num_classes = 0;  // N
  int64_t dim = 0;          // D
  std::string kind;         // "ivf_sq8" or "ivf_pq"
  int64_t probes = 0;       // Lists that a search scans.
  // Of a search by rows among `recall_k` neighbours, measured when the index was built.
  double recall = 0;
  int64_t recall_k = 0;

  CoarseLists coarse;
  std::unique_ptr<RowCodec> codec;

  // For each class:
  std::vector<uint8_t> codes;    // [N, codec->code_bytes()]
  std::vector<int32_t> list_of;  // [N]
  // [N]: the cosine of the decoded copy to its row, times 65535, rounded down.
  std::vector<uint16_t> quality;

  // [coarse.num_lists()]: the ids of each list, ascending; list_of, inverted.
  std::vector<std::vector<int32_t>> lists;

  const uint8_t* Code(int64_t id) const { return codes.data() + id * codec->code_bytes(); }
  uint8_t* Code(int64_t id) { return codes.data() + id * codec->code_bytes(); }

  // Fills `row` [D] with the decoded copy of class `id`.
  void Decode(int64_t id, float* row) const {
    codec->Decode(Code(id), coarse.centroid(list_of[id]), row);
  }

  // Resizes the members that have an entry for each class.
  void ResizeClasses();

  // Fills `lists` by list_of.
  void FillLists();

  // Computes the list, code and quality of each of n rows, in tasks on the pool.
  void EncodeRows(const float* const* rows, int64_t n, ThreadPool* pool, int32_t* lists_out,
                  uint8_t* codes_out, uint16_t* quality_out) const;

  // found[q]: the best `limit` candidates of each query [n, D] by the scores of their codes, in no
  // particular order. Scans the `num_probes` nearest lists, and more where these hold too few rows.
  // `exclude` is empty or [n].
  void FindCandidates(const RowMatrixXf& queries, int64_t limit, int64_t num_probes,
                      absl::Span<const ClassId> exclude, ThreadPool* pool,
                      std::vector<std::vector<Scored<int32_t>>>* found) const;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_DATA_H_
