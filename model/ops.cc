#include "protopage/model/ops.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/philox.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

absl::Status ShapeError(const Op& op, absl::Span<const Shape> inputs, absl::string_view expected) {
  std::string found;
  for (const Shape& shape : inputs) absl::StrAppend(&found, " ", shape.ToString());
  return absl::InvalidArgumentError(absl::StrCat(op.type(), " ", op.name(), ": input is", found,
                                                 " without the batch, must be ", expected));
}

// The rows of an activation: [B, ...] as [B, elements of an image].
Tensor AsMatrix(const Tensor& x) {
  const int64_t batch = x.shape()[0];
  return x.Reshaped({batch, x.num_elements() / batch});
}

// One dimension of a window: out = floor((in + padding - kernel) / stride) + 1.
struct Extent {
  int64_t out;
  int64_t pad_before;
};
Extent ExtentOf(int64_t in, int64_t kernel, int64_t stride, Padding padding) {
  if (padding == Padding::kValid) return {in < kernel ? 0 : (in - kernel) / stride + 1, 0};
  const int64_t out = DivideUp(in, stride);
  const int64_t pad = std::max<int64_t>((out - 1) * stride + kernel - in, 0);
  return {out, pad / 2};
}

Window2d WindowOf(const Shape& in, int64_t out_c, int64_t kernel, int64_t stride, Padding padding) {
  const Extent h = ExtentOf(in[0], kernel, stride, padding);
  const Extent w = ExtentOf(in[1], kernel, stride, padding);
  Window2d window;
  window.in_h = in[0];
  window.in_w = in[1];
  window.in_c = in[2];
  window.out_h = h.out;
  window.out_w = w.out;
  window.out_c = out_c;
  window.kernel_h = window.kernel_w = kernel;
  window.stride_h = window.stride_w = stride;
  window.pad_top = h.pad_before;
  window.pad_left = w.pad_before;
  return window;
}

// y[b, i, j, :] = bias + sum_{kh, kw} x[b, i s + kh - pad, j s + kw - pad, :] kernel[kh, kw, :, :],
// zero outside of x; with relu, max(0, that).
class Conv2dOp : public Op {
 public:
  Conv2dOp(std::string name, const Conv2dOptions& options)
      : Op(std::move(name)), options_(options) {}
  absl::string_view type() const override { return "Conv2D"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                              ParameterFactory& parameters) override {
    if (inputs.size() != 1 || inputs[0].rank() != 3) {
      return ShapeError(*this, inputs, "one [H, W, C]");
    }
    const int64_t k = options_.kernel;
    const int64_t in_c = inputs[0][2];
    window_ = WindowOf(inputs[0], options_.filters, k, options_.stride, options_.padding);
    if (window_.out_h < 1 || window_.out_w < 1) {
      return ShapeError(*this, inputs, absl::StrCat("at least ", k, " x ", k));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(kernel_, parameters.Make("kernel", {k, k, in_c, options_.filters},
                                                        Initializer::kGlorotUniform,
                                                        /*trainable=*/true, /*decay=*/true,
                                                        k * k * in_c, k * k * options_.filters));
    if (options_.bias) {
      PROTOPAGE_ASSIGN_OR_RETURN(bias_,
                                 parameters.Make("bias", {options_.filters}, Initializer::kZeros,
                                                 /*trainable=*/true, /*decay=*/false));
    }
    return Shape{window_.out_h, window_.out_w, window_.out_c};
  }
  bool backward_reads_inputs() const override { return true; }
  bool backward_reads_output() const override { return options_.relu; }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->Conv2dForward(WindowFor(t), t.inputs[0], kernel_->value,
                                  bias_ ? bias_->value : Tensor(), options_.relu, t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->Conv2dBackward(WindowFor(t), t.inputs[0], kernel_->value, t.output,
                                   options_.relu, t.d_output, t.d_inputs[0], kernel_->gradient,
                                   bias_ ? bias_->gradient : Tensor());
  }

 private:
  Window2d WindowFor(const OpTensors& t) const {
    Window2d window = window_;
    window.batch = t.inputs[0].shape()[0];
    return window;
  }

  const Conv2dOptions options_;
  Window2d window_;
  Parameter* kernel_ = nullptr;
  Parameter* bias_ = nullptr;
};

// y = gamma (x - mean) / sqrt(variance + epsilon) + beta over all but the last dimension; Ioffe and
// Szegedy, arXiv 1502.03167. Batch statistics in training, moving ones otherwise.
class BatchNormOp : public Op {
 public:
  BatchNormOp(std::string name, const BatchNormOptions& options)
      : Op(std::move(name)), options_(options) {}
  absl::string_view type() const override { return "BatchNormalization"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                              ParameterFactory& parameters) override {
    if (inputs.size() != 1 || inputs[0].rank() < 1)
      return ShapeError(*this, inputs, "one [..., C]");
    const Shape c = {inputs[0][inputs[0].rank() - 1]};
    PROTOPAGE_ASSIGN_OR_RETURN(gamma_, parameters.Make("gamma", c, Initializer::kOnes,
                                                       /*trainable=*/true,
                                                       /*decay=*/false));
    PROTOPAGE_ASSIGN_OR_RETURN(beta_, parameters.Make("beta", c, Initializer::kZeros,
                                                      /*trainable=*/true,
                                                      /*decay=*/false));
    PROTOPAGE_ASSIGN_OR_RETURN(mean_, parameters.Make("moving_mean", c, Initializer::kZeros,
                                                      /*trainable=*/false, /*decay=*/false));
    PROTOPAGE_ASSIGN_OR_RETURN(variance_, parameters.Make("moving_variance", c, Initializer::kOnes,
                                                          /*trainable=*/false, /*decay=*/false));
    PROTOPAGE_ASSIGN_OR_RETURN(saved_mean_, parameters.backend()->Allocate(DType::kFloat32, c));
    PROTOPAGE_ASSIGN_OR_RETURN(saved_inv_std_, parameters.backend()->Allocate(DType::kFloat32, c));
    return inputs[0];
  }
  bool backward_reads_inputs() const override { return true; }
  bool backward_reads_output() const override { return options_.relu; }

  absl::Status Forward(Backend* backend, const RunOptions& run, const OpTensors& t) override {
    if (run.training) {
      return backend->BatchNormTrain(t.inputs[0], gamma_->value, beta_->value, options_.epsilon,
                                     options_.momentum, options_.relu, mean_->value,
                                     variance_->value, saved_mean_, saved_inv_std_, t.output);
    }
    return backend->BatchNormInfer(t.inputs[0], gamma_->value, beta_->value, options_.epsilon,
                                   options_.relu, mean_->value, variance_->value, t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->BatchNormBackward(t.inputs[0], gamma_->value, saved_mean_, saved_inv_std_,
                                      t.output, options_.relu, t.d_output, t.d_inputs[0],
                                      gamma_->gradient, beta_->gradient);
  }

 private:
  const BatchNormOptions options_;
  Parameter* gamma_ = nullptr;
  Parameter* beta_ = nullptr;
  Parameter* mean_ = nullptr;
  Parameter* variance_ = nullptr;
  Tensor saved_mean_;     // [C], from Forward to Backward.
  Tensor saved_inv_std_;  // [C]
};

// y = max(0, x); d_x = d_y where y > 0.
class ReluOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "ReLU"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() != 1) return ShapeError(*this, inputs, "one tensor");
    return inputs[0];
  }
  bool backward_reads_output() const override { return true; }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->ReluForward(t.inputs[0], t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->ReluBackward(t.output, t.d_output, t.d_inputs[0]);
  }
};

// y = max over the window; d_x of a window's first maximum += d_y.
class MaxPool2dOp : public Op {
 public:
  MaxPool2dOp(std::string name, const MaxPool2dOptions& options)
      : Op(std::move(name)), options_(options) {}
  absl::string_view type() const override { return "MaxPooling2D"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() != 1 || inputs[0].rank() != 3) {
      return ShapeError(*this, inputs, "one [H, W, C]");
    }
    const int64_t stride = options_.stride > 0 ? options_.stride : options_.size;
    window_ = WindowOf(inputs[0], inputs[0][2], options_.size, stride, options_.padding);
    if (window_.out_h < 1 || window_.out_w < 1) {
      return ShapeError(*this, inputs,
                        absl::StrCat("at least ", options_.size, " x ", options_.size));
    }
    return Shape{window_.out_h, window_.out_w, window_.out_c};
  }
  std::vector<SavedSpec> Saved() const override {
    return {{DType::kInt32, {window_.out_h, window_.out_w, window_.out_c}}};
  }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->MaxPool2dForward(WindowFor(t), t.inputs[0], t.output, t.saved[0]);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->MaxPool2dBackward(WindowFor(t), t.d_output, t.saved[0], t.d_inputs[0]);
  }

 private:
  Window2d WindowFor(const OpTensors& t) const {
    Window2d window = window_;
    window.batch = t.output.shape()[0];
    return window;
  }

  const MaxPool2dOptions options_;
  Window2d window_;
};

// y = x / (1 - rate) where a random number of (op, step, element) is >= rate, else 0; Srivastava et
// al., JMLR 2014, scaled in training (inverted dropout). d_x is the same function of d_y.
class DropoutOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "Dropout"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                              ParameterFactory& parameters) override {
    if (inputs.size() != 1) return ShapeError(*this, inputs, "one tensor");
    const PhiloxBlock block =
        Philox4x32(RandomKey(parameters.seed(), RandomPurpose::kDropout), parameters.position(), 0);
    key_ = (uint64_t{block.word[1]} << 32) | block.word[0];
    return inputs[0];
  }
  bool IsIdentity(const RunOptions& run) const override { return !run.drops(); }

  absl::Status Forward(Backend* backend, const RunOptions& run, const OpTensors& t) override {
    return Map(backend, run, t.inputs[0], t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions& run, const OpTensors& t) override {
    return Map(backend, run, t.d_output, t.d_inputs[0]);
  }

 private:
  absl::Status Map(Backend* backend, const RunOptions& run, const Tensor& x, const Tensor& y) {
    if (!run.drops()) return backend->Copy(x, y);
    return backend->Dropout(run.dropout, {.key = key_, .step = run.step}, x, y);
  }

  uint64_t key_ = 0;
};

// y[c] = mean over H and W of x[:, :, c].
class GlobalAveragePoolOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "GlobalAveragePooling2D"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() != 1 || inputs[0].rank() != 3) {
      return ShapeError(*this, inputs, "one [H, W, C]");
    }
    return Shape{inputs[0][2]};
  }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->GlobalAveragePoolForward(t.inputs[0], t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->GlobalAveragePoolBackward(t.d_output, t.d_inputs[0]);
  }
};

// The same elements in one dimension.
class FlattenOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "Flatten"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() != 1) return ShapeError(*this, inputs, "one tensor");
    return Shape{inputs[0].num_elements()};
  }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->Copy(AsMatrix(t.inputs[0]), t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->Copy(t.d_output, AsMatrix(t.d_inputs[0]));
  }
};

// y = sum of the inputs; every d_x is d_y.
class AddOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "Add"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() < 2) return ShapeError(*this, inputs, "two or more of one shape");
    for (const Shape& shape : inputs) {
      if (shape != inputs[0]) return ShapeError(*this, inputs, "two or more of one shape");
    }
    return inputs[0];
  }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    PROTOPAGE_RETURN_IF_ERROR(backend->Add(t.inputs[0], t.inputs[1], t.output));
    for (size_t i = 2; i < t.inputs.size(); ++i) {
      PROTOPAGE_RETURN_IF_ERROR(backend->Axpy(1.0f, t.inputs[i], t.output));
    }
    return absl::OkStatus();
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    for (const Tensor& d_input : t.d_inputs) {
      if (d_input) PROTOPAGE_RETURN_IF_ERROR(backend->Copy(t.d_output, d_input));
    }
    return absl::OkStatus();
  }
};

// y = x / |x|; d_x = (d_y - (d_y . y) y) / |x|.
class L2NormalizeOp : public Op {
 public:
  using Op::Op;
  absl::string_view type() const override { return "L2Normalize"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs, ParameterFactory&) override {
    if (inputs.size() != 1 || inputs[0].rank() != 1) return ShapeError(*this, inputs, "one [D]");
    return inputs[0];
  }
  std::vector<SavedSpec> Saved() const override { return {{DType::kFloat32, {}}}; }
  bool backward_reads_output() const override { return true; }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->L2NormalizeRows(t.inputs[0], t.output, t.saved[0]);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    return backend->L2NormalizeRowsBackward(t.output, t.saved[0], t.d_output, t.d_inputs[0]);
  }
};

// y = x kernel + bias; d_x = d_y kernel^T, d_kernel = x^T d_y, d_bias = column sums of d_y.
class LinearOp : public Op {
 public:
  LinearOp(std::string name, const LinearOptions& options)
      : Op(std::move(name)), options_(options) {}
  absl::string_view type() const override { return "Dense"; }

  absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                              ParameterFactory& parameters) override {
    if (inputs.size() != 1 || inputs[0].rank() != 1) return ShapeError(*this, inputs, "one [n]");
    const int64_t n = inputs[0][0];
    PROTOPAGE_ASSIGN_OR_RETURN(
        kernel_, parameters.Make("kernel", {n, options_.units}, Initializer::kGlorotUniform,
                                 /*trainable=*/true, /*decay=*/true, n, options_.units));
    if (options_.bias) {
      PROTOPAGE_ASSIGN_OR_RETURN(bias_,
                                 parameters.Make("bias", {options_.units}, Initializer::kZeros,
                                                 /*trainable=*/true, /*decay=*/false));
    }
    return Shape{options_.units};
  }
  bool backward_reads_inputs() const override { return true; }

  absl::Status Forward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    PROTOPAGE_RETURN_IF_ERROR(
        backend->MatMul(t.inputs[0], false, kernel_->value, false, 1.0f, 0.0f, t.output));
    if (!bias_) return absl::OkStatus();
    return backend->BiasAdd(t.output, bias_->value, t.output);
  }
  absl::Status Backward(Backend* backend, const RunOptions&, const OpTensors& t) override {
    PROTOPAGE_RETURN_IF_ERROR(
        backend->MatMul(t.inputs[0], true, t.d_output, false, 1.0f, 0.0f, kernel_->gradient));
    if (bias_) PROTOPAGE_RETURN_IF_ERROR(backend->BiasBackward(t.d_output, bias_->gradient));
    if (!t.d_inputs[0]) return absl::OkStatus();
    return backend->MatMul(t.d_output, false, kernel_->value, true, 1.0f, 0.0f, t.d_inputs[0]);
  }

 private:
  const LinearOptions options_;
  Parameter* kernel_ = nullptr;
  Parameter* bias_ = nullptr;
};

}  // namespace

std::unique_ptr<Op> Conv2d(std::string name, const Conv2dOptions& options) {
  PROTOPAGE_CHECK(options.filters > 0 && options.kernel > 0 && options.stride > 0);
  return std::make_unique<Conv2dOp>(std::move(name), options);
}
std::unique_ptr<Op> BatchNorm(std::string name, const BatchNormOptions& options) {
  return std::make_unique<BatchNormOp>(std::move(name), options);
}
std::unique_ptr<Op> Relu(std::string name) { return std::make_unique<ReluOp>(std::move(name)); }
std::unique_ptr<Op> MaxPool2d(std::string name, const MaxPool2dOptions& options) {
  PROTOPAGE_CHECK(options.size > 0 && options.stride >= 0);
  return std::make_unique<MaxPool2dOp>(std::move(name), options);
}
std::unique_ptr<Op> Dropout(std::string name) {
  return std::make_unique<DropoutOp>(std::move(name));
}
std::unique_ptr<Op> GlobalAveragePool(std::string name) {
  return std::make_unique<GlobalAveragePoolOp>(std::move(name));
}
std::unique_ptr<Op> Flatten(std::string name) {
  return std::make_unique<FlattenOp>(std::move(name));
}
std::unique_ptr<Op> Add(std::string name) { return std::make_unique<AddOp>(std::move(name)); }
std::unique_ptr<Op> L2Normalize(std::string name) {
  return std::make_unique<L2NormalizeOp>(std::move(name));
}
std::unique_ptr<Op> Linear(std::string name, const LinearOptions& options) {
  PROTOPAGE_CHECK(options.units > 0);
  return std::make_unique<LinearOp>(std::move(name), options);
}

}  // namespace protopage
