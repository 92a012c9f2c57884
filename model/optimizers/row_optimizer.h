// RowOptimizer: updates prototype rows, which are unit vectors, with state that belongs to
// the class.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto optimizer, RowOptimizer::Create({}, backend));
//   // `state` [K, optimizer->StateFloats(D)] is gathered with the rows and scattered with them.
//   PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(learning_rate, rows, state, away, d_rows));
//
// momentum  a row [D] of velocity a class. A row that was away for a steps first catches up:
//             v <- mu^a v;  v <- v - (v.w) w
//           then, with g <- g - (g.w) w:
//             v <- mu v + g;  w <- w - lr v;  w <- w / |w|;  v <- v - (v.w) w
// adagrad   one scalar h a class:
//             h <- h + mean_d(g^2);  w <- w - lr g / (sqrt(h) + epsilon);  w <- w / |w|
// A row that is away does not move. Weight decay does not apply to unit rows. New state is all
// zeros.
//
// Not thread-safe. The backend must outlive the optimizer.
#ifndef PROTOPAGE_MODEL_OPTIMIZERS_ROW_OPTIMIZER_H_
#define PROTOPAGE_MODEL_OPTIMIZERS_ROW_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/config_fields.h"
#include "protopage/model/backend.h"
#include "protopage/model/scratch.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct RowOptimizerConfig {
  std::string name = "momentum";  // A name of the table above.
  double learning_rate = 0.02;
  // Whether the stage's schedule applies to it. Rows of rarely drawn classes need it to the end:
  // the net has moved on since they were last updated.
  bool scheduled = true;
  double momentum = 0.9;  // momentum
  double epsilon = 1e-7;  // adagrad

  void Fields(ConfigVisitor& v);
};

class RowOptimizer {
 public:
  // Errors: InvalidArgument (config).
  static absl::StatusOr<std::unique_ptr<RowOptimizer>> Create(const RowOptimizerConfig& config,
                                                              Backend* backend);

  // The floats of state of a class: dim for momentum, 1 for adagrad.
  int64_t StateFloats(int64_t dim) const;

  // Updates rows [K, D], of unit length, and state [K, StateFloats(D)] in place; d_rows [K, D] is
  // scratch; all are on the device. away[k], on the host, counts the steps of the run since the
  // last update of row k, without this one: step - last_step - 1, or 0 for a row that was never
  // updated. A row whose gradient and state are zero keeps its bits. Errors: InvalidArgument
  // (shapes, or a negative away with its position).
  absl::Status Update(double learning_rate, const Tensor& rows, const Tensor& state,
                      absl::Span<const int32_t> away, const Tensor& d_rows);

  const RowOptimizerConfig& config() const { return config_; }
  // The names that RowOptimizerConfig::name may have.
  static std::vector<std::string> Names();

 private:
  struct Kind;
  static const Kind kKinds[];
  RowOptimizer(const RowOptimizerConfig& config, const Kind& kind, Backend* backend)
      : config_(config), kind_(kind), backend_(backend) {}
  absl::Status UpdateMomentum(float learning_rate, const Tensor& rows, const Tensor& state,
                              absl::Span<const int32_t> away, const Tensor& d_rows);
  absl::Status UpdateAdagrad(float learning_rate, const Tensor& rows, const Tensor& state,
                             absl::Span<const int32_t> away, const Tensor& d_rows);

  RowOptimizerConfig config_;
  const Kind& kind_;
  Backend* backend_;
  ScratchBuffer away_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OPTIMIZERS_ROW_OPTIMIZER_H_
