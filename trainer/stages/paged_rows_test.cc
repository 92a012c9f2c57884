// Rows that are trained by way of a store: gathered, updated, scattered, pushed out of the cache,
// in a file that is closed and opened again; against a dense table that sees every step.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/model/testing/dense_rows.h"
#include "protopage/model/testing/testing.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 600, kActive = 40, kDim = 64, kSteps = 90;

struct Kind {
  const char* state;
  RowType dtype;
};

class PagedRowsTest : public testing::TestWithParam<Kind> {};

TEST_P(PagedRowsTest, AStoresRowsAgreeWithADenseLoop) {
  TestBackend backend;
  RowOptimizerConfig config;
  config.name = GetParam().state;
  const double learning_rate = 0.03;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create(config, backend.get()));
  PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.dim = kDim;
  spec.seed = 3;
  spec.dtype = GetParam().dtype;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(spec.row_state, ParseRowState(config.name));
  PrototypeStoreOptions options;
  options.cache_bytes = 80 << 10;  // Some 200 rows with momentum.
  const std::string path = absl::StrCat(testing::TempDir(), "/paged_rows_test_", getpid(),
                                        config.name, RowTypeName(spec.dtype));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(path, spec, options));
  ASSERT_EQ(store->state_floats(), optimizer->StateFloats(kDim));

  RowMatrixXf initial(kClasses, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, initial));
  DenseRows dense(config, learning_rate, kDim, {initial.data(), initial.data() + initial.size()});
  StepRows rows;
  int64_t longest_away = 0;
  std::vector<int64_t> updates(kClasses);
  for (int64_t step = 0; step < kSteps; ++step) {
    if (step == kSteps / 2) {
      EXPECT_GT(store->stats().rows_written, 0);
      PROTOPAGE_ASSERT_OK(store->Flush());
      store.reset();
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(store, PrototypeStore::Open(path, options));
    }
    RandomStream random(1, RandomPurpose::kTest, step);
    const std::vector<ClassId> active = SampleWithoutReplacement(random, kClasses, kActive);
    const std::vector<float> gradient =
        backend.ToHost(backend.Random({kActive, kDim}, 100 + step, 0.3f));
    dense.Step(active, gradient);
    for (const ClassId id : active) ++updates[id];
    PROTOPAGE_ASSERT_OK(store->GatherStep(active, &rows));
    std::vector<int32_t> away;
    for (const int64_t last : rows.last_step) {
      away.push_back(last < 0 ? 0 : static_cast<int32_t>(step - last - 1));
      longest_away = std::max<int64_t>(longest_away, away.back());
    }
    const Tensor device_rows =
        backend.FromHost({kActive, kDim}, {rows.rows.data(), rows.rows.data() + rows.rows.size()});
    const Tensor device_state =
        backend.FromHost({kActive, store->state_floats()},
                         {rows.state.data(), rows.state.data() + rows.state.size()});
    PROTOPAGE_ASSERT_OK(optimizer->Update(learning_rate, device_rows, device_state, away,
                                          backend.FromHost({kActive, kDim}, gradient)));
    PROTOPAGE_ASSERT_OK(backend->CopyToHost(device_rows, rows.rows.data()));
    PROTOPAGE_ASSERT_OK(backend->CopyToHost(device_state, rows.state.data()));
    PROTOPAGE_ASSERT_OK(store->ScatterStep(active, rows, step));
  }
  EXPECT_GT(longest_away, kSteps / 3);

  // As in model/optimizers/row_optimizer_test.cc: a few roundings a step of elements below 1; the
  // velocity's decay makes its errors those of about 10 steps. Each update of a float16 row may
  // round an element by 2^-12, which stays with it, and by which the state is off that is projected
  // with it.
  const bool half = spec.dtype == RowType::kFloat16;
  for (ClassId id = 0; id < kClasses; ++id) {
    PROTOPAGE_ASSERT_OK(store->GatherStep({id}, &rows));
    const double rounded = half ? std::ldexp(static_cast<double>(updates[id] + 1), -12) : 0;
    for (int64_t d = 0; d < kDim; ++d) {
      EXPECT_NEAR(rows.rows(0, d), dense.row(id)[d], kSteps * 4 * 6e-8 + rounded) << "class " << id;
    }
    // The state that the class has when it comes back; that of a class never drawn is zeros.
    const auto missed = static_cast<double>(kSteps - 1 - rows.last_step[0]);
    for (int64_t j = 0; j < rows.state.cols(); ++j) {
      const double want = dense.state(id)[j];
      if (config.name == "momentum") {
        EXPECT_NEAR(rows.state(0, j) * std::pow(config.momentum, missed), want,
                    10 * 4 * 6e-8 * 3 * 3 + 3 * rounded);
      } else {
        EXPECT_NEAR(rows.state(0, j), want, (kSteps * 4 * 6e-8 + 3 * rounded) * want)
            << "class " << id;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, PagedRowsTest,
    testing::Values(Kind{"momentum", RowType::kFloat32}, Kind{"adagrad", RowType::kFloat32},
                    Kind{"momentum", RowType::kFloat16}, Kind{"adagrad", RowType::kFloat16}),
    [](const auto& info) { return absl::StrCat(info.param.state, RowTypeName(info.param.dtype)); });

}  // namespace
}  // namespace protopage
