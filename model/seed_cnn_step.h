// What the benchmarks of backends share: timing, and a whole training step of seed_cnn, the one of
// model/torch_peer.py.
//
//   SeedCnnStep step(backend.get(), /*batch=*/256);
//   step.ImagesPerSecond(/*seconds=*/2);
//
// An error ends the program.
#ifndef PROTOPAGE_MODEL_SEED_CNN_STEP_H_
#define PROTOPAGE_MODEL_SEED_CNN_STEP_H_

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
#include "base/benchmark_timing.h"
#include "base/random.h"
#include "model/backend.h"
#include "model/margin_loss.h"
#include "model/nets.h"
#include "model/optimizer.h"
#include "model/tensor.h"

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

// Forward, AM-softmax over 10 rows, backward, Adam, on a batch that is on the device.
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
    for (int i = 0; i < 3; ++i) Step();
  }

  // From the median time of a group of `steps` steps, with what the device has to do for them.
  double ImagesPerSecond(double seconds, int steps = 1) {
    return static_cast<double>(batch_ * steps) / MedianSeconds(seconds, [this, steps] {
             for (int i = 0; i < steps; ++i) Step();
             CheckOk(backend_->Synchronize());
           });
  }

 private:
  void Step() {
    RunOptions run;
    run.training = true;
    run.step = step_++;
    Tensor features;
    CheckOk(net_->Forward(images_, run, &features));
    LossInput input;
    input.features = features;
    input.rows = rows_.value;
    input.slots = slots_;
    const LossResult result = ValueOf(loss_->Compute(input));
    CheckOk(backend_->Copy(result.d_rows, rows_.gradient));
    CheckOk(net_->Backward(result.d_features));
    CheckOk(optimizer_->Update(1e-3));
  }

  const int64_t batch_;
  Backend* backend_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<MarginLoss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  Parameter rows_;
  Tensor images_;
  std::vector<int32_t> slots_;
  uint64_t step_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_SEED_CNN_STEP_H_
