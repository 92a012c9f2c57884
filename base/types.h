// Ids and matrices. The letters of the project: N classes, D embedding size, B images per step, K
// active classes (slots) per step.
#ifndef PROTOPAGE_BASE_TYPES_H_
#define PROTOPAGE_BASE_TYPES_H_

#include <Eigen/Core>
#include <cstdint>

namespace protopage {

// The permanent number of a class, in [0, num_classes). Not reused after the class is dropped.
using ClassId = int64_t;
inline constexpr ClassId kNoClass = -1;

// A row-major matrix: prototypes [K, D], features [B, D].
using RowMatrixXf = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Borrowed row-major matrices, for arguments.
using RowMatrixRef = Eigen::Ref<RowMatrixXf>;
using ConstRowMatrixRef = Eigen::Ref<const RowMatrixXf>;

}  // namespace protopage

#endif  // PROTOPAGE_BASE_TYPES_H_
