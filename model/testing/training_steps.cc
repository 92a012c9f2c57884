#include "protopage/model/testing/training_steps.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/optimizers/optimizer.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/rounding_error.h"

namespace protopage {
namespace {

constexpr int64_t kBatch = 16, kSize = 24, kClasses = 10, kDim = 512;
constexpr int kSteps = 20;

// The hash of testdata/pinned_steps_torch.py.
uint32_t Hashed(uint64_t stream, uint64_t i) {
  uint32_t n = static_cast<uint32_t>(i + stream * 1000003u) * 2654435761u;
  n ^= n >> 15;
  n *= 2246822519u;
  return n ^ (n >> 13);
}

std::vector<float> HashedWeights(uint64_t stream, int64_t count, float limit) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    const float unit = static_cast<float>(Hashed(stream, i) >> 8) * (1.0f / 16777216.0f) - 0.5f;
    values[i] = unit * (2.0f * limit);
  }
  return values;
}

// A net, the rows, and the optimizers of both.
class Training {
 public:
  struct Options {
    double dropout = 0.0;
    OptimizerConfig optimizer;
    bool rows_as_parameter = false;  // Updated by the net's optimizer, and not renormalised.
    ScheduleConfig schedule;
  };

  static absl::StatusOr<std::unique_ptr<Training>> Create(TestBackend& backend,
                                                          const Options& options) {
    std::unique_ptr<Training> t(new Training(backend, options));
    PROTOPAGE_ASSIGN_OR_RETURN(t->net_, Net::Create({}, {kSize, kSize, 3}, 1, backend.get()));
    const std::pair<const char*, float> kernels[] = {{"conv_1/kernel", 0.125f},
                                                     {"conv_2/kernel", 0.125f},
                                                     {"conv_3/kernel", 0.0625f},
                                                     {"conv_4/kernel", 0.0625f},
                                                     {"conv_5/kernel", 0.03125f}};
    for (uint64_t i = 0; i < 5; ++i) {
      for (Parameter* parameter : t->net_->parameters()) {
        if (parameter->name != kernels[i].first) continue;
        backend.Set(parameter->value,
                    HashedWeights(i, parameter->value.num_elements(), kernels[i].second));
      }
    }
    t->rows_.name = "amsoftmax/kernel";
    std::vector<float> rows = HashedWeights(50, kClasses * kDim, 0.0625f);
    if (!options.rows_as_parameter) {
      for (int64_t k = 0; k < kClasses; ++k) {
        double squares = 0.0;
        for (int64_t d = 0; d < kDim; ++d) squares += std::pow(rows[k * kDim + d], 2.0);
        for (int64_t d = 0; d < kDim; ++d) {
          rows[k * kDim + d] = static_cast<float>(rows[k * kDim + d] / std::sqrt(squares));
        }
      }
    }
    t->rows_.value = backend.FromHost({kClasses, kDim}, rows);
    t->rows_.gradient = backend.FromHost({kClasses, kDim}, rows);
    t->row_state_ = backend.FromHost({kClasses, kDim}, std::vector<float>(kClasses * kDim));
    std::vector<Parameter*> parameters(t->net_->parameters().begin(), t->net_->parameters().end());
    if (options.rows_as_parameter) parameters.push_back(&t->rows_);
    PROTOPAGE_ASSIGN_OR_RETURN(t->optimizer_,
                               Optimizer::Create(options.optimizer, parameters, backend.get()));
    PROTOPAGE_ASSIGN_OR_RETURN(t->row_optimizer_, RowOptimizer::Create({}, backend.get()));
    PROTOPAGE_ASSIGN_OR_RETURN(t->loss_, MarginLoss::Create({}, backend.get()));
    PROTOPAGE_ASSIGN_OR_RETURN(t->schedule_, Schedule::Create(options.schedule, kSteps));
    PROTOPAGE_ASSIGN_OR_RETURN(t->images_,
                               backend->Allocate(DType::kUint8, {kBatch, kSize, kSize, 3}));
    std::vector<uint8_t> pixels(t->images_.num_elements());
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = Hashed(100, i) >> 24;
    PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(pixels.data(), t->images_));
    for (int64_t b = 0; b < kBatch; ++b) t->slots_.push_back(static_cast<int32_t>(b % kClasses));
    return t;
  }

  // Net and rows.
  void Perturb(const TrainingRun& run) {
    if (run.weight_error == 0.0) return;
    uint64_t stream = static_cast<uint64_t>(step_) << 32;
    std::vector<Parameter*> parameters(net_->parameters().begin(), net_->parameters().end());
    parameters.push_back(&rows_);
    for (const Parameter* parameter : parameters) {
      std::vector<float> values = backend_.ToHost(parameter->value);
      PerturbRelatively(run.weight_error, run.seed, stream++, &values);
      backend_.Set(parameter->value, values);
    }
  }

  // Returns the loss before the update.
  absl::StatusOr<double> Step() {
    Tensor features;
    RunOptions run;
    run.training = true;
    run.step = static_cast<uint64_t>(step_);
    run.dropout = static_cast<float>(options_.dropout);
    PROTOPAGE_RETURN_IF_ERROR(net_->Forward(images_, run, &features));
    PROTOPAGE_ASSIGN_OR_RETURN(
        const LossResult result,
        loss_->Compute(
            {.features = features, .rows = rows_.value, .slots = slots_, .step = step_}));
    PROTOPAGE_RETURN_IF_ERROR(net_->Backward(result.d_features));
    const double factor = schedule_->Factor(step_);
    if (options_.rows_as_parameter) {
      PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(result.d_rows, rows_.gradient));
    }
    PROTOPAGE_RETURN_IF_ERROR(optimizer_->Update(options_.optimizer.learning_rate * factor));
    if (!options_.rows_as_parameter) {
      const std::vector<int32_t> away(kClasses, 0);
      PROTOPAGE_RETURN_IF_ERROR(
          row_optimizer_->Update(row_optimizer_->config().learning_rate * factor, rows_.value,
                                 row_state_, away, result.d_rows));
    }
    ++step_;
    schedule_->EndEpoch(result.accuracy);
    return result.loss;
  }

  std::vector<CheckpointSection> Sections() {
    return {{"net", [this](StateVisitor& v) { net_->State(v); }},
            {"optimizer", [this](StateVisitor& v) { optimizer_->State(v); }},
            {"loss", [this](StateVisitor& v) { loss_->State(v); }},
            {"schedule", [this](StateVisitor& v) { schedule_->State(v); }},
            {"rows", [this](StateVisitor& v) {
               v.Array("value", rows_.value);
               v.Array("velocity", row_state_);
               v.Integer("step", &step_);
             }}};
  }

  // All values of net and rows.
  std::vector<float> Values() {
    std::vector<float> values = backend_.ToHost(rows_.value);
    for (const Parameter* parameter : net_->parameters()) {
      const std::vector<float> more = backend_.ToHost(parameter->value);
      values.insert(values.end(), more.begin(), more.end());
    }
    return values;
  }

 private:
  Training(TestBackend& backend, const Options& options) : backend_(backend), options_(options) {}

  TestBackend& backend_;
  const Options options_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<MarginLoss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<RowOptimizer> row_optimizer_;
  std::unique_ptr<Schedule> schedule_;
  Parameter rows_;  // [10, 512]
  Tensor row_state_;
  Tensor images_;
  std::vector<int32_t> slots_;
  int64_t step_ = 0;
};

Training::Options AdamOptions() {
  Training::Options options;
  options.optimizer.learning_rate = 1e-4;
  options.rows_as_parameter = true;
  return options;
}

Training::Options MomentumOptions() {
  Training::Options options;
  options.optimizer.name = "sgd";
  options.optimizer.learning_rate = 0.05;
  options.optimizer.momentum = 0.9;
  options.optimizer.nesterov = true;
  options.optimizer.weight_decay = 5e-4;
  return options;
}

Training::Options WithDropout(Training::Options options) {
  options.dropout = 0.25;
  options.schedule.name = "plateau";
  options.schedule.patience = 2;
  options.schedule.factor = 0.5;
  options.schedule.warmup_steps = 3;
  return options;
}

void ExpectLosses(TestBackend& backend, const Training::Options& options,
                  const std::vector<double>& expected, const std::vector<double>& tolerances) {
  auto training = Training::Create(backend, options);
  PROTOPAGE_ASSERT_OK(training);
  for (int step = 0; step < kSteps; ++step) {
    auto loss = (*training)->Step();
    PROTOPAGE_ASSERT_OK(loss);
    EXPECT_NEAR(*loss, expected[step], tolerances[step] * expected[step]) << "step " << step;
  }
}

}  // namespace

void TrainingStepsTest::SetUp() {
  absl::StatusOr<std::unique_ptr<Backend>> backend = GetParam().create();
  PROTOPAGE_ASSERT_OK(backend);
  backend_ = std::make_unique<TestBackend>(*std::move(backend));
}

absl::StatusOr<std::vector<TrainingTrace>> RunTrainingSteps(TestBackend& backend,
                                                            const TrainingRun& run) {
  std::vector<TrainingTrace> traces;
  for (const Training::Options& options :
       {WithDropout(AdamOptions()), WithDropout(MomentumOptions())}) {
    PROTOPAGE_ASSIGN_OR_RETURN(auto training, Training::Create(backend, options));
    TrainingTrace& trace = traces.emplace_back();
    for (int step = 0; step < run.steps; ++step) {
      training->Perturb(run);
      PROTOPAGE_ASSIGN_OR_RETURN(const double loss, training->Step());
      trace.losses.push_back(loss);
    }
    trace.values = training->Values();
  }
  return traces;
}

// Losses as printed by testdata/pinned_steps_torch.py (PyTorch 2.15, float64). The tolerances
// are 10 to 30 times the difference of PyTorch's own float32 runs from it: Adam divides small
// gradients by their size, so that rounding grows from step to step. A wrong formula is off
// by 1e-3 or more in the first few.
TEST_P(TrainingStepsTest, AdamGivesTheLossesOfPyTorch) {
  ExpectLosses(
      *backend_, AdamOptions(),
      {7.242906896, 6.930460308, 6.807862368, 6.737719303, 6.659746882, 6.562895655, 6.452433855,
       6.332011333, 6.209159093, 6.083517708, 5.946357016, 5.786725473, 5.599571341, 5.382207108,
       5.130701520, 4.839788121, 4.505971132, 4.133415701, 3.722765167, 3.277704987},
      {3e-6, 3e-6, 3e-6, 3e-6, 3e-6, 1e-5, 1e-4, 1e-4, 1e-4, 1e-4,
       3e-4, 3e-4, 1e-3, 1e-3, 1e-3, 3e-3, 3e-3, 3e-3, 1e-2, 1e-2});
}

TEST_P(TrainingStepsTest, MomentumOnNetAndUnitRowsGivesTheLossesOfPyTorch) {
  ExpectLosses(
      *backend_, MomentumOptions(),
      {7.242906896, 9.358966706, 9.385332967, 9.388807193, 9.862818715, 9.260463265, 8.952213557,
       8.051228652, 8.342854407, 8.259961050, 8.221563524, 8.064730294, 8.697736711, 8.419042799,
       7.948639557, 7.363883844, 7.672290018, 7.436549354, 7.312924568, 7.405146733},
      std::vector<double>(kSteps, 5e-5));
}

TEST_P(TrainingStepsTest, GoesOnFromACheckpointWithTheSameBits) {
  TestBackend& backend = *backend_;
  FileSystem* fs = DefaultFileSystem();
  const std::string path = JoinPath(::testing::TempDir(), "training.h5");
  for (const Training::Options& options :
       {WithDropout(AdamOptions()), WithDropout(MomentumOptions())}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto first, Training::Create(backend, options));
    for (int step = 0; step < 5; ++step) PROTOPAGE_ASSERT_OK(first->Step());
    PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs, path, first->Sections(), backend.get()));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto second, Training::Create(backend, options));
    PROTOPAGE_ASSERT_OK(LoadCheckpoint(fs, path, second->Sections(), backend.get()));
    for (int step = 0; step < 4; ++step) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double a, first->Step());
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double b, second->Step());
      EXPECT_EQ(a, b);
    }
    EXPECT_TRUE(first->Values() == second->Values());
  }
}

}  // namespace protopage
