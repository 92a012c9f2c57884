#include "protopage/trainer/step/device_rows.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

constexpr int64_t kSlots = 6, kDim = 5, kClasses = 20;

std::unique_ptr<PrototypeStore> NewStore(const std::string& name, RowType dtype) {
  const std::string path = JoinPath(::testing::TempDir(), name + ".h5");
  DefaultFileSystem()->Remove(path).IgnoreError();  // Usually it is not there.
  PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.dim = kDim;
  spec.dtype = dtype;
  auto store = PrototypeStore::Create(path, spec, {});
  PROTOPAGE_EXPECT_OK(store.status());
  return *std::move(store);
}

// Trains two stores with the same steps, one with prefetched rows and one without; some steps are
// skipped.
void ExpectTheSameRows(RowType dtype) {
  const std::string name = absl::StrCat("device_rows_", static_cast<int>(dtype), "_");
  const auto early_store = NewStore(name + "early", dtype),
             late_store = NewStore(name + "late", dtype);
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto early,
                                 DeviceRows::Create(early_store.get(), kSlots, backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto late,
                                 DeviceRows::Create(late_store.get(), kSlots, backend.get()));
  std::vector<std::vector<ClassId>> steps;
  for (int64_t step = 0; step < 40; ++step) {
    RandomStream random(3, RandomPurpose::kTest, step);
    std::vector<ClassId> classes;
    for (const int64_t id : SampleWithoutReplacement(random, kClasses, kSlots))
      classes.push_back(id);
    steps.push_back(classes);
  }
  for (int64_t step = 0; step < 40; ++step) {
    PROTOPAGE_ASSERT_OK(early->Begin(steps[step]));
    PROTOPAGE_ASSERT_OK(late->Begin(steps[step]));
    EXPECT_EQ(backend.ToHost(early->rows()), backend.ToHost(late->rows())) << step;
    EXPECT_EQ(backend.ToHost(early->state()), backend.ToHost(late->state())) << step;
    EXPECT_EQ(early->Away(step), late->Away(step)) << step;
    // Now and then the next step is not planned yet.
    if (step % 7 != 3 && step < 39) {
      PROTOPAGE_ASSERT_OK(early->PrefetchNext(steps[step + 1]));
    }
    if (step % 5 == 2) continue;  // Skipped.
    for (DeviceRows* rows : {early.get(), late.get()}) {
      PROTOPAGE_ASSERT_OK(
          backend->Add(rows->rows(), backend.Random({kSlots, kDim}, step), rows->rows()));
      PROTOPAGE_ASSERT_OK(
          backend->Add(rows->state(), backend.Random({kSlots, kDim}, 100 + step), rows->state()));
      PROTOPAGE_ASSERT_OK(rows->QueueFetch());
      PROTOPAGE_ASSERT_OK(rows->AwaitFetch());
      PROTOPAGE_ASSERT_OK(rows->Scatter(step));
    }
  }
  RowMatrixXf a(kClasses, kDim), b(kClasses, kDim);
  PROTOPAGE_ASSERT_OK(early_store->ReadRange(0, a));
  PROTOPAGE_ASSERT_OK(late_store->ReadRange(0, b));
  EXPECT_EQ(a, b);
  // All rows were trained.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto rows,
                                 DeviceRows::Create(late_store.get(), kSlots, backend.get()));
  PROTOPAGE_ASSERT_OK(rows->Begin({0, 1, 2, 3, 4, 5}));
  for (const float value : backend.ToHost(rows->state())) EXPECT_NE(value, 0.0f);
}

TEST(DeviceRowsTest, TheExampleOfTheHeader) {
  const auto prototypes = NewStore("example", RowType::kFloat32);
  TestBackend test_backend;
  PrototypeStore* const store = prototypes.get();
  Backend* const backend = test_backend.get();
  constexpr int64_t slots = kSlots, step = 7;
  const std::vector<ClassId> classes = {0, 1, 2, 3, 4, 5}, next_classes = {4, 5, 6, 7, 8, 9};
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto rows, DeviceRows::Create(store, slots, backend));
    PROTOPAGE_RETURN_IF_ERROR(rows->Begin(classes));
    EXPECT_EQ(rows->rows().shape(), Shape({kSlots, kDim}));
    EXPECT_EQ(rows->state().shape(), Shape({kSlots, kDim}));
    PROTOPAGE_RETURN_IF_ERROR(rows->PrefetchNext(next_classes));  // While the device works.
    PROTOPAGE_RETURN_IF_ERROR(backend->Fill(rows->rows(), 0.5f));
    PROTOPAGE_RETURN_IF_ERROR(rows->QueueFetch());
    EXPECT_EQ(rows->Away(step), std::vector<int32_t>(kSlots, 0));
    PROTOPAGE_RETURN_IF_ERROR(rows->AwaitFetch());
    PROTOPAGE_RETURN_IF_ERROR(rows->Scatter(step));
    PROTOPAGE_RETURN_IF_ERROR(rows->Begin(next_classes));
    EXPECT_EQ(rows->Away(step + 3), (std::vector<int32_t>{2, 2, 0, 0, 0, 0}));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  RowMatrixXf row(kSlots, kDim);
  PROTOPAGE_ASSERT_OK(store->Gather(classes, row));
  EXPECT_TRUE((row.array() == 0.5f).all());
}

TEST(DeviceRowsTest, PrefetchedRowsAreThoseOfTheStore) { ExpectTheSameRows(RowType::kFloat32); }

TEST(DeviceRowsTest, RowsThatAScatterRoundsReachTheNextStepRounded) {
  ExpectTheSameRows(RowType::kFloat16);
}

TEST(DeviceRowsTest, AnotherStepThanThePrefetchedOneIsGathered) {
  const auto store = NewStore("another_step", RowType::kFloat32);
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto rows,
                                 DeviceRows::Create(store.get(), kSlots, backend.get()));
  PROTOPAGE_ASSERT_OK(rows->Begin({0, 1, 2, 3, 4, 5}));
  PROTOPAGE_ASSERT_OK(rows->PrefetchNext({6, 7, 8, 9, 0, 1}));
  PROTOPAGE_ASSERT_OK(rows->Begin({9, 8, 7, 6, 5, 4}));
  RowMatrixXf expected(kClasses, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, expected));
  const std::vector<float> values = backend.ToHost(rows->rows());
  for (int64_t i = 0; i < kSlots; ++i) {
    for (int64_t d = 0; d < kDim; ++d) EXPECT_EQ(values[i * kDim + d], expected(9 - i, d));
  }
}

TEST(DeviceRowsTest, RowsAreScatteredOnlyAfterTheyWereFetched) {
  const auto store = NewStore("order", RowType::kFloat32);
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto rows,
                                 DeviceRows::Create(store.get(), kSlots, backend.get()));
  PROTOPAGE_ASSERT_OK(rows->Begin({0, 1, 2, 3, 4, 5}));
  EXPECT_DEATH(rows->Scatter(0).IgnoreError(), "State::kFetched");
}

}  // namespace
}  // namespace protopage
