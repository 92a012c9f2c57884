#include "protopage/model/testing/every_operation.h"

#include <utility>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/float_dtype.h"
#include "protopage/model/testing/test_windows.h"

namespace protopage {
namespace {

// Makes the inputs of operations, from a fixed sequence of random numbers, and keeps their outputs.
class OperationRun {
 public:
  explicit OperationRun(Backend& backend) : backend_(backend) {}

  Backend& backend() { return backend_; }
  absl::StatusOr<Tensor> Zeros(const Shape& shape, DType dtype = DType::kFloat32) {
    return backend_.Allocate(dtype, shape);
  }
  absl::StatusOr<Tensor> Random(const Shape& shape, float low = -1.0f, float high = 1.0f) {
    PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, Zeros(shape));
    PROTOPAGE_RETURN_IF_ERROR(Fill(x, low, high));
    return x;
  }
  // Feature maps.
  absl::StatusOr<Tensor> Map(const Shape& shape) {
    return Zeros(shape, backend_.activation_dtype());
  }
  absl::StatusOr<Tensor> RandomMap(const Shape& shape) {
    PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, Map(shape));
    PROTOPAGE_RETURN_IF_ERROR(Fill(x, -1.0f, 1.0f));
    return x;
  }
  absl::Status Keep(const std::string& name, const Tensor& x) {
    outputs_.push_back({name, std::vector<uint8_t>(x.bytes())});
    return backend_.CopyToHost(x, outputs_.back().bytes.data());
  }
  std::vector<OperationOutput> TakeOutputs() { return std::move(outputs_); }

 private:
  absl::Status Fill(const Tensor& x, float low, float high) {
    return SetFloats(backend_, RandomFloats(x.num_elements(), stream_++, low, high), x);
  }

  Backend& backend_;
  uint64_t stream_ = 1000;
  std::vector<OperationOutput> outputs_;
};

absl::Status Convolutions(OperationRun& run) {
  const std::vector<Window2d> windows = {
      MakeWindow(37, 10, 9, 3, 32, 3, 3, 1, 1, true),
      MakeWindow(21, 8, 8, 32, 40, 3, 3, 1, 1, false),
      MakeWindow(37, 4, 4, 64, 144, 3, 3, 1, 1, false),
      MakeWindow(5, 6, 6, 70, 128, 3, 3, 2, 2, true),
  };
  for (const Window2d& w : windows) {
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, run.RandomMap(InShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor k, run.Random(KernelShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor bias, run.Random({w.out_c}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, run.Map(OutShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_y, run.RandomMap(OutShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, run.Map(InShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w, run.Zeros(KernelShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_bias, run.Zeros({w.out_c}));
    PROTOPAGE_RETURN_IF_ERROR(run.backend().Conv2dForward(w, x, k, bias, true, y));
    PROTOPAGE_RETURN_IF_ERROR(
        run.backend().Conv2dBackward(w, x, k, y, true, d_y, d_x, d_w, d_bias));
    PROTOPAGE_RETURN_IF_ERROR(run.Keep("conv y " + Describe(w), y));
    PROTOPAGE_RETURN_IF_ERROR(run.Keep("conv d_x " + Describe(w), d_x));
    PROTOPAGE_RETURN_IF_ERROR(run.Keep("conv d_w " + Describe(w), d_w));
    PROTOPAGE_RETURN_IF_ERROR(run.Keep("conv d_bias " + Describe(w), d_bias));
  }
  return absl::OkStatus();
}

absl::Status Pooling(OperationRun& run) {
  const Window2d pool = MakeWindow(7, 9, 9, 33, 33, 3, 3, 2, 2, true);
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, run.RandomMap(InShape(pool)));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, run.Map(OutShape(pool)));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor argmax, run.Zeros(OutShape(pool), DType::kInt32));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, run.Map(InShape(pool)));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor average, run.Zeros({pool.batch, pool.in_c}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().MaxPool2dForward(pool, x, y, argmax));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().MaxPool2dBackward(pool, y, argmax, d_x));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().GlobalAveragePoolForward(x, average));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("max pool y", y));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("max pool argmax", argmax));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("max pool d_x", d_x));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("average pool", average));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().GlobalAveragePoolBackward(average, d_x));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("average pool d_x", d_x));
  return absl::OkStatus();
}

absl::Status Elementwise(OperationRun& run) {
  const int64_t n = 100003;
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, run.RandomMap({n}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, run.RandomMap({n}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor scaled, run.Zeros({n}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().Dropout(0.25f, DropoutKey{5, 6}, x, x));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().Axpy(0.3f, x, y));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().Add(x, y, y));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().ReluForward(y, y));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().ReluBackward(y, x, x));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().Copy(x, scaled));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().Scale(1.7f, scaled));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("elementwise x", scaled));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("elementwise y", y));
  return absl::OkStatus();
}

absl::Status BatchNormAndBias(OperationRun& run) {
  const Shape shape = {5000, 24}, columns = {24};
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, run.RandomMap(shape));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, run.Map(shape));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_y, run.RandomMap(shape));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, run.Map(shape));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor sum, run.Random(shape));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor gamma, run.Random(columns, 0.5f, 2.0f));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor beta, run.Random(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor mean, run.Zeros(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor var, run.Zeros(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor saved_mean, run.Zeros(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor saved_inv_std, run.Zeros(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_gamma, run.Zeros(columns));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_beta, run.Zeros(columns));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().BatchNormTrain(x, gamma, beta, 1e-3f, 0.99f, true, mean,
                                                         var, saved_mean, saved_inv_std, y));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().BatchNormBackward(x, gamma, saved_mean, saved_inv_std, y,
                                                            true, d_y, d_x, d_gamma, d_beta));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("batch norm y", y));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("batch norm var", var));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("batch norm d_x", d_x));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("batch norm d_gamma", d_gamma));
  PROTOPAGE_RETURN_IF_ERROR(
      run.backend().BatchNormInfer(x, gamma, beta, 1e-3f, false, mean, var, y));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("batch norm inferred", y));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().BiasAdd(sum, beta, sum));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().BiasBackward(sum, d_beta));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("bias y", sum));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("bias d_bias", d_beta));
  return absl::OkStatus();
}

absl::Status Losses(OperationRun& run) {
  const int64_t b = 200, d = 130, k = 150;
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor features, run.Random({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor rows, run.Random({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f, run.Zeros({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w, run.Zeros({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f_norms, run.Zeros({b}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w_norms, run.Zeros({k}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor cosines, run.Zeros({b, k}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor slots, run.Zeros({b}, DType::kInt32));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor losses, run.Zeros({b}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_cosines, run.Zeros({b, k}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor predicted, run.Zeros({b}, DType::kInt32));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_f, run.Zeros({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w, run.Zeros({k, d}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().L2NormalizeRows(features, f, f_norms));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().L2NormalizeRows(rows, w, w_norms));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().MatMul(f, false, w, true, 1.0f, 0.0f, cosines));
  PROTOPAGE_RETURN_IF_ERROR(
      run.backend().MarginSoftmax({}, cosines, slots, 1.0f / b, losses, d_cosines, predicted));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().MatMul(d_cosines, false, w, false, 1.0f, 0.0f, d_f));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().MatMul(d_cosines, true, f, false, 1.0f, 0.0f, d_w));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_features, run.Zeros({b, d}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().L2NormalizeRowsBackward(f, f_norms, d_f, d_features));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("losses", losses));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("d_cosines", d_cosines));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("predicted", predicted));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("d_features", d_features));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("d_rows", d_w));
  return absl::OkStatus();
}

absl::Status Optimizers(OperationRun& run) {
  const int64_t b = 200, d = 130, k = 150;
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor rows, run.Random({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w, run.Zeros({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w_norms, run.Zeros({k}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w, run.Random({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor velocity, run.Zeros({k, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor away, run.Zeros({k}, DType::kInt32));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor accumulator, run.Zeros({k}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().L2NormalizeRows(rows, w, w_norms));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().RowMomentumUpdate({}, w, velocity, away, d_w));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("rows", w));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("velocity", velocity));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().RowAdagradUpdate({}, w, accumulator, d_w));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("adagrad rows", w));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("adagrad accumulator", accumulator));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor features, run.Random({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_features, run.Random({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor first_moment, run.Random({b, d}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor second_moment, run.Random({b, d}, 0.1f, 1.0f));
  const std::vector<ParamUpdate> updates = {
      {features, d_features, first_moment, second_moment, /*decay=*/true}};
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor norm, run.Zeros({1}));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().ClipNorm({d_features, first_moment}, 0.1f, norm));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("norm", norm));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("clipped", first_moment));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().AdamUpdate({}, updates));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("adam", features));
  PROTOPAGE_RETURN_IF_ERROR(run.backend().SgdUpdate({}, updates));
  PROTOPAGE_RETURN_IF_ERROR(run.Keep("sgd", features));
  return absl::OkStatus();
}

struct Operations {
  const char* name;
  absl::Status (*run)(OperationRun& run);
};
constexpr Operations kOperations[] = {
    {"convolutions", Convolutions},
    {"pooling", Pooling},
    {"elementwise", Elementwise},
    {"batch norm and bias", BatchNormAndBias},
    {"losses", Losses},
    {"optimizers", Optimizers},
};

}  // namespace

absl::StatusOr<std::vector<OperationOutput>> RunEveryOperation(Backend& backend) {
  OperationRun run(backend);
  for (const Operations& operations : kOperations) {
    PROTOPAGE_RETURN_IF_ERROR(WithContext(operations.run(run), operations.name));
  }
  return run.TakeOutputs();
}

}  // namespace protopage
