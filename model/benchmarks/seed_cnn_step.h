// SeedCnnStep: a whole training step of seed_cnn, the same as that of
// model/benchmarks/torch_peer.py, with timing and the convolutions of seed_cnn, for the benchmarks
// of backends.
//
//   SeedCnnStep step(backend.get(), /*batch=*/256);
//   step.ImagesPerSecond(/*seconds=*/2);
//
// An error ends the program.
#ifndef PROTOPAGE_MODEL_BENCHMARKS_SEED_CNN_STEP_H_
#define PROTOPAGE_MODEL_BENCHMARKS_SEED_CNN_STEP_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/backend.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/tensor.h"

namespace protopage {

inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The median time of `body`, run until `seconds` have passed and at least 3 times.
inline double MedianSeconds(double seconds, const std::function<void()>& body) {
  std::vector<double> times;
  const double end = Now() + seconds;
  while (Now() < end || times.size() < 3) {
    const double start = Now();
    body();
    times.push_back(Now() - start);
  }
  return Median(times);
}

inline void CheckOk(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "benchmark: %s\n", status.ToString().c_str());
  std::exit(1);
}
template <typename T>
T ValueOf(absl::StatusOr<T> result) {
  CheckOk(result.status());
  return *std::move(result);
}

// A 3 x 3 convolution on square images; the first of a net has no gradient of its input.
struct Convolution3x3 {
  const char* name;
  int64_t in, in_c, out_c;
  bool same, first;

  Window2d Window(int64_t batch) const {
    Window2d w;
    w.batch = batch;
    w.in_h = w.in_w = in;
    w.in_c = in_c;
    w.out_c = out_c;
    w.kernel_h = w.kernel_w = 3;
    w.out_h = w.out_w = same ? in : in - 2;
    w.pad_top = w.pad_left = same ? 1 : 0;
    return w;
  }
};
// On 32 x 32 images.
inline constexpr Convolution3x3 kSeedCnnConvolutions[] = {
    {"conv_1 32x32x3 -> 32", 32, 3, 32, true, true},
    {"conv_2 32x32x32 -> 32", 32, 32, 32, false, false},
    {"conv_3 15x15x32 -> 64", 15, 32, 64, true, false},
    {"conv_4 15x15x64 -> 64", 15, 64, 64, false, false},
    {"conv_5 6x6x64 -> 512", 6, 64, 512, false, false},
};

// On 112 x 112 images, those with strides of 1.
inline constexpr Convolution3x3 kResNetConvolutions[] = {
    {"56x56x64 -> 64", 56, 64, 64, true, false},
    {"28x28x128 -> 128", 28, 128, 128, true, false},
    {"14x14x256 -> 256", 14, 256, 256, true, false},
    {"7x7x512 -> 512", 7, 512, 512, true, false},
};

// Tensors of uniform numbers in [-1, 1), others at each call.
class RandomTensors {
 public:
  explicit RandomTensors(Backend* backend) : backend_(*backend) {}

  Tensor operator()(const Shape& shape) {
    RandomStream random(1, RandomPurpose::kTest, stream_++);
    std::vector<float> values(shape.num_elements());
    for (float& value : values) value = random.Uniform(-1.0f, 1.0f);
    const Tensor x = ValueOf(backend_.Allocate(DType::kFloat32, shape));
    CheckOk(backend_.CopyToDevice(values.data(), x));
    return x;
  }
  // Of the backend's activation_dtype().
  Tensor Map(const Shape& shape) {
    const Tensor map = ValueOf(backend_.Allocate(backend_.activation_dtype(), shape));
    CheckOk(backend_.Copy((*this)(shape), map));
    return map;
  }

 private:
  Backend& backend_;
  uint64_t stream_ = 0;
};

// A convolution with bias and relu, on random tensors.
class Convolution3x3Run {
 public:
  Convolution3x3Run(Backend* backend, RandomTensors& random, const Convolution3x3& layer,
                    int64_t batch)
      : backend_(*backend), window_(layer.Window(batch)) {
    const Window2d& w = window_;
    x_ = random.Map({batch, w.in_h, w.in_w, w.in_c});
    kernel_ = random({w.kernel_h, w.kernel_w, w.in_c, w.out_c});
    bias_ = random({w.out_c});
    y_ = random.Map({batch, w.out_h, w.out_w, w.out_c});
    d_y_ = random.Map(y_.shape());
    d_kernel_ = random(kernel_.shape());
    d_bias_ = random({w.out_c});
    if (!layer.first) d_x_ = random.Map(x_.shape());
  }

  absl::Status Forward() {
    return backend_.Conv2dForward(window_, x_, kernel_, bias_, /*relu=*/true, y_);
  }
  absl::Status Backward() {
    return backend_.Conv2dBackward(window_, x_, kernel_, y_, /*relu=*/true, d_y_, d_x_, d_kernel_,
                                   d_bias_);
  }
  double forward_flops() const {
    return 2.0 * static_cast<double>(y_.num_elements()) *
           static_cast<double>(window_.kernel_h * window_.kernel_w * window_.in_c);
  }
  double backward_flops() const { return (d_x_ ? 2 : 1) * forward_flops(); }
  // What has to be read and written, once.
  double forward_bytes() const {
    return static_cast<double>(x_.bytes() + kernel_.bytes() + y_.bytes());
  }
  double backward_bytes() const {
    const int64_t d_x_bytes = d_x_ ? d_x_.bytes() : 0;
    return static_cast<double>(x_.bytes() + 2 * kernel_.bytes() + y_.bytes() + d_y_.bytes() +
                               d_x_bytes);
  }

 private:
  Backend& backend_;
  const Window2d window_;
  Tensor x_, kernel_, bias_, y_, d_y_, d_x_, d_kernel_, d_bias_;
};

// Forward, AM-softmax over 10 rows, backward, the search for what is not finite, Adam, on a batch
// that is on the device; queued as the trainer does it.
class SeedCnnStep {
 public:
  SeedCnnStep(Backend* backend, int64_t batch) : batch_(batch) {
    NetOptions options;
    net_ = ValueOf(Net::Create(options, {32, 32, 3}, /*seed=*/1, backend));
    loss_ = ValueOf(MarginLoss::Create(LossConfig(), backend));
    rows_.name = "rows";
    rows_.value = ValueOf(backend->Allocate(DType::kFloat32, {10, 512}));
    rows_.gradient = ValueOf(backend->Allocate(DType::kFloat32, {10, 512}));
    RandomStream random(1, RandomPurpose::kTest, 0);
    std::vector<float> rows(10 * 512);
    for (float& value : rows) value = 0.06f * random.Normal();
    CheckOk(backend->CopyToDevice(rows.data(), rows_.value));
    std::vector<Parameter*> parameters(net_->parameters().begin(), net_->parameters().end());
    parameters.push_back(&rows_);
    optimizer_ = ValueOf(Optimizer::Create(OptimizerConfig(), parameters, backend));
    std::vector<float> images(batch * 32 * 32 * 3);
    for (float& value : images) value = random.Uniform(0.0f, 255.0f);
    images_ = ValueOf(backend->Allocate(DType::kFloat32, {batch, 32, 32, 3}));
    CheckOk(backend->CopyToDevice(images.data(), images_));
    for (int64_t i = 0; i < batch; ++i) slots_.push_back(static_cast<int32_t>(random.Below(10)));
    backend_ = backend;
    found_ = ValueOf(backend->Allocate(DType::kInt32, {1}));
    host_ = ValueOf(backend->AllocateHost(found_.bytes()));
    recording_ = backend->NewRecording();
    for (int i = 0; i < 3; ++i) Step();
  }

  // Why the step is no graph, on a device that makes one of it.
  absl::Status refusal() const { return recording_->refusal(); }

  // From the median time of a group of `steps` steps, including the device's work for them.
  double ImagesPerSecond(double seconds, int steps = 1) {
    return static_cast<double>(batch_ * steps) / MedianSeconds(seconds, [this, steps] {
             for (int i = 0; i < steps; ++i) Step();
             CheckOk(backend_->Synchronize());
           });
  }

 private:
  void Step() {
    CheckOk(loss_->SetSlots(slots_, rows_.value.shape()[0]));
    CheckOk(backend_->Run(recording_.get(), step_, [this] { return Gradients(); }));
    CheckOk(optimizer_->Update(1e-3));
    ++step_;
  }

  absl::Status Gradients() {
    RunOptions run;
    run.training = true;
    run.step = step_;
    run.dropout = static_cast<float>(net_->options().dropout);
    Tensor features;
    PROTOPAGE_RETURN_IF_ERROR(net_->Forward(images_, run, &features));
    LossInput input;
    input.features = features;
    input.rows = rows_.value;
    PROTOPAGE_ASSIGN_OR_RETURN(const LossResult result, loss_->Start(input));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(result.d_rows, rows_.gradient));
    PROTOPAGE_RETURN_IF_ERROR(net_->Backward(result.d_features));
    std::vector<Tensor> gradients = net_->gradients();
    gradients.push_back(rows_.gradient);
    PROTOPAGE_RETURN_IF_ERROR(backend_->FindNonFinite(gradients, found_));
    return backend_->Download(found_, host_->data());
  }

  const int64_t batch_;
  Backend* backend_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<MarginLoss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  Parameter rows_;
  Tensor images_, found_;
  std::shared_ptr<Buffer> host_;
  std::unique_ptr<Recording> recording_;
  std::vector<int32_t> slots_;
  uint64_t step_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_BENCHMARKS_SEED_CNN_STEP_H_
