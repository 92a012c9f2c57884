#include "protopage/prototypes/index/row_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/index/kmeans.h"

namespace protopage {
namespace {

// The codes of a list are scattered in memory; they are prefetched this many rows ahead.
constexpr int64_t kAhead = 6;

void PrefetchCode(const uint8_t* code, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(code + i);
}

class Sq8Codec : public RowCodec {
 public:
  explicit Sq8Codec(int64_t dim) : dim_(dim) {
    // The sum of D products of a number up to 127 and one up to query_max_ stays below 2^31. At
    // most 13 bits: their error is negligible against that of the rows' 8 bits.
    const int64_t room = std::numeric_limits<int32_t>::max() / (127 * dim) - 1;
    query_max_ = static_cast<float>(std::clamp<int64_t>(room, 1, 8191));
  }

  int64_t code_bytes() const override { return dim_ + 4; }
  int64_t memory_bytes() const override { return 0; }
  const std::vector<float>& codebook() const override { return codebook_; }

  void Encode(const float* row, const float*, uint8_t* code) const override {
    float largest = 0;
    for (int64_t i = 0; i < dim_; ++i) largest = std::max(largest, std::fabs(row[i]));
    const float scale = largest / 127;
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int64_t i = 0; i < dim_; ++i) {
      const float x = std::clamp(std::nearbyint(row[i] * inverse), -127.0f, 127.0f);
      code[i] = static_cast<uint8_t>(static_cast<int8_t>(x));
    }
    std::memcpy(code + dim_, &scale, 4);
  }

  void Decode(const uint8_t* code, const float*, float* row) const override {
    const float scale = Scale(code);
    for (int64_t i = 0; i < dim_; ++i) row[i] = static_cast<int8_t>(code[i]) * scale;
  }

  Query Prepare(const float* query) const override {
    Query prepared;
    float largest = 0;
    for (int64_t i = 0; i < dim_; ++i) largest = std::max(largest, std::fabs(query[i]));
    prepared.scale = largest / query_max_;
    const float inverse = prepared.scale > 0 ? 1 / prepared.scale : 0;
    prepared.integers.resize(dim_);
    for (int64_t i = 0; i < dim_; ++i) {
      prepared.integers[i] = static_cast<int16_t>(
          std::clamp(std::nearbyint(query[i] * inverse), -query_max_, query_max_));
    }
    return prepared;
  }

  void Score(const Query& query, float, const uint8_t* codes, const int32_t* ids, int64_t n,
             float* scores) const override {
    const int64_t bytes = code_bytes();
    for (int64_t i = 0; i < n; ++i) {
      if (i + kAhead < n) PrefetchCode(codes + ids[i + kAhead] * bytes, bytes);
      const uint8_t* code = codes + ids[i] * bytes;
      const int32_t dot =
          IntegerDot(reinterpret_cast<const int8_t*>(code), query.integers.data(), dim_);
      scores[i] = static_cast<float>(dot) * (Scale(code) * query.scale);
    }
  }

 private:
  float Scale(const uint8_t* code) const {
    float scale;
    std::memcpy(&scale, code + dim_, 4);
    return scale;
  }

  const int64_t dim_;
  float query_max_;
  const std::vector<float> codebook_;
};

class PqCodec : public RowCodec {
 public:
  PqCodec(int64_t dim, int64_t parts, std::vector<float> codebook)
      : parts_(parts), part_dim_(dim / parts), codebook_(std::move(codebook)) {
    // The vector c nearest to x is the one with the largest x.c - |c|^2 / 2.
    start_.assign(parts * 256, 0.0f);
    for (int64_t m = 0; m < parts; ++m) {
      for (int64_t i = 0; i < part_dim_; ++i) {
        for (int64_t j = 0; j < 256; ++j) {
          const float c = codebook_[(m * part_dim_ + i) * 256 + j];
          start_[m * 256 + j] -= 0.5f * c * c;
        }
      }
    }
  }

  int64_t code_bytes() const override { return parts_; }
  int64_t memory_bytes() const override {
    return static_cast<int64_t>((codebook_.size() + start_.size()) * sizeof(float));
  }
  const std::vector<float>& codebook() const override { return codebook_; }

  void Encode(const float* row, const float* centroid, uint8_t* code) const override {
    std::vector<float> residual(part_dim_);
    float scores[256];
    for (int64_t m = 0; m < parts_; ++m) {
      for (int64_t i = 0; i < part_dim_; ++i) {
        residual[i] = row[m * part_dim_ + i] - centroid[m * part_dim_ + i];
      }
      Dots256(residual.data(), Part(m), part_dim_, &start_[m * 256], scores);
      code[m] = static_cast<uint8_t>(ArgMax256(scores));
    }
  }

  void Decode(const uint8_t* code, const float* centroid, float* row) const override {
    for (int64_t m = 0; m < parts_; ++m) {
      for (int64_t i = 0; i < part_dim_; ++i) {
        row[m * part_dim_ + i] = centroid[m * part_dim_ + i] + Part(m)[i * 256 + code[m]];
      }
    }
  }

  Query Prepare(const float* query) const override {
    Query prepared;
    prepared.table.resize(parts_ * 256);
    for (int64_t m = 0; m < parts_; ++m) {
      Dots256(query + m * part_dim_, Part(m), part_dim_, nullptr, &prepared.table[m * 256]);
    }
    return prepared;
  }

  void Score(const Query& query, float centroid_score, const uint8_t* codes, const int32_t* ids,
             int64_t n, float* scores) const override {
    const float* const table = query.table.data();
    for (int64_t i = 0; i < n; ++i) {
      if (i + kAhead < n) PrefetchCode(codes + ids[i + kAhead] * parts_, parts_);
      const uint8_t* code = codes + ids[i] * parts_;
      // Four sums, so that an addition does not wait for the one before.
      float sums[4] = {};
      int64_t m = 0;
      for (; m + 4 <= parts_; m += 4) {
        for (int j = 0; j < 4; ++j) sums[j] += table[(m + j) * 256 + code[m + j]];
      }
      for (; m < parts_; ++m) sums[0] += table[m * 256 + code[m]];
      scores[i] = centroid_score + ((sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
  }

 private:
  const float* Part(int64_t m) const { return codebook_.data() + m * part_dim_ * 256; }

  const int64_t parts_;
  const int64_t part_dim_;
  const std::vector<float> codebook_;  // [M, D / M, 256]
  std::vector<float> start_;           // [M, 256]: -|c|^2 / 2
};

}  // namespace

std::unique_ptr<RowCodec> RowCodec::MakeSq8(int64_t dim) { return std::make_unique<Sq8Codec>(dim); }

std::unique_ptr<RowCodec> RowCodec::MakePq(int64_t dim, int64_t parts,
                                           std::vector<float> codebook) {
  return std::make_unique<PqCodec>(dim, parts, std::move(codebook));
}

absl::StatusOr<std::unique_ptr<RowCodec>> RowCodec::TrainPq(const RowMatrixXf& residuals,
                                                            int64_t parts, uint64_t seed,
                                                            ThreadPool* pool) {
  const int64_t n = residuals.rows(), dim = residuals.cols();
  if (parts < 1 || dim % parts != 0 || n < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a code of ", parts, " parts for ", n,
                                                   " rows of dim ", dim,
                                                   "; the parts must divide the dim"));
  }
  const int64_t part_dim = dim / parts;
  // With fewer than 256 rows the remaining vectors repeat the first, which ArgMax256 prefers.
  const int64_t k = std::min<int64_t>(256, n);
  std::vector<float> codebook(dim * 256);
  std::vector<absl::Status> errors(parts);
  pool->ParallelFor(parts, [&](int64_t m) {
    const RowMatrixXf points = residuals.middleCols(m * part_dim, part_dim);
    KMeansOptions options;
    options.iterations = 8;
    options.seed = static_cast<int>((seed + static_cast<uint64_t>(m)) % 1000000007);
    const absl::StatusOr<RowMatrixXf> centroids = KMeans(points, k, options);
    if (!centroids.ok()) {
      errors[m] = centroids.status();
      return;
    }
    for (int64_t i = 0; i < part_dim; ++i) {
      for (int64_t j = 0; j < 256; ++j) {
        codebook[(m * part_dim + i) * 256 + j] = (*centroids)(j < k ? j : 0, i);
      }
    }
  });
  for (const absl::Status& error : errors) PROTOPAGE_RETURN_IF_ERROR(error);
  return MakePq(dim, parts, std::move(codebook));
}

}  // namespace protopage
