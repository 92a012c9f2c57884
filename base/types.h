// Ids, matrices and the letters of the project: N classes, D embedding size,
// B images a step, K active classes (slots) a step.
#ifndef PROTOPAGE_BASE_TYPES_H_
#define PROTOPAGE_BASE_TYPES_H_

#include <Eigen/Core>
#include <cstdint>

namespace protopage {

// A class's stable number, in [0, num_classes). Never reused after a drop.
using ClassId = int64_t;
inline constexpr ClassId kNoClass = -1;

// A matrix whose rows are contiguous: prototypes [K, D], features [B, D].
using RowMatrixXf = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Borrowed row-major matrices, for arguments.
using RowMatrixRef = Eigen::Ref<RowMatrixXf>;
using ConstRowMatrixRef = Eigen::Ref<const RowMatrixXf>;

}  // namespace protopage

#endif  // PROTOPAGE_BASE_TYPES_H_
