#include "protopage/model/optimizers/row_optimizer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/base/status_macros.h"

namespace protopage {

struct RowOptimizer::Kind {
  const char* name;
  bool state_is_row;  // A class has a row [D] of state; otherwise one float.
  absl::Status (RowOptimizer::*update)(float learning_rate, const Tensor& rows, const Tensor& state,
                                       absl::Span<const int32_t> away, const Tensor& d_rows);
};
const RowOptimizer::Kind RowOptimizer::kKinds[] = {
    {"momentum", /*state_is_row=*/true, &RowOptimizer::UpdateMomentum},
    {"adagrad", /*state_is_row=*/false, &RowOptimizer::UpdateAdagrad},
};

std::vector<std::string> RowOptimizer::Names() { return NamesOf(kKinds); }

void RowOptimizerConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name,
         {.help = "optimizer of the prototype rows", .choices = RowOptimizer::Names()});
  v.Number("learning_rate", &learning_rate,
           {.help = "before the schedule; where a class takes part in a small share of the steps, "
                    "learning_rate / (1 - momentum) of what suits all classes at once",
            .min = 0,
            .max = 100});
  v.Flag("scheduled", &scheduled,
         {.help = "whether the stage's schedule applies to the learning rate of the rows"});
  v.Number("momentum", &momentum, {.help = "momentum", .min = 0, .max = 0.9999});
  v.Number("epsilon", &epsilon, {.help = "adagrad", .min = 1e-12, .max = 1});
}

absl::StatusOr<std::unique_ptr<RowOptimizer>> RowOptimizer::Create(const RowOptimizerConfig& config,
                                                                   Backend* backend) {
  const Kind* const kind = FindNamed(kKinds, config.name);
  if (kind != nullptr) {
    return std::unique_ptr<RowOptimizer>(new RowOptimizer(config, *kind, backend));
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown row optimizer \"", config.name,
                                                 "\", must be one of ",
                                                 absl::StrJoin(Names(), ", ")));
}

int64_t RowOptimizer::StateFloats(int64_t dim) const { return kind_.state_is_row ? dim : 1; }

absl::Status RowOptimizer::Update(double learning_rate, const Tensor& rows, const Tensor& state,
                                  absl::Span<const int32_t> away, const Tensor& d_rows) {
  if (!rows || !state || !d_rows || rows.shape().rank() != 2 || d_rows.shape() != rows.shape() ||
      state.shape() != Shape({rows.shape()[0], StateFloats(rows.shape()[1])})) {
    return absl::InvalidArgumentError(absl::StrCat(
        "row optimizer ", config_.name, ": rows are ", rows.shape().ToString(), ", state is ",
        state.shape().ToString(), ", gradients are ", d_rows.shape().ToString(),
        ", must be [K, D], [K, ", kind_.state_is_row ? "D" : "1", "] and [K, D]"));
  }
  const int64_t count = rows.shape()[0];
  if (static_cast<int64_t>(away.size()) != count) {
    return absl::InvalidArgumentError(
        absl::StrCat("row optimizer: ", away.size(), " values of away for ", count, " rows"));
  }
  for (int64_t k = 0; k < count; ++k) {
    if (away[k] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("row optimizer: away is ", away[k],
                                                     " at position ", k, ", must be 0 or more"));
    }
  }
  return (this->*kind_.update)(static_cast<float>(learning_rate), rows, state, away, d_rows);
}

absl::Status RowOptimizer::UpdateMomentum(float learning_rate, const Tensor& rows,
                                          const Tensor& state, absl::Span<const int32_t> away,
                                          const Tensor& d_rows) {
  const int64_t count = rows.shape()[0];
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor device_away, away_.Get(backend_, DType::kInt32, {count}));
  PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(away.data(), device_away));
  RowMomentumParams params;
  params.learning_rate = learning_rate;
  params.momentum = static_cast<float>(config_.momentum);
  return backend_->RowMomentumUpdate(params, rows, state, device_away, d_rows);
}

absl::Status RowOptimizer::UpdateAdagrad(float learning_rate, const Tensor& rows,
                                         const Tensor& state, absl::Span<const int32_t> /*away*/,
                                         const Tensor& d_rows) {
  RowAdagradParams params;
  params.learning_rate = learning_rate;
  params.epsilon = static_cast<float>(config_.epsilon);
  return backend_->RowAdagradUpdate(params, rows, state.Reshaped({rows.shape()[0]}), d_rows);
}

}  // namespace protopage
