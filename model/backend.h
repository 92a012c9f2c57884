// Backend: the operations of networks, losses and optimizers on one device.
//
//   ThreadPool pool(0);
//   PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCpuBackend(&pool));
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
//   PROTOPAGE_RETURN_IF_ERROR(backend->Fill(x, 0.5f));
//   PROTOPAGE_RETURN_IF_ERROR(backend->ReluForward(x, x));  // In place.
//
// Only backends dereference device pointers; they know nothing of networks. Letters: B images,
// H W C of NHWC activations, D embedding size, K active classes (slots), M rows of a matrix. d_x is
// the gradient of the loss with respect to x. Gradient outputs are overwritten, not added to,
// unless stated otherwise.
//
// All floats are float32, except that feature maps may also be of activation_dtype(), all of a call
// of one dtype: the images, activations and gradients of activations that the comments below name.
// Arithmetic is in float32; values are rounded when they are stored.
//
// Results do not depend on the number of threads: reductions over the batch run over fixed blocks,
// whose partial sums are added in block order. Outputs must not overlap inputs except where "in
// place" is allowed. Shapes are the caller's responsibility (the graph infers them) and are
// CHECKed; a Status reports what can fail on a device: memory and launches.
//
// One conformance suite (model/testing/backend_conformance.h) holds every backend to plain loops in
// double precision. Not thread-safe: one thread drives a backend.
#ifndef PROTOPAGE_MODEL_BACKEND_H_
#define PROTOPAGE_MODEL_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/model/margin_params.h"
#include "protopage/model/precision.h"
#include "protopage/model/tensor.h"

namespace protopage {

enum class DeviceType { kCpu, kCuda };

// Convolution and pooling windows. out = floor((in + pad_before + pad_after -
// kernel) / stride) + 1, with the padding after implied by out_h and out_w.
struct Window2d {
  int64_t batch = 0;
  int64_t in_h = 0, in_w = 0, in_c = 0;
  int64_t out_h = 0, out_w = 0, out_c = 0;  // Pooling: out_c == in_c.
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_left = 0;
};

// The random numbers that a dropout op draws: element i of step `step` keeps its
// value when UnitFloat(Philox4x32(key, step, i / 4).word[i % 4]) >= rate. See
// base/philox.h.
struct DropoutKey {
  uint64_t key = 0;  // RandomKey(seed, kDropout) mixed with the op's position.
  uint64_t step = 0;
};

// m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
// w <- (1 - learning_rate weight_decay) w - step_size m / (sqrt(v) inverse_sqrt_bias2 + epsilon)
struct AdamParams {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-7f;      // Keras' default
  float weight_decay = 0.0f;  // Decoupled (AdamW)
  // The correction of the moments' bias in update t = 1, 2, ...; the defaults are the limits.
  float step_size = 1e-3f;          // learning_rate / (1 - beta1^t)
  float inverse_sqrt_bias2 = 1.0f;  // 1 / sqrt(1 - beta2^t)
};
struct SgdParams {
  float learning_rate = 0.1f;
  float momentum = 0.0f;  // v = mu v + g; w -= lr v  (Nesterov: w -= lr (g + mu v))
  bool nesterov = false;
  float weight_decay = 0.0f;  // L2: g += weight_decay * w
};
// One parameter of a fused update; all its tensors have one shape.
struct ParamUpdate {
  Tensor value, gradient;
  // Adam: m and v. SGD: state1 is the velocity, absent if momentum is 0.
  Tensor state1, state2;
  bool decay = true;  // False: weight_decay does not apply (biases, batch norm).
};

// The update of unit rows by their class's own momentum, on the unit sphere: the return rule of a
// row that was away for a[k] steps, then the step. For each row w with velocity v and gradient g:
//   v <- mu^a v;  v <- v - (v.w) w;  g <- g - (g.w) w
//   v <- mu v + g;  w <- w - lr v;  w <- w / |w|;  v <- v - (v.w) w
// A row whose gradient and velocity are zero keeps its bits.
struct RowMomentumParams {
  float learning_rate = 0.02f;
  float momentum = 0.9f;
};
// Row-wise Adagrad, with one accumulator h per row, g projected and w renormalised as above:
//   h <- h + mean_d(g^2);  w <- w - lr g / (sqrt(h) + epsilon)
struct RowAdagradParams {
  float learning_rate = 0.02f;
  float epsilon = 1e-7f;
};

// A sequence of operations that Backend::Run repeats.
class Recording {
 public:
  virtual ~Recording() = default;
  // Not OK if the device cannot record the operations: the reason. They are then called every time.
  virtual absl::Status refusal() const { return absl::OkStatus(); }
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceType device() const = 0;
  // For logs: "cpu (2 threads, avx2)".
  virtual std::string Description() const = 0;
  virtual Precision precision() const = 0;
  // The dtype of a network's feature maps and their gradients: 16 bits if precision() is.
  virtual DType activation_dtype() const { return DType::kFloat32; }

  // --- Memory -----------------------------------------------------------------------------------
  // Zero-filled. Errors: ResourceExhausted, with the number of bytes requested.
  virtual absl::StatusOr<Tensor> Allocate(DType dtype, const Shape& shape) = 0;
  // Bytes of device memory in use: live tensors, and memory that operations keep between calls.
  virtual int64_t allocated_bytes() const = 0;
  // Copy whole tensors: dst.bytes() or src.bytes() bytes. CopyToHost waits for all earlier work.
  virtual absl::Status CopyToDevice(const void* src, const Tensor& dst) = 0;
  virtual absl::Status CopyToHost(const Tensor& src, void* dst) = 0;
  // Both have the same number of elements, and one dtype unless both are feature maps.
  virtual absl::Status Copy(const Tensor& src, const Tensor& dst) = 0;
  virtual absl::Status Fill(const Tensor& x, float value) = 0;
  // Host memory, zero-filled, for Upload and Download. Errors: ResourceExhausted.
  virtual absl::StatusOr<std::shared_ptr<Buffer>> AllocateHost(int64_t bytes) = 0;
  // Starts a copy of dst.bytes() bytes from `src`, memory of AllocateHost. Waits neither for the
  // copy nor for earlier work, so no earlier operation may use `dst` unless a call (CopyToHost,
  // FinishDownloads, Synchronize) has waited for it since. `src` and `dst` belong to the copy until
  // such a call has waited for FinishUploads.
  virtual absl::Status Upload(const void* src, const Tensor& dst) = 0;
  // Operations called from now on see all earlier uploads. The host does not wait.
  virtual absl::Status FinishUploads() = 0;
  // Queues a copy of src.bytes() bytes to `dst`, memory of AllocateHost, without waiting for it.
  virtual absl::Status Download(const Tensor& src, void* dst) = 0;
  // Waits until all downloads are complete: for all operations called before the last Download,
  // except uploads, and for none called after it.
  virtual absl::Status FinishDownloads() = 0;
  // dst[i] = src[from[i]] for rows of dst [M, ...] and src [N, ...] with the same bytes per row.
  // `from` is int32 [M], in [0, N); where it is negative, dst[i] keeps its value.
  virtual absl::Status CopyRows(const Tensor& src, const Tensor& from, const Tensor& dst) = 0;
  virtual absl::Status Synchronize() = 0;

  // --- Repetition -------------------------------------------------------------------------------
  // For Run of this backend, which must outlive the recording.
  virtual std::unique_ptr<Recording> NewRecording() = 0;
  // Has the effect of calling `operations`. All calls with one recording must pass the same
  // operations on the same tensors with the same numbers, except for DropoutKey::step, which is
  // `step`. A device may record the operations and then queue them as one (a CUDA graph) without
  // calling `operations`. Operations that allocate after the first call, wait, or copy from the
  // host cannot be recorded; they are called every time.
  virtual absl::Status Run(Recording* recording, uint64_t step,
                           absl::FunctionRef<absl::Status()> operations) = 0;

  // --- Elementwise ------------------------------------------------------------------------------
  // All tensors are feature maps, except for uint8 images and the argument of Scale.
  // y = scale * x + shift, for uint8 x.
  virtual absl::Status ImagesToFloat(const Tensor& x, float scale, float shift,
                                     const Tensor& y) = 0;
  virtual absl::Status ReluForward(const Tensor& x,
                                   const Tensor& y) = 0;  // In place allowed.
  // d_x = d_y where y > 0. In place (d_x is d_y) allowed.
  virtual absl::Status ReluBackward(const Tensor& y, const Tensor& d_y, const Tensor& d_x) = 0;
  virtual absl::Status Add(const Tensor& a, const Tensor& b,
                           const Tensor& y) = 0;  // In place allowed.
  // y += alpha x.
  virtual absl::Status Axpy(float alpha, const Tensor& x, const Tensor& y) = 0;
  virtual absl::Status Scale(float alpha, const Tensor& x) = 0;
  // y = x / (1 - rate) for the elements kept, else 0. Backward is the same function of d_y. In
  // place allowed.
  virtual absl::Status Dropout(float rate, const DropoutKey& key, const Tensor& x,
                               const Tensor& y) = 0;

  // --- Windows ----------------------------------------------------------------------------------
  // x [B, in_h, in_w, in_c], w [kernel_h, kernel_w, in_c, out_c], bias [out_c] or absent,
  // y [B, out_h, out_w, out_c]. With `relu`, y = max(0, conv + bias). x, y, d_x and d_y are feature
  // maps, of activation_dtype().
  virtual absl::Status Conv2dForward(const Window2d& window, const Tensor& x, const Tensor& w,
                                     const Tensor& bias, bool relu, const Tensor& y) = 0;
  // `y` is the forward output (read only with `relu`). d_y is scratch: with `relu` it is masked in
  // place. d_x may be absent (first layer); d_bias is absent if bias was.
  virtual absl::Status Conv2dBackward(const Window2d& window, const Tensor& x, const Tensor& w,
                                      const Tensor& y, bool relu, const Tensor& d_y,
                                      const Tensor& d_x, const Tensor& d_w,
                                      const Tensor& d_bias) = 0;
  // All tensors are feature maps except argmax, int32 of the shape of y: the position in the window
  // (kh * kernel_w + kw), the first on ties.
  virtual absl::Status MaxPool2dForward(const Window2d& window, const Tensor& x, const Tensor& y,
                                        const Tensor& argmax) = 0;
  virtual absl::Status MaxPool2dBackward(const Window2d& window, const Tensor& d_y,
                                         const Tensor& argmax, const Tensor& d_x) = 0;
  // x [B, H, W, C] -> y [B, C]. x and d_x are feature maps, y and d_y are not.
  virtual absl::Status GlobalAveragePoolForward(const Tensor& x, const Tensor& y) = 0;
  virtual absl::Status GlobalAveragePoolBackward(const Tensor& d_y, const Tensor& d_x) = 0;

  // --- Normalisation ----------------------------------------------------------------------------
  // x, y, d_x and d_y [M, C] (any leading dimensions) are feature maps; the other tensors are [C].
  // Training stores the batch mean in saved_mean and 1 / sqrt(var + epsilon), of the biased
  // variance, in saved_inv_std, and updates running <- momentum * running + (1 - momentum) * batch
  // (Keras; biased variance).
  virtual absl::Status BatchNormTrain(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                      float epsilon, float momentum, bool relu,
                                      const Tensor& running_mean, const Tensor& running_var,
                                      const Tensor& saved_mean, const Tensor& saved_inv_std,
                                      const Tensor& y) = 0;
  virtual absl::Status BatchNormInfer(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                      float epsilon, bool relu, const Tensor& running_mean,
                                      const Tensor& running_var, const Tensor& y) = 0;
  // The gradients of BatchNormTrain. With `relu`, y is the forward output and d_y is masked in
  // place.
  virtual absl::Status BatchNormBackward(const Tensor& x, const Tensor& gamma,
                                         const Tensor& saved_mean, const Tensor& saved_inv_std,
                                         const Tensor& y, bool relu, const Tensor& d_y,
                                         const Tensor& d_x, const Tensor& d_gamma,
                                         const Tensor& d_beta) = 0;
  // y = x / max(|x|, 1e-5) for each row of [M, D] (Keras' l2_normalize with epsilon 1e-10 on the
  // square); norms [M] = max(|x|, 1e-5).
  virtual absl::Status L2NormalizeRows(const Tensor& x, const Tensor& y, const Tensor& norms) = 0;
  // d_x = (d_y - (d_y . y) y) / norm.
  virtual absl::Status L2NormalizeRowsBackward(const Tensor& y, const Tensor& norms,
                                               const Tensor& d_y, const Tensor& d_x) = 0;

  // --- Matrices ---------------------------------------------------------------------------------
  // c [M, N] = alpha op(a) op(b) + beta c, where op transposes if its flag is set.
  virtual absl::Status MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                              float alpha, float beta, const Tensor& c) = 0;
  // y = x + bias for each row of [M, N]; in place allowed.
  virtual absl::Status BiasAdd(const Tensor& x, const Tensor& bias, const Tensor& y) = 0;
  // d_bias [N] = column sums of d_y [M, N].
  virtual absl::Status BiasBackward(const Tensor& d_y, const Tensor& d_bias) = 0;

  // --- Loss -------------------------------------------------------------------------------------
  // For cosines [B, K], int32 slots y [B] and their margin logits z: loss_b = -log softmax(z_b)_y,
  // d_cosines = grad_scale * d(sum_b loss_b)/d(cosines), predicted int32 [B] = argmax of the
  // cosines without margin, the lowest slot on ties.
  virtual absl::Status MarginSoftmax(const MarginParams& params, const Tensor& cosines,
                                     const Tensor& slots, float grad_scale, const Tensor& losses,
                                     const Tensor& d_cosines, const Tensor& predicted) = 0;
  // found int32 [1]: 0 if every element of every tensor is finite, else 1.
  virtual absl::Status FindNonFinite(absl::Span<const Tensor> tensors, const Tensor& found) = 0;

  // --- Optimizers -------------------------------------------------------------------------------
  // norm [1] = the Euclidean norm of all tensors together, summed in double. If it is finite and
  // above max_norm, every tensor is scaled by max_norm / norm.
  virtual absl::Status ClipNorm(absl::Span<const Tensor> tensors, float max_norm,
                                const Tensor& norm) = 0;
  virtual absl::Status AdamUpdate(const AdamParams& params,
                                  absl::Span<const ParamUpdate> updates) = 0;
  virtual absl::Status SgdUpdate(const SgdParams& params,
                                 absl::Span<const ParamUpdate> updates) = 0;
  // rows, velocity, d_rows [K, D]; away int32 [K], >= 0. d_rows is scratch.
  virtual absl::Status RowMomentumUpdate(const RowMomentumParams& params, const Tensor& rows,
                                         const Tensor& velocity, const Tensor& away,
                                         const Tensor& d_rows) = 0;
  // accumulator [K].
  virtual absl::Status RowAdagradUpdate(const RowAdagradParams& params, const Tensor& rows,
                                        const Tensor& accumulator, const Tensor& d_rows) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_BACKEND_H_
