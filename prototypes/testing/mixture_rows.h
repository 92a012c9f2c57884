// MixtureRows: unit rows with neighbours, for tests and benchmarks of the index. A row is a
// function of (seed, class), so ten million of them need no memory.
//
// Classes belong to families of about 128, and families to groups of 16, both at random:
//   row = normalize(group + 0.8 family + 0.7 own),
// each part a unit normal vector in all D dimensions. The cosine of two rows is about .77 within a
// family, .47 within a group and 0 elsewhere; within a family it varies only by noise of standard
// deviation .23 / sqrt(D). This is harder than trained rows, whose noise has fewer
// dimensions. `own` is the sum of two of 65536 vectors with random signs over sqrt(2).
#ifndef PROTOPAGE_PROTOTYPES_TESTING_MIXTURE_ROWS_H_
#define PROTOPAGE_PROTOTYPES_TESTING_MIXTURE_ROWS_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"
#include "protopage/base/random.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

class MixtureRows {
 public:
  MixtureRows(int64_t num_classes, int64_t dim, uint64_t seed)
      : seed_(seed),
        families_((num_classes + 127) / 128, dim),
        groups_((families_.rows() + 15) / 16, dim),
        noise_(std::min<int64_t>(2 * num_classes, 65536), dim) {
    uint64_t stream = seed << 8;
    for (RowMatrixXf* parts : {&families_, &groups_, &noise_}) {
      for (int64_t i = 0; i < parts->rows(); ++i) {
        InitialPrototype(stream, i, absl::MakeSpan(parts->row(i).data(), dim));
      }
      ++stream;
    }
  }

  // Rows [first, first + out.rows()).
  void Read(ClassId first, RowMatrixRef out) const {
    for (int64_t i = 0; i < out.rows(); ++i) {
      RandomStream random(seed_, RandomPurpose::kTest, first + i);
      const auto family = static_cast<int64_t>(random.Below(families_.rows()));
      RandomStream of_family(seed_ + 1, RandomPurpose::kTest, family);
      const auto group = static_cast<int64_t>(of_family.Below(groups_.rows()));
      const auto a = static_cast<int64_t>(random.Below(noise_.rows()));
      const auto b = static_cast<int64_t>(random.Below(noise_.rows()));
      const float sign_a = random.Below(2) == 0 ? 0.495f : -0.495f;  // .7 / sqrt(2)
      const float sign_b = random.Below(2) == 0 ? 0.495f : -0.495f;
      out.row(i) = groups_.row(group) + 0.8f * families_.row(family) + sign_a * noise_.row(a) +
                   sign_b * noise_.row(b);
      out.row(i).normalize();
    }
  }

 private:
  const uint64_t seed_;
  RowMatrixXf families_;
  RowMatrixXf groups_;
  RowMatrixXf noise_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_MIXTURE_ROWS_H_
