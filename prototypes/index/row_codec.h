// RowCodec: compresses rows to codes of a fixed size, and scores codes against queries.
//
// SQ8: D int8 and a float scale, which is the largest absolute value over 127. A code takes D + 4
// bytes and has a cosine of .9999 to its row. Scores are integer products.
//
// PQ: the row minus its list's centroid, divided into M parts. Each part is replaced by the nearest
// of 256 trained vectors: M bytes (Jegou et al., "Product Quantization for Nearest Neighbor
// Search", 2011). Scores come from a table of M x 256 products, which is made once per query.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto codec,
//                              RowCodec::TrainPq(residuals, /*parts=*/128, seed, &pool));
//   std::vector<uint8_t> code(codec->code_bytes());
//   codec->Encode(row, centroid, code.data());
//   ...
//   const RowCodec::Query prepared = codec->Prepare(query);
//   const float centroid_score = FixedOrderDot(query, centroid, dim);
//   codec->Score(prepared, centroid_score, codes, ids, n, scores);  // codes of the rows ids[i]
//
// The bits of a score do not depend on what else is in the call.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_ROW_CODEC_H_
#define PROTOPAGE_PROTOTYPES_INDEX_ROW_CODEC_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

class RowCodec {
 public:
  // A query, prepared for Score.
  struct Query {
    std::vector<int16_t> integers;  // SQ8
    float scale = 0;                // SQ8: the query is integers * scale.
    std::vector<float> table;       // PQ: [M, 256]
  };

  virtual ~RowCodec() = default;

  static std::unique_ptr<RowCodec> MakeSq8(int64_t dim);
  // `residuals` [n, D], n >= 1; `parts` must divide D. Errors: InvalidArgument, Internal.
  static absl::StatusOr<std::unique_ptr<RowCodec>> TrainPq(const RowMatrixXf& residuals,
                                                           int64_t parts, uint64_t seed,
                                                           ThreadPool* pool);
  // `codebook` [parts, D / parts, 256] is what codebook() of a trained codec gave.
  static std::unique_ptr<RowCodec> MakePq(int64_t dim, int64_t parts, std::vector<float> codebook);

  virtual int64_t code_bytes() const = 0;
  virtual int64_t memory_bytes() const = 0;                // Of tables, without codes.
  virtual const std::vector<float>& codebook() const = 0;  // Empty for SQ8.

  // `row` and `centroid` are [D] and finite; `code` is [code_bytes()].
  virtual void Encode(const float* row, const float* centroid, uint8_t* code) const = 0;
  virtual void Decode(const uint8_t* code, const float* centroid, float* row) const = 0;

  virtual Query Prepare(const float* query) const = 0;
  // scores[i]: approximately the inner product of the query and the row whose code is at ids[i] of
  // `codes` [*, code_bytes()]. All rows are of one list; `centroid_score` is the inner product of
  // the query and its centroid.
  virtual void Score(const Query& query, float centroid_score, const uint8_t* codes,
                     const int32_t* ids, int64_t n, float* scores) const = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_ROW_CODEC_H_
