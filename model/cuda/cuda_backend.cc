#include "protopage/model/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/backend_checks.h"
#include "protopage/model/cuda/column_kernels.h"
#include "protopage/model/cuda/cuda_context.h"
#include "protopage/model/cuda/cuda_convolution.h"
#include "protopage/model/cuda/cuda_status.h"
#include "protopage/model/cuda/elementwise_kernels.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/list_kernels.h"
#include "protopage/model/cuda/row_kernels.h"
#include "protopage/model/cuda/window_kernels.h"

namespace protopage {
namespace {

// Adds the name of the operation that found an error.
absl::Status Of(const char* operation, const absl::Status& status) {
  return WithContext(status, operation);
}
absl::Status Of(const char* operation, cudaError_t error) {
  return WithContext(CudaStatus(error), operation);
}

template <typename T>
absl::StatusOr<T> Of(const char* operation, absl::StatusOr<T> result) {
  if (!result.ok()) return Of(operation, result.status());
  return result;
}

// The floats of a tensor that may be absent.
float* FloatsOrNull(const Tensor& x) { return x ? x.f32() : nullptr; }
// The data of a feature map that may be absent.
void* MapOrNull(const Tensor& x) { return x ? x.data<void>() : nullptr; }

DType DTypeOf(NumberFormat format) {
  switch (format) {
    case NumberFormat::kBf16:
      return DType::kBfloat16;
    case NumberFormat::kFp16:
      return DType::kFloat16;
    case NumberFormat::kFloat32:
      break;
  }
  return DType::kFloat32;
}
NumberFormat FormatOf(const Tensor& map) {
  switch (map.dtype()) {
    case DType::kBfloat16:
      return NumberFormat::kBf16;
    case DType::kFloat16:
      return NumberFormat::kFp16;
    default:
      return NumberFormat::kFloat32;
  }
}

template <typename T>
void AppendBytes(const std::vector<T>& values, std::vector<char>* bytes) {
  const char* data = reinterpret_cast<const char*>(values.data());
  bytes->insert(bytes->end(), data, data + values.size() * sizeof(T));
}

// The graph of the operations that Run was called with.
class CudaRecording : public Recording {
 public:
  // Its graph is null until one is recorded. An error: the operations cannot be recorded and are
  // called every time.
  absl::StatusOr<CudaContext::Recorded> recorded = CudaContext::Recorded();
  // CudaContext::memory_epoch() when the operations were last called; -1 before that.
  int64_t memory_epoch = -1;

  absl::Status refusal() const override { return recorded.status(); }
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(std::unique_ptr<CudaContext> context) : context_(std::move(context)) {}

  DeviceType device() const override { return DeviceType::kCuda; }
  Precision precision() const override { return context_->options().precision; }
  DType activation_dtype() const override { return DTypeOf(context_->format()); }
  std::string Description() const override {
    return absl::StrCat("cuda (", context_->gpu_name(), ", ", PrecisionName(precision()), ")");
  }

  // --- Memory ---------------------------------------------------------------------------------

  absl::StatusOr<Tensor> Allocate(DType dtype, const Shape& shape) override {
    const int64_t bytes = shape.num_elements() * BytesOf(dtype);
    PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer,
                               Of("Allocate", context_->memory().Allocate(bytes)));
    if (bytes > 0) {
      PROTOPAGE_RETURN_IF_ERROR(
          Of("Allocate", cudaMemsetAsync(buffer->data(), 0, static_cast<size_t>(bytes), stream())));
    }
    uploads_may_overtake_ = true;
    return Tensor(std::move(buffer), dtype, shape);
  }
  absl::StatusOr<std::shared_ptr<Buffer>> AllocateHost(int64_t bytes) override {
    PROTOPAGE_CHECK(bytes >= 0);
    PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer,
                               Of("AllocateHost", AllocatePinned(bytes)));
    std::memset(buffer->data(), 0, static_cast<size_t>(bytes));
    return buffer;
  }
  int64_t allocated_bytes() const override { return context_->memory().bytes_in_use(); }

  absl::Status CopyToDevice(const void* src, const Tensor& dst) override {
    return Of("CopyToDevice", context_->CopyFromHost(src, dst.data<void>(), dst.bytes()));
  }
  absl::Status CopyToHost(const Tensor& src, void* dst) override {
    if (src.bytes() > 0) {
      PROTOPAGE_RETURN_IF_ERROR(
          Of("CopyToHost", cudaMemcpyAsync(dst, src.data<void>(), static_cast<size_t>(src.bytes()),
                                           cudaMemcpyDeviceToHost, stream())));
    }
    return Of("CopyToHost", context_->Wait());
  }
  absl::Status Copy(const Tensor& src, const Tensor& dst) override {
    PROTOPAGE_CHECK(src.num_elements() == dst.num_elements());
    if (src.bytes() == 0) return absl::OkStatus();
    if (src.dtype() != dst.dtype()) {
      CheckMap(src);
      CheckMap(dst);
      return Of("Copy", LaunchConvert(stream(), FormatOf(src), src.data<void>(), src.num_elements(),
                                      FormatOf(dst), dst.data<void>()));
    }
    return Of("Copy",
              cudaMemcpyAsync(dst.data<void>(), src.data<void>(), static_cast<size_t>(src.bytes()),
                              cudaMemcpyDeviceToDevice, stream()));
  }
  absl::Status Upload(const void* src, const Tensor& dst) override {
    if (dst.bytes() == 0) return absl::OkStatus();
    if (uploads_may_overtake_) {
      // The clearing of a new tensor, and earlier uses of its memory, may still be queued.
      PROTOPAGE_RETURN_IF_ERROR(Of("Upload", Follow(stream(), context_->copy_stream())));
      uploads_may_overtake_ = false;
    }
    uploading_.push_back(dst);
    return Of("Upload", cudaMemcpyAsync(dst.data<void>(), src, static_cast<size_t>(dst.bytes()),
                                        cudaMemcpyHostToDevice, context_->copy_stream()));
  }
  absl::Status FinishUploads() override {
    if (uploading_.empty()) return absl::OkStatus();
    PROTOPAGE_RETURN_IF_ERROR(Of("FinishUploads", Follow(context_->copy_stream(), stream())));
    // From here on their memory can be reused: its next users come after the copies.
    uploading_.clear();
    return absl::OkStatus();
  }
  absl::Status Download(const Tensor& src, void* dst) override {
    if (src.bytes() == 0) return absl::OkStatus();
    return Of("Download", context_->Download(src.data<void>(), dst, src.bytes()));
  }
  absl::Status FinishDownloads() override {
    return Of("FinishDownloads", context_->FinishDownloads());
  }
  absl::Status CopyRows(const Tensor& src, const Tensor& from, const Tensor& dst) override {
    const int64_t rows = dst.shape()[0];
    CheckInt(from, rows);
    if (rows == 0) return absl::OkStatus();
    const int64_t row_bytes = dst.bytes() / rows;
    PROTOPAGE_CHECK(src.bytes() == src.shape()[0] * row_bytes);
    return Of("CopyRows", LaunchCopyRows(stream(), src.data<void>(), from.i32(), rows, row_bytes,
                                         dst.data<void>()));
  }
  absl::Status Fill(const Tensor& x, float value) override {
    CheckFloat(x, x.num_elements());
    return Of("Fill", LaunchFill(stream(), value, x.num_elements(), x.f32()));
  }
  absl::Status Synchronize() override {
    PROTOPAGE_RETURN_IF_ERROR(Of("Synchronize", cudaStreamSynchronize(context_->copy_stream())));
    return Of("Synchronize", context_->Wait());
  }

  // --- Recording ------------------------------------------------------------------------------

  std::unique_ptr<Recording> NewRecording() override { return std::make_unique<CudaRecording>(); }
  absl::Status Run(Recording* recording, uint64_t step,
                   absl::FunctionRef<absl::Status()> operations) override {
    auto& remembered = static_cast<CudaRecording&>(*recording);
    PROTOPAGE_RETURN_IF_ERROR(Of("Run", context_->SetStep(step)));
    // A graph holds the addresses of its operands; their memory may have been reused since.
    absl::StatusOr<CudaContext::Recorded>& recorded = remembered.recorded;
    if (remembered.memory_epoch != context_->memory_epoch()) {
      recorded = CudaContext::Recorded();
    } else if (recorded.ok() && recorded->graph == nullptr) {
      // Swapped, because nvcc warns of an ignored result at an assignment.
      absl::StatusOr<CudaContext::Recorded> made = context_->Record(operations);
      std::swap(recorded, made);
    }
    if (recorded.ok() && recorded->graph != nullptr) {
      return Of("Run", context_->Launch(*recorded));
    }
    // The first call may allocate memory and fill tables, which cannot be recorded.
    PROTOPAGE_RETURN_IF_ERROR(operations());
    remembered.memory_epoch = context_->memory_epoch();
    return absl::OkStatus();
  }

  // --- Elementwise ----------------------------------------------------------------------------

  absl::Status ImagesToFloat(const Tensor& x, float scale, float shift, const Tensor& y) override {
    PROTOPAGE_CHECK(x.dtype() == DType::kUint8);
    CheckMap(y);
    PROTOPAGE_CHECK(y.num_elements() == x.num_elements());
    return Of("ImagesToFloat", LaunchImagesToFloat(stream(), x.u8(), y.num_elements(), scale, shift,
                                                   FormatOf(y), y.data<void>()));
  }
  absl::Status ReluForward(const Tensor& x, const Tensor& y) override {
    CheckMapLike(x, y);
    return Of("ReluForward", LaunchReluForward(stream(), FormatOf(y), x.data<void>(),
                                               y.num_elements(), y.data<void>()));
  }
  absl::Status ReluBackward(const Tensor& y, const Tensor& d_y, const Tensor& d_x) override {
    CheckMapLike(y, d_x);
    CheckMapLike(d_y, d_x);
    return Of("ReluBackward",
              LaunchReluBackward(stream(), FormatOf(d_x), y.data<void>(), d_y.data<void>(),
                                 d_x.num_elements(), d_x.data<void>()));
  }
  absl::Status Add(const Tensor& a, const Tensor& b, const Tensor& y) override {
    CheckMapLike(a, y);
    CheckMapLike(b, y);
    return Of("Add", LaunchAdd(stream(), FormatOf(y), a.data<void>(), b.data<void>(),
                               y.num_elements(), y.data<void>()));
  }
  absl::Status Axpy(float alpha, const Tensor& x, const Tensor& y) override {
    CheckMapLike(x, y);
    return Of("Axpy", LaunchAxpy(stream(), FormatOf(y), alpha, x.data<void>(), y.num_elements(),
                                 y.data<void>()));
  }
  absl::Status Scale(float alpha, const Tensor& x) override {
    CheckFloat(x, x.num_elements());
    return Of("Scale", LaunchScale(stream(), alpha, x.num_elements(), x.f32()));
  }
  absl::Status Dropout(float rate, const DropoutKey& key, const Tensor& x,
                       const Tensor& y) override {
    PROTOPAGE_CHECK(rate >= 0.0f && rate < 1.0f);
    CheckMapLike(x, y);
    PROTOPAGE_RETURN_IF_ERROR(Of("Dropout", context_->SetStep(key.step)));
    return Of("Dropout", LaunchDropout(stream(), FormatOf(y), rate, key.key, context_->step(),
                                       x.data<void>(), y.num_elements(), y.data<void>()));
  }

  // --- Windows --------------------------------------------------------------------------------

  absl::Status Conv2dForward(const Window2d& window, const Tensor& x, const Tensor& w,
                             const Tensor& bias, bool relu, const Tensor& y) override {
    CheckConvolution(window, x, w, y);
    if (bias) CheckFloat(bias, window.out_c);
    PROTOPAGE_CHECK(x.dtype() == activation_dtype());
    if (window.batch == 0) return absl::OkStatus();
    return Of("Conv2dForward", ConvolutionForward(*context_, window, x.data<void>(), w.f32(),
                                                  FloatsOrNull(bias), relu, y.data<void>()));
  }
  absl::Status Conv2dBackward(const Window2d& window, const Tensor& x, const Tensor& w,
                              const Tensor& y, bool relu, const Tensor& d_y, const Tensor& d_x,
                              const Tensor& d_w, const Tensor& d_bias) override {
    CheckConvolution(window, x, d_w, d_y);
    CheckFloat(w, d_w.num_elements());
    if (relu) CheckMapLike(y, d_y);
    if (d_x) CheckMapLike(d_x, x);
    if (d_bias) CheckFloat(d_bias, window.out_c);
    PROTOPAGE_CHECK(x.dtype() == activation_dtype());
    if (window.batch == 0) {
      PROTOPAGE_RETURN_IF_ERROR(Fill(d_w, 0.0f));
      return d_bias ? Fill(d_bias, 0.0f) : absl::OkStatus();
    }
    return Of("Conv2dBackward",
              ConvolutionBackward(*context_, window, x.data<void>(), w.f32(),
                                  relu ? y.data<void>() : nullptr, d_y.data<void>(), MapOrNull(d_x),
                                  d_w.f32(), FloatsOrNull(d_bias)));
  }

  absl::Status MaxPool2dForward(const Window2d& window, const Tensor& x, const Tensor& y,
                                const Tensor& argmax) override {
    CheckPool(window, x, y, argmax);
    return Of("MaxPool2dForward",
              LaunchMaxPoolForward(stream(), window, FormatOf(x), x.data<void>(), y.data<void>(),
                                   argmax.i32()));
  }
  absl::Status MaxPool2dBackward(const Window2d& window, const Tensor& d_y, const Tensor& argmax,
                                 const Tensor& d_x) override {
    CheckPool(window, d_x, d_y, argmax);
    return Of("MaxPool2dBackward",
              LaunchMaxPoolBackward(stream(), window, FormatOf(d_x), d_y.data<void>(), argmax.i32(),
                                    d_x.data<void>()));
  }
  absl::Status GlobalAveragePoolForward(const Tensor& x, const Tensor& y) override {
    const MatrixView out(y);
    CheckPixels(x, y);
    const int64_t pixels = x.num_elements() / std::max<int64_t>(1, y.num_elements());
    return Of("GlobalAveragePoolForward",
              LaunchAveragePoolForward(stream(), FormatOf(x), x.data<void>(), out.rows, pixels,
                                       out.cols, y.f32()));
  }
  absl::Status GlobalAveragePoolBackward(const Tensor& d_y, const Tensor& d_x) override {
    const MatrixView out(d_y);
    CheckPixels(d_x, d_y);
    const int64_t pixels = d_x.num_elements() / std::max<int64_t>(1, d_y.num_elements());
    return Of("GlobalAveragePoolBackward",
              LaunchAveragePoolBackward(stream(), d_y.f32(), out.rows, pixels, out.cols,
                                        FormatOf(d_x), d_x.data<void>()));
  }

  // --- Normalisation --------------------------------------------------------------------------

  absl::Status BatchNormTrain(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              float epsilon, float momentum, bool relu, const Tensor& running_mean,
                              const Tensor& running_var, const Tensor& saved_mean,
                              const Tensor& saved_inv_std, const Tensor& y) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, beta, running_mean, running_var, saved_mean, saved_inv_std}) {
      CheckFloat(t, m.cols);
    }
    CheckMapLike(y, x);
    if (m.rows == 0) return absl::OkStatus();
    PROTOPAGE_ASSIGN_OR_RETURN(float* partials, Sums("BatchNormTrain", m, 2));
    PROTOPAGE_ASSIGN_OR_RETURN(
        float* scale, Of("BatchNormTrain", context_->Scratch(CudaContext::kFactors, m.cols)));
    const BatchNormMoments moments = {gamma.f32(),
                                      epsilon,
                                      momentum,
                                      running_mean.f32(),
                                      running_var.f32(),
                                      saved_mean.f32(),
                                      saved_inv_std.f32(),
                                      scale};
    PROTOPAGE_RETURN_IF_ERROR(Of(
        "BatchNormTrain",
        LaunchMoments(stream(), FormatOf(x), x.data<void>(), m.rows, m.cols, partials, moments)));
    return Of("BatchNormTrain",
              LaunchNormalize(stream(), FormatOf(x), x.data<void>(), saved_mean.f32(), scale,
                              beta.f32(), relu, m.rows, m.cols, y.data<void>()));
  }
  absl::Status BatchNormInfer(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              float epsilon, bool relu, const Tensor& running_mean,
                              const Tensor& running_var, const Tensor& y) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, beta, running_mean, running_var}) CheckFloat(t, m.cols);
    CheckMapLike(y, x);
    PROTOPAGE_ASSIGN_OR_RETURN(
        float* scale, Of("BatchNormInfer", context_->Scratch(CudaContext::kFactors, m.cols)));
    PROTOPAGE_RETURN_IF_ERROR(
        Of("BatchNormInfer",
           LaunchInferenceScale(stream(), gamma.f32(), running_var.f32(), epsilon, m.cols, scale)));
    return Of("BatchNormInfer",
              LaunchNormalize(stream(), FormatOf(x), x.data<void>(), running_mean.f32(), scale,
                              beta.f32(), relu, m.rows, m.cols, y.data<void>()));
  }
  absl::Status BatchNormBackward(const Tensor& x, const Tensor& gamma, const Tensor& saved_mean,
                                 const Tensor& saved_inv_std, const Tensor& y, bool relu,
                                 const Tensor& d_y, const Tensor& d_x, const Tensor& d_gamma,
                                 const Tensor& d_beta) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, saved_mean, saved_inv_std, d_gamma, d_beta}) {
      CheckFloat(t, m.cols);
    }
    CheckMapLike(d_y, x);
    CheckMapLike(d_x, x);
    if (relu) CheckMapLike(y, x);
    PROTOPAGE_ASSIGN_OR_RETURN(float* partials, Sums("BatchNormBackward", m, 2));
    PROTOPAGE_ASSIGN_OR_RETURN(
        float* factors,
        Of("BatchNormBackward", context_->Scratch(CudaContext::kFactors, 3 * m.cols)));
    const BatchNormGradient gradient = {FormatOf(x),         x.data<void>(),
                                        gamma.f32(),         saved_mean.f32(),
                                        saved_inv_std.f32(), relu ? y.data<void>() : nullptr,
                                        d_y.data<void>(),    d_x.data<void>(),
                                        d_gamma.f32(),       d_beta.f32()};
    return Of("BatchNormBackward",
              LaunchBatchNormBackward(stream(), gradient, m.rows, m.cols, partials, factors));
  }

  absl::Status L2NormalizeRows(const Tensor& x, const Tensor& y, const Tensor& norms) override {
    const MatrixView m(x);
    CheckFloat(x, y.num_elements());
    CheckFloat(norms, m.rows);
    return Of("L2NormalizeRows",
              LaunchL2NormalizeRows(stream(), x.f32(), m.rows, m.cols, y.f32(), norms.f32()));
  }
  absl::Status L2NormalizeRowsBackward(const Tensor& y, const Tensor& norms, const Tensor& d_y,
                                       const Tensor& d_x) override {
    const MatrixView m(y);
    CheckFloat(norms, m.rows);
    CheckFloat(d_y, y.num_elements());
    CheckFloat(d_x, y.num_elements());
    return Of("L2NormalizeRowsBackward",
              LaunchL2NormalizeRowsBackward(stream(), y.f32(), norms.f32(), d_y.f32(), m.rows,
                                            m.cols, d_x.f32()));
  }

  // --- Matrices -------------------------------------------------------------------------------

  absl::Status MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      float alpha, float beta, const Tensor& c) override {
    const ProductShape shape(a, transpose_a, b, transpose_b, c);
    if (shape.rows == 0 || shape.cols == 0) return absl::OkStatus();
    if (shape.depth == 0) return beta == 0.0f ? Fill(c, 0.0f) : Scale(beta, c);
    PROTOPAGE_ASSIGN_OR_RETURN(
        const void* rounded_a,
        Of("MatMul", context_->Rounded(CudaContext::kRoundedA, a.f32(), a.num_elements())));
    PROTOPAGE_ASSIGN_OR_RETURN(
        const void* rounded_b,
        Of("MatMul", context_->Rounded(CudaContext::kRoundedB, b.f32(), b.num_elements())));
    return Of("MatMul",
              context_->Multiply({shape.rows, shape.cols, shape.depth, rounded_a, transpose_a,
                                  rounded_b, transpose_b, alpha, beta, c.f32()}));
  }
  absl::Status BiasAdd(const Tensor& x, const Tensor& bias, const Tensor& y) override {
    const MatrixView m(x);
    CheckFloat(bias, m.cols);
    CheckFloat(y, x.num_elements());
    return Of("BiasAdd", LaunchBiasRelu(stream(), x.f32(), bias.f32(), /*relu=*/false, m.rows,
                                        m.cols, NumberFormat::kFloat32, y.f32()));
  }
  absl::Status BiasBackward(const Tensor& d_y, const Tensor& d_bias) override {
    const MatrixView m(d_y);
    CheckFloat(d_bias, m.cols);
    PROTOPAGE_ASSIGN_OR_RETURN(float* partials, Sums("BiasBackward", m, 1));
    return Of("BiasBackward",
              LaunchColumnSums(stream(), d_y.f32(), m.rows, m.cols, partials, d_bias.f32()));
  }

  // --- Loss -----------------------------------------------------------------------------------

  absl::Status MarginSoftmax(const MarginParams& params, const Tensor& cosines, const Tensor& slots,
                             float grad_scale, const Tensor& losses, const Tensor& d_cosines,
                             const Tensor& predicted) override {
    const MatrixView m(cosines);
    CheckInt(slots, m.rows);
    CheckInt(predicted, m.rows);
    CheckFloat(losses, m.rows);
    CheckFloat(d_cosines, cosines.num_elements());
    return Of("MarginSoftmax",
              LaunchMarginSoftmax(stream(), params, cosines.f32(), slots.i32(), grad_scale, m.rows,
                                  m.cols, losses.f32(), d_cosines.f32(), predicted.i32()));
  }
  absl::Status FindNonFinite(absl::Span<const Tensor> tensors, const Tensor& found) override {
    CheckInt(found, 1);
    PROTOPAGE_RETURN_IF_ERROR(
        Of("FindNonFinite", cudaMemsetAsync(found.i32(), 0, sizeof(int32_t), stream())));
    PROTOPAGE_ASSIGN_OR_RETURN(const TensorList list, ListOf("FindNonFinite", tensors));
    return Of("FindNonFinite", LaunchFindNonFinite(stream(), list.entries, list.chunks,
                                                   list.num_chunks, found.i32()));
  }

  // --- Optimizers -----------------------------------------------------------------------------

  absl::Status ClipNorm(absl::Span<const Tensor> tensors, float max_norm,
                        const Tensor& norm) override {
    CheckFloat(norm, 1);
    PROTOPAGE_ASSIGN_OR_RETURN(const TensorList list, ListOf("ClipNorm", tensors));
    PROTOPAGE_ASSIGN_OR_RETURN(
        double* sums,
        Of("ClipNorm", context_->Scratch<double>(CudaContext::kSums, list.num_chunks)));
    PROTOPAGE_ASSIGN_OR_RETURN(float* factor,
                               Of("ClipNorm", context_->Scratch(CudaContext::kFactors, 1)));
    return Of("ClipNorm", LaunchClipNorm(stream(), list.entries, list.chunks, list.num_chunks,
                                         max_norm, sums, factor, norm.f32()));
  }
  absl::Status AdamUpdate(const AdamParams& params,
                          absl::Span<const ParamUpdate> updates) override {
    AdamStep step = {};
    step.beta1 = params.beta1;
    step.beta2 = params.beta2;
    step.epsilon = params.epsilon;
    step.decay = 1.0f - params.learning_rate * params.weight_decay;
    step.scale1 = params.step_size;
    step.inverse_sqrt_bias2 = params.inverse_sqrt_bias2;
    for (const ParamUpdate& update : updates) {
      PROTOPAGE_CHECK(update.state1 && update.state2);
    }
    return ForUpdates("AdamUpdate", updates, /*with_state=*/true,
                      [&](const UpdateEntry* entries, const Chunk* chunks, int64_t count) {
                        return LaunchAdam(stream(), step, entries, chunks, count);
                      });
  }
  absl::Status SgdUpdate(const SgdParams& params, absl::Span<const ParamUpdate> updates) override {
    for (const ParamUpdate& update : updates) {
      PROTOPAGE_CHECK(params.momentum == 0.0f || update.state1);
    }
    const SgdStep step = {params.learning_rate, params.momentum, params.weight_decay,
                          params.nesterov};
    return ForUpdates("SgdUpdate", updates, /*with_state=*/params.momentum != 0.0f,
                      [&](const UpdateEntry* entries, const Chunk* chunks, int64_t count) {
                        return LaunchSgd(stream(), step, entries, chunks, count);
                      });
  }
  absl::Status RowMomentumUpdate(const RowMomentumParams& params, const Tensor& rows,
                                 const Tensor& velocity, const Tensor& away,
                                 const Tensor& d_rows) override {
    const MatrixView m(rows);
    CheckFloat(velocity, rows.num_elements());
    CheckFloat(d_rows, rows.num_elements());
    CheckInt(away, m.rows);
    return Of("RowMomentumUpdate", LaunchRowMomentum(stream(), params, away.i32(), m.rows, m.cols,
                                                     rows.f32(), velocity.f32(), d_rows.f32()));
  }
  absl::Status RowAdagradUpdate(const RowAdagradParams& params, const Tensor& rows,
                                const Tensor& accumulator, const Tensor& d_rows) override {
    const MatrixView m(rows);
    CheckFloat(accumulator, m.rows);
    CheckFloat(d_rows, rows.num_elements());
    return Of("RowAdagradUpdate", LaunchRowAdagrad(stream(), params, m.rows, m.cols, rows.f32(),
                                                   accumulator.f32(), d_rows.f32()));
  }

 private:
  cudaStream_t stream() const { return context_->stream(); }

  // Orders the work queued on `later` from now on after the work queued on `earlier` so far.
  absl::Status Follow(cudaStream_t earlier, cudaStream_t later) {
    if (event_ == nullptr) {
      PROTOPAGE_ASSIGN_OR_RETURN(event_, NewEvent());
    }
    PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(event_.get(), earlier)));
    return CudaStatus(cudaStreamWaitEvent(later, event_.get(), 0));
  }

  absl::StatusOr<float*> Sums(const char* operation, const MatrixView& m, int sums) {
    return Of(operation,
              context_->Scratch(CudaContext::kSums, ColumnPartials(m.rows, m.cols, sums)));
  }

  // Returns a table on the device: `entries`, followed by chunks_.
  template <typename Entry>
  absl::StatusOr<const char*> ListTable(const char* operation, const std::vector<Entry>& entries) {
    static_assert(sizeof(Entry) % alignof(Chunk) == 0);
    table_.clear();
    AppendBytes(entries, &table_);
    AppendBytes(chunks_, &table_);
    return Of(operation, context_->Table(table_));
  }

  // The arguments of a kernel over a list of tensors.
  struct TensorList {
    float* const* entries = nullptr;
    const Chunk* chunks = nullptr;
    int64_t num_chunks = 0;
  };
  absl::StatusOr<TensorList> ListOf(const char* operation, absl::Span<const Tensor> tensors) {
    std::vector<float*> entries;
    chunks_.clear();
    for (const Tensor& x : tensors) {
      CheckFloat(x, x.num_elements());
      AddChunks(static_cast<int32_t>(entries.size()), x.num_elements(), &chunks_);
      entries.push_back(x.f32());
    }
    if (chunks_.empty()) return TensorList();
    PROTOPAGE_ASSIGN_OR_RETURN(const char* table, ListTable(operation, entries));
    return TensorList{reinterpret_cast<float* const*>(table),
                      reinterpret_cast<const Chunk*>(table + entries.size() * sizeof(entries[0])),
                      static_cast<int64_t>(chunks_.size())};
  }

  template <typename Launch>
  absl::Status ForUpdates(const char* operation, absl::Span<const ParamUpdate> updates,
                          bool with_state, const Launch& launch) {
    std::vector<UpdateEntry> entries;
    chunks_.clear();
    for (const ParamUpdate& update : updates) {
      const int64_t n = update.value.num_elements();
      CheckFloat(update.value, n);
      CheckFloat(update.gradient, n);
      if (update.state1) CheckFloat(update.state1, n);
      if (update.state2) CheckFloat(update.state2, n);
      AddChunks(static_cast<int32_t>(entries.size()), n, &chunks_);
      UpdateEntry entry = {update.value.f32(),
                           update.gradient.f32(),
                           with_state ? FloatsOrNull(update.state1) : nullptr,
                           with_state ? FloatsOrNull(update.state2) : nullptr,
                           update.decay,
                           /*aligned=*/0};
      entry.aligned = Aligned({entry.value, entry.gradient, entry.state1, entry.state2});
      entries.push_back(entry);
    }
    if (chunks_.empty()) return absl::OkStatus();
    PROTOPAGE_ASSIGN_OR_RETURN(const char* table, ListTable(operation, entries));
    return Of(operation,
              launch(reinterpret_cast<const UpdateEntry*>(table),
                     reinterpret_cast<const Chunk*>(table + entries.size() * sizeof(UpdateEntry)),
                     static_cast<int64_t>(chunks_.size())));
  }

  const std::unique_ptr<CudaContext> context_;
  CudaEvent event_;                    // For Follow.
  bool uploads_may_overtake_ = false;  // Tensors were allocated since the last Upload.
  std::vector<Tensor> uploading_;      // Until FinishUploads.
  std::vector<Chunk> chunks_;          // Scratch of operations on lists of tensors.
  std::vector<char> table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<CudaContext> context, CudaContext::Create(options));
  return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(std::move(context)));
}

}  // namespace protopage
