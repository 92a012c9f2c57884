// RowCodec: compresses rows to codes of a fixed size, and scores codes against queries.
//
//   SQ8  D int8 and a float scale, the largest absolute value over 127: D + 4 bytes, a cosine of
//        .9999 to the row. Scored by integer products.
//   PQ   the row less its list's centroid, cut in M parts, each replaced by the nearest of 256
//        trained vectors: M bytes (Jegou et al., "Product Quantization for Nearest Neighbor
//        Search", 2011). Scored by a table of M x 256 products, made once for a query.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto codec, RowCodec::TrainPq(residuals, 128, seed, &pool));
//   codec->Encode(row, centroid, code);
//   const RowCodec::Query query = codec->Prepare(q);
//   codec->Score(query, dot(q, centroid), codes, ids, n, scores);  // codes of rows ids[i]
//
// Scores have the same bits whatever else is in a call.
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
  // What scoring needs to know of a query.
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
  // Of what codebook() gave: [parts, D / parts, 256].
  static std::unique_ptr<RowCodec> MakePq(int64_t dim, int64_t parts, std::vector<float> codebook);

  virtual int64_t code_bytes() const = 0;
  virtual int64_t memory_bytes() const = 0;                // Of tables, without codes.
  virtual const std::vector<float>& codebook() const = 0;  // Empty for SQ8.

  // `row` and `centroid` are [D] and finite; `code` is [code_bytes()].
  virtual void Encode(const float* row, const float* centroid, uint8_t* code) const = 0;
  virtual void Decode(const uint8_t* code, const float* centroid, float* row) const = 0;

  virtual Query Prepare(const float* query) const = 0;
  // scores[i] is about the inner product of the query and the row of `codes` [*, code_bytes()] at
  // ids[i], all of one list whose centroid has the inner product `centroid_score`.
  virtual void Score(const Query& query, float centroid_score, const uint8_t* codes,
                     const int32_t* ids, int64_t n, float* scores) const = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_ROW_CODEC_H_
