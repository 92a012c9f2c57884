#include "protopage/prototypes/prototype_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/float16.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/fuzz/table_file.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/prototypes/table/table_copy.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 48;

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/prototype_store_test_", getpid(), "_", name);
}

void ExpectNoTemporaries(const std::string& path) {
  const auto names = DefaultFileSystem()->List(DirectoryOf(path));
  PROTOPAGE_ASSERT_OK(names);
  for (const std::string& name : *names) {
    EXPECT_FALSE(IsTemporaryName(name, BaseName(path))) << name;
  }
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> CreateTest(const std::string& path, int64_t classes,
                                                           int64_t cache_bytes = 1 << 20,
                                                           FileSystem* fs = nullptr,
                                                           const PrototypeStoreSpec& kind = {}) {
  PrototypeStoreSpec spec = kind;
  spec.num_classes = classes;
  spec.dim = kDim;
  spec.seed = 7;
  PrototypeStoreOptions options;
  options.cache_bytes = cache_bytes;
  options.file_system = fs;
  return PrototypeStore::Create(path, spec, options);
}

RowMatrixXf RandomRows(int64_t count, uint64_t key, int64_t width = kDim) {
  RandomStream random(3, RandomPurpose::kTest, key);
  RowMatrixXf rows(count, width);
  for (int64_t i = 0; i < rows.size(); ++i) rows.data()[i] = random.Normal();
  return rows;
}

// The rows as a store of that type keeps them.
RowMatrixXf Stored(RowType type, RowMatrixXf rows) {
  if (type == RowType::kFloat32) return rows;
  return rows.unaryExpr([](float x) { return HalfToFloat(FloatToHalf(x)); });
}

std::vector<ClassId> RandomIds(int64_t classes, int64_t count, uint64_t key) {
  RandomStream random(4, RandomPurpose::kTest, key);
  return SampleWithoutReplacement(random, classes, count);
}

TEST(PrototypeStoreTest, TheExampleOfTheHeader) {
  const std::string path = TempPath("example");
  StepRows step_rows;
  const auto example = [&]() -> absl::Status {
    PrototypeStoreSpec spec;
    spec.num_classes = 1000000;
    spec.dim = 512;
    PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Create(path, spec, {}));
    const std::vector<ClassId> ids = {4, 1, 9};
    StepRows rows;
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
    EXPECT_EQ(rows.rows.rows(), 3);
    EXPECT_EQ(rows.last_step, (std::vector<int64_t>{-1, -1, -1}));
    EXPECT_TRUE(rows.state.isZero(0));
    rows.rows *= 2;
    rows.state.setConstant(0.5f);
    PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep(ids, rows, /*step=*/17));
    PROTOPAGE_RETURN_IF_ERROR(store->Flush());
    step_rows = rows;
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  StepRows again;
  PROTOPAGE_ASSERT_OK(store->GatherStep({9, 9, 8, 4}, &again));
  EXPECT_EQ(again.rows.row(0), step_rows.rows.row(2));
  EXPECT_EQ(again.rows.row(1), step_rows.rows.row(2));
  EXPECT_EQ(again.rows.row(3), step_rows.rows.row(0));
  EXPECT_EQ(again.state.row(3), step_rows.state.row(0));
  EXPECT_EQ(again.last_step, (std::vector<int64_t>{17, 17, -1, 17}));
}

TEST(PrototypeStoreTest, UntouchedRowsAreUnitVectorsOfSeedAndClass) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(TempPath("initial"), 1000000000));
  RowMatrixXf rows(3, kDim);
  PROTOPAGE_ASSERT_OK(store->Gather({0, 999999999, 12345}, rows));
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(rows.row(i).norm(), 1.0f, 1e-6f);
  EXPECT_LT(std::abs(rows.row(0).dot(rows.row(1))), 0.7f);
  RowMatrixXf direct(1, kDim);
  InitialPrototype(7, 12345, absl::MakeSpan(direct.data(), kDim));
  EXPECT_EQ(direct.row(0), rows.row(2));
  RowMatrixXf range(2, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(12344, range));
  EXPECT_EQ(range.row(1), rows.row(2));
  InitialPrototype(8, 12345, absl::MakeSpan(direct.data(), kDim));
  EXPECT_NE(direct.row(0), rows.row(2));
}

class StoreKindTest : public testing::TestWithParam<PrototypeStoreSpec> {};

// Compares a store whose cache holds a small part of the rows with a plain matrix.
TEST_P(StoreKindTest, BehavesAsAMatrixWhateverIsCached) {
  constexpr int64_t kClasses = 3000, kCount = 64;
  const RowType type = GetParam().dtype;
  const std::string path =
      TempPath(absl::StrCat("matrix_", RowStateName(GetParam().row_state), "_", RowTypeName(type)));
  RowMatrixXf want(kClasses, kDim), want_state;
  std::vector<int64_t> want_step(kClasses, -1);
  {
    // About 300 rows of 3 * 48 * 4 bytes and more, with momentum.
    constexpr int64_t kCacheBytes = 200000;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store,
                                   CreateTest(path, kClasses, kCacheBytes, nullptr, GetParam()));
    const int64_t floats = store->state_floats();
    want_state = RowMatrixXf::Zero(kClasses, floats);
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, want));
    ASSERT_EQ(want, Stored(type, want));
    StepRows rows;
    for (int64_t step = 0; step < 300; ++step) {
      const std::vector<ClassId> ids = RandomIds(kClasses, kCount, step);
      PinnedRows pinned;
      if (step % 3 == 0) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(pinned, store->Prefetch(ids));
      }
      PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &rows));
      pinned.Release();
      for (int64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(rows.rows.row(i), want.row(ids[i])) << step;
        if (floats > 0) {
          ASSERT_EQ(rows.state.row(i), want_state.row(ids[i])) << step;
        }
        ASSERT_EQ(rows.last_step[i], want_step[ids[i]]) << step;
      }
      rows.rows = RandomRows(kCount, 2 * step);
      rows.state = RandomRows(kCount, 2 * step + 1, floats);
      PROTOPAGE_ASSERT_OK(store->ScatterStep(ids, rows, step));
      for (int64_t i = 0; i < kCount; ++i) {
        want.row(ids[i]) = Stored(type, rows.rows.row(i));
        if (floats > 0) want_state.row(ids[i]) = rows.state.row(i);
        want_step[ids[i]] = step;
      }
      if (step % 50 == 20) {
        const RowMatrixXf block = RandomRows(200, 100000 + step);
        PROTOPAGE_ASSERT_OK(store->WriteRange(5 * step, block));
        want.middleRows(5 * step, 200) = Stored(type, block);
      }
      if (step % 50 == 30) {
        const std::vector<ClassId> some = RandomIds(kClasses, 30, 200000 + step);
        const RowMatrixXf block = RandomRows(30, 300000 + step);
        PROTOPAGE_ASSERT_OK(store->Scatter(some, block));
        for (int i = 0; i < 30; ++i) want.row(some[i]) = Stored(type, block.row(i));
      }
      if (step % 50 == 40) {
        RowMatrixXf all(kClasses, kDim);
        PROTOPAGE_ASSERT_OK(store->ReadRange(0, all));
        ASSERT_EQ(all, want) << step;
      }
      if (step % 50 == 20) {
        std::vector<ClassId> some = RandomIds(kClasses, 700, 1000 + step);
        std::sort(some.begin(), some.end());
        RowMatrixXf read(some.size(), kDim);
        PROTOPAGE_ASSERT_OK(store->ReadRows(some, read));
        for (size_t i = 0; i < some.size(); ++i) ASSERT_EQ(read.row(i), want.row(some[i])) << step;
        std::swap(some[3], some[4]);
        EXPECT_THAT(store->ReadRows(some, read),
                    StatusIs(absl::StatusCode::kInvalidArgument, "at position 4 follows"));
      }
      if (step == 150) {
        PROTOPAGE_ASSERT_OK(store->ResetState());
        want_state.setZero();
        std::fill(want_step.begin(), want_step.end(), -1);
      }
      EXPECT_LE(store->stats().cache_bytes, kCacheBytes);
    }
    EXPECT_GT(store->stats().misses, 1000);
    EXPECT_GT(store->stats().rows_written, 1000);
    PROTOPAGE_ASSERT_OK(store->Flush());
    EXPECT_EQ(store->stats().dirty_rows, 0);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  EXPECT_TRUE(store->clean_when_opened());
  std::vector<ClassId> ids(kClasses);
  for (int64_t i = 0; i < kClasses; ++i) ids[i] = i;
  StepRows rows;
  PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &rows));
  EXPECT_EQ(rows.rows, want);
  if (store->state_floats() > 0) {
    EXPECT_EQ(rows.state, want_state);
  }
  EXPECT_EQ(rows.last_step, want_step);
}

PrototypeStoreSpec Kind(RowState state, RowType type) {
  PrototypeStoreSpec spec;
  spec.dtype = type;
  spec.row_state = state;
  return spec;
}

INSTANTIATE_TEST_SUITE_P(Kinds, StoreKindTest,
                         testing::Values(Kind(RowState::kMomentum, RowType::kFloat32),
                                         Kind(RowState::kAdagrad, RowType::kFloat32),
                                         Kind(RowState::kMomentum, RowType::kFloat16),
                                         Kind(RowState::kNone, RowType::kFloat16)),
                         [](const auto& info) {
                           return absl::StrCat(RowStateName(info.param.row_state), "_",
                                               RowTypeName(info.param.dtype));
                         });

TEST(PrototypeStoreTest, Float16RowsTakeHalfTheRoomAndAreRoundedFromTheFirstOn) {
  constexpr int64_t kClasses = 200, kWide = 512;
  int64_t rows_of_cache[2], bytes_of_file[2];
  for (const RowType type : {RowType::kFloat32, RowType::kFloat16}) {
    const std::string path = TempPath(absl::StrCat("room_", RowTypeName(type)));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kWide;
    spec.seed = 9;
    spec.row_state = RowState::kAdagrad;
    spec.dtype = type;
    PrototypeStoreOptions options;
    options.cache_bytes = 200 << 10;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(path, spec, options));
    RowMatrixXf initial(1, kWide), rows(kClasses, kWide);
    InitialPrototype(9, 17, absl::MakeSpan(initial.data(), kWide));
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
    EXPECT_EQ(rows.row(17), Stored(type, initial));
    // 2^-11 of each element at most.
    EXPECT_NEAR(rows.row(17).norm(), 1, 0x1p-11);
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, rows));
    PROTOPAGE_ASSERT_OK(store->Flush());
    const int i = type == RowType::kFloat16 ? 1 : 0;
    rows_of_cache[i] = store->stats().capacity_rows;
    bytes_of_file[i] = store->stats().bytes_written;
    store.reset();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(store, PrototypeStore::Open(path, options));
    EXPECT_EQ(store->spec().dtype, type);
    RowMatrixXf read(kClasses, kWide);
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, read));
    EXPECT_EQ(read, rows);
  }
  EXPECT_GT(rows_of_cache[1], rows_of_cache[0] * 3 / 2);
  // The blocks of checksums are the same.
  EXPECT_EQ(bytes_of_file[0] - bytes_of_file[1], kClasses * kWide * 2);
}

// Rows of a few elements are narrow cells, in blocks (table_blocks.h).
TEST(PrototypeStoreTest, NarrowFloat16Rows) {
  PrototypeStoreSpec spec;
  spec.num_classes = 9;
  spec.dim = 5;
  spec.dtype = RowType::kFloat16;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(TempPath("narrow"), spec, {}));
  RowMatrixXf initial(9, 5), read(9, 5);
  for (ClassId id = 0; id < 9; ++id) InitialPrototype(0, id, absl::MakeSpan(&initial(id, 0), 5));
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, read));
  EXPECT_EQ(read, Stored(spec.dtype, initial));
  PROTOPAGE_ASSERT_OK(store->Scatter({4}, RowMatrixXf::Constant(1, 5, 0.1f)));
  PROTOPAGE_ASSERT_OK(store->Flush());
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, read));
  EXPECT_EQ(read(4, 2), HalfToFloat(FloatToHalf(0.1f)));
  EXPECT_EQ(read.row(3), Stored(spec.dtype, initial.row(3)));
}

// The ids of all rows of a store that are not zeros.
std::vector<ClassId> IdsWithRows(PrototypeStore* store) {
  RowMatrixXf rows(store->num_classes(), kDim);
  PROTOPAGE_EXPECT_OK(store->ReadRange(0, rows));
  std::vector<ClassId> ids;
  for (ClassId id = 0; id < store->num_classes(); ++id) {
    if (!rows.row(id).isZero(0)) ids.push_back(id);
  }
  return ids;
}

TEST(PrototypeStoreTest, ClassesAreAddedWithinTheCapacityAndBeyondIt) {
  const std::string path = TempPath("grown");
  PrototypeStoreSpec spec;
  spec.num_classes = 5;
  spec.capacity = 8;
  spec.dim = kDim;
  spec.seed = 2;
  const RowMatrixXf rows = RandomRows(400, 1);
  StepRows trained;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(path, spec, {}));
    PROTOPAGE_ASSERT_OK(store->GatherStep({3}, &trained));
    trained.state.setConstant(0.5f);
    PROTOPAGE_ASSERT_OK(store->ScatterStep({3}, trained, 17));
    PROTOPAGE_ASSERT_OK(store->AppendRows(rows.topRows(1)));
    PROTOPAGE_ASSERT_OK(store->AppendRows(rows.middleRows(1, 1)));
    EXPECT_EQ(store->num_classes(), 5);
    RowMatrixXf row(1, kDim);
    EXPECT_THAT(store->Gather({5}, row), StatusIs(absl::StatusCode::kOutOfRange, "[0, 5)"));
    PROTOPAGE_ASSERT_OK(store->AddAppended());
    EXPECT_EQ(store->num_classes(), 7);
    PROTOPAGE_ASSERT_OK(store->Gather({6}, row));
    EXPECT_EQ(row, rows.row(1));
    EXPECT_THAT(store->AppendRows(rows.topRows(2)),
                StatusIs(absl::StatusCode::kOutOfRange, "from id 7 on, with room for 8"));
    // Never added: these rows are no classes.
    PROTOPAGE_ASSERT_OK(store->AppendRows(rows.middleRows(7, 1)));
    PROTOPAGE_ASSERT_OK(store->Drop({1}));
    EXPECT_THAT(PrototypeStore::Reserve(path, 500),
                StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 8));  // It has that much.
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 500));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  EXPECT_TRUE(store->clean_when_opened());
  EXPECT_EQ(store->num_classes(), 7);
  EXPECT_EQ(store->spec().capacity, 500);
  EXPECT_TRUE(store->is_dropped(1));
  StepRows step;
  PROTOPAGE_ASSERT_OK(store->GatherStep({3, 0, 5, 6}, &step));
  EXPECT_EQ(step.rows.row(0), trained.rows.row(0));
  EXPECT_EQ(step.state.row(0), trained.state.row(0));
  EXPECT_EQ(step.last_step, (std::vector<int64_t>{17, -1, -1, -1}));
  RowMatrixXf initial(1, kDim);
  InitialPrototype(2, 0, absl::MakeSpan(initial.data(), kDim));
  EXPECT_EQ(step.rows.row(1), initial.row(0));
  EXPECT_EQ(step.rows.row(3), rows.row(1));
  PROTOPAGE_ASSERT_OK(store->AppendRows(rows));
  PROTOPAGE_ASSERT_OK(store->AddAppended());
  EXPECT_EQ(store->num_classes(), 407);
  RowMatrixXf read(400, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(7, read));
  EXPECT_EQ(read, rows);
  // New classes train like the others, and more of them at once than there were before.
  std::vector<ClassId> ids(400);
  for (int i = 0; i < 400; ++i) ids[i] = 7 + i;
  PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &step));
  EXPECT_TRUE(step.state.isZero(0));
  PROTOPAGE_ASSERT_OK(store->ScatterStep(ids, step, 3));
}

TEST(PrototypeStoreTest, ClassesHaveNamesOutside) {
  const std::string path = TempPath("names");
  const std::string longest(ClassNames::kMostNameBytes, 'x');
  const std::vector<std::string> none(3);
  RowMatrixXf rows = RandomRows(2, 1);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 3));
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, rows));
    PROTOPAGE_ASSERT_OK(store->Flush());
    EXPECT_FALSE(store->HasNames().value());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(0, 3));
    EXPECT_EQ(names, none);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto found, store->FindClasses({"a"}));
    EXPECT_EQ(found, std::vector<ClassId>{kNoClass});
    EXPECT_THAT(store->WriteAppendedNames({"a"}),
                StatusIs(absl::StatusCode::kFailedPrecondition, "no room for names"));
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 5, nullptr, /*name_bytes=*/3));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
    EXPECT_TRUE(store->HasNames().value());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(0, 3));
    EXPECT_EQ(names, none);
    EXPECT_THAT(store->WriteAppendedNames({longest + "y"}),
                StatusIs(absl::StatusCode::kInvalidArgument, "256 bytes, expected at most 255"));
    EXPECT_THAT(store->WriteAppendedNames({longest}),
                StatusIs(absl::StatusCode::kOutOfRange, "255 bytes, with room for 56"));
    EXPECT_THAT(store->WriteAppendedNames({std::string("a\0b", 3)}),
                StatusIs(absl::StatusCode::kInvalidArgument, "a zero byte"));
    EXPECT_THAT(store->ReadNames(2, 2), StatusIs(absl::StatusCode::kOutOfRange, "id 3"));
    // The names of rows that are no classes yet.
    PROTOPAGE_ASSERT_OK(store->AppendRows(rows));
    PROTOPAGE_ASSERT_OK(store->WriteAppendedNames({"Zoë", "e"}));
    PROTOPAGE_ASSERT_OK(store->AddAppended());
  }
  // Names stay in a larger file, also with longer ones, and in a copy; a dropped class keeps its
  // name, but is not found by it.
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 50, nullptr, /*name_bytes=*/255));
  const std::string copy = TempPath("names_copy");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
    EXPECT_EQ(store->spec().capacity, 50);
    PROTOPAGE_ASSERT_OK(store->AppendRows(rows));
    PROTOPAGE_ASSERT_OK(store->WriteAppendedNames({longest, "f"}));
    PROTOPAGE_ASSERT_OK(store->AddAppended());
    PROTOPAGE_ASSERT_OK(store->Drop({4}));
    PROTOPAGE_ASSERT_OK(store->SaveCopy(copy));
  }
  PrototypeStoreOptions options;
  options.read_only = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(copy, options));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(0, 7));
  EXPECT_EQ(names, (std::vector<std::string>{"", "", "", "Zoë", "e", longest, "f"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto found, store->FindClasses({"Zoë", "e", longest, "f"}));
  EXPECT_EQ(found, (std::vector<ClassId>{3, kNoClass, 5, 6}));
  RowMatrixXf read(2, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(3, read));
  read.row(1) = rows.row(1);  // It was dropped.
  EXPECT_EQ(read, rows);
  EXPECT_THAT(store->WriteAppendedNames({"a"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, ""));
}

TEST(PrototypeStoreTest, DamagedCellsOfADroppedClassAreNotRead) {
  const std::string path = TempPath("damaged_dropped");
  PrototypeStoreSpec spec;
  spec.num_classes = 3;
  spec.dim = 2;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Create(path, spec, {}));
    StepRows rows;
    PROTOPAGE_ASSERT_OK(store->GatherStep({0, 1}, &rows));
    PROTOPAGE_ASSERT_OK(store->ScatterStep({0, 1}, rows, /*step=*/4));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(store->Drop({1}));
  }
  TableFile file = ReadTableFile(path);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "prototypes" || dataset.name == "last_step") dataset.content[8] ^= 1;
  }
  ASSERT_TRUE(WriteTableFile(path, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  RowMatrixXf rows(3, 2);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
  EXPECT_EQ(rows.row(1).norm(), 0);
  EXPECT_NE(rows.row(0).norm(), 0);
  std::vector<ClassState> states(3);
  PROTOPAGE_ASSERT_OK(store->ReadStates(0, absl::MakeSpan(states)));
  EXPECT_EQ(states[0].last_step, 4);
  EXPECT_FALSE(states[1].written);
  EXPECT_EQ(states[1].last_step, -1);
}

TEST(PrototypeStoreTest, ADamagedMarkOfARowNotInUseIsFoundWhenItIsAdded) {
  const std::string path = TempPath("damaged_mark");
  PrototypeStoreSpec spec;
  spec.num_classes = 2;
  spec.capacity = 3;
  spec.dim = 2;
  PROTOPAGE_ASSERT_OK(PrototypeStore::Create(path, spec, {}).status());
  TableFile file = ReadTableFile(path);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "dropped") dataset.content[2 * 8] = 7;
  }
  ASSERT_TRUE(WriteTableFile(path, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  PROTOPAGE_ASSERT_OK(store->AppendRows(RowMatrixXf::Ones(1, 2)));
  EXPECT_THAT(store->AddAppended(), StatusIs(absl::StatusCode::kDataLoss, "row 2 of 'dropped'"));
  EXPECT_EQ(store->num_classes(), 2);
}

TEST(PrototypeStoreTest, NamesThatCannotBeReadAreNotTakenForNone) {
  const std::string path = TempPath("damaged_names");
  const auto name = [](ClassId id) -> absl::StatusOr<std::string> { return absl::StrCat("c", id); };
  const std::string names_path = TempPath("letters");
  PROTOPAGE_ASSERT_OK(ClassNames::Create(DefaultFileSystem(), names_path, 3, name));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names,
                                 ClassNames::Open(DefaultFileSystem(), names_path));
  PrototypeStoreSpec spec;
  spec.num_classes = 3;
  spec.dim = 2;
  PROTOPAGE_ASSERT_OK(PrototypeStore::Create(path, spec, {}, names.get()).status());
  TableFile file = ReadTableFile(path);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "class_name_order") dataset.name = "another";
  }
  ASSERT_TRUE(WriteTableFile(path, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  const std::string why = "'class_name_order' does not fit 3 names";
  EXPECT_THAT(store->HasNames(), StatusIs(absl::StatusCode::kDataLoss, why));
  EXPECT_THAT(store->CheckNames(), StatusIs(absl::StatusCode::kDataLoss, why));
}

TEST(PrototypeStoreTest, AStoreIsCreatedWithTheNamesOfItsClasses) {
  const std::string file = TempPath("names_of"), path = TempPath("named");
  const std::vector<std::string> all = {"b", "a", "a longer one"};
  PROTOPAGE_ASSERT_OK(
      ClassNames::Create(DefaultFileSystem(), file, 3,
                         [&](ClassId c) -> absl::StatusOr<std::string> { return all[c]; }));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto named, ClassNames::Open(DefaultFileSystem(), file));
  PrototypeStoreSpec spec;
  spec.num_classes = 4;
  spec.dim = kDim;
  EXPECT_THAT(PrototypeStore::Create(path, spec, {}, named.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "names of 3 classes, expected 4"));
  spec.num_classes = 3;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Create(path, spec, {}, named.get()));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 10, nullptr, /*name_bytes=*/200));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  PROTOPAGE_ASSERT_OK(store->AppendRows(RandomRows(1, 1)));
  PROTOPAGE_ASSERT_OK(store->WriteAppendedNames({std::string(200, 'l')}));
  PROTOPAGE_ASSERT_OK(store->AddAppended());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto found, store->FindClasses({"a longer one", "b", "a", std::string(200, 'l'), "0"}));
  EXPECT_EQ(found, (std::vector<ClassId>{2, 0, 1, 3, kNoClass}));
}

TEST(PrototypeStoreTest, NumberedClassesGetNamesWhenSomeAreAdded) {
  const std::string file = TempPath("numbers_of"), path = TempPath("numbered");
  PROTOPAGE_ASSERT_OK(ClassNames::CreateNumbered(DefaultFileSystem(), file, 3));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto numbers, ClassNames::Open(DefaultFileSystem(), file));
  PrototypeStoreSpec spec;
  spec.num_classes = 3;
  spec.dim = kDim;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Create(path, spec, {}, numbers.get()));
    PROTOPAGE_ASSERT_OK(store->Flush());
    EXPECT_FALSE(store->HasNames().value());
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 4, nullptr, /*name_bytes=*/1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  PROTOPAGE_ASSERT_OK(store->AppendRows(RandomRows(1, 1)));
  PROTOPAGE_ASSERT_OK(store->WriteAppendedNames({"x"}));
  PROTOPAGE_ASSERT_OK(store->AddAppended());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(0, 4));
  EXPECT_EQ(names, (std::vector<std::string>{"0", "1", "2", "x"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto found, store->FindClasses({"2", "x", "3"}));
  EXPECT_EQ(found, (std::vector<ClassId>{2, 3, kNoClass}));
}

TEST(PrototypeStoreTest, ALargerFileStaysSparse) {
  const std::string path = TempPath("sparse");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 100000000));
    PROTOPAGE_ASSERT_OK(store->Scatter({77777777}, RandomRows(1, 1)));
    PROTOPAGE_ASSERT_OK(store->Drop({99999999}));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 150000000));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  RowMatrixXf row(1, kDim);
  PROTOPAGE_ASSERT_OK(store->Gather({77777777}, row));
  EXPECT_EQ(row, RandomRows(1, 1));
  EXPECT_TRUE(store->is_dropped(99999999));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, DefaultFileSystem()->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  EXPECT_GT(size, int64_t{150000000} * kDim * 8);
  int64_t allocated = 0;
  for (int64_t at = 0; at < size;) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ByteRange data, file->NextData(at));
    allocated += data.end - data.begin;
    at = std::max(data.end, at + 1);
  }
  EXPECT_LT(allocated, 200000);
}

TEST(PrototypeStoreTest, DroppedClassesExistNoMore) {
  const std::string path = TempPath("dropped");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 10));
    PROTOPAGE_ASSERT_OK(store->Drop({3, 8}));
    EXPECT_THAT(store->Drop({4, 3}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                              "id 3 at position 1 is a class that was dropped"));
    EXPECT_THAT(store->Drop({4, 4}), StatusIs(absl::StatusCode::kInvalidArgument, "id 4"));
    EXPECT_THAT(store->Drop({10}), StatusIs(absl::StatusCode::kOutOfRange, "[0, 10)"));
    EXPECT_THAT(store->Drop({0, 1, 2, 4, 5, 6, 7, 9}),
                StatusIs(absl::StatusCode::kInvalidArgument, "no class would be left"));
  }
  PrototypeStoreOptions options;
  for (const bool read_only : {false, true}) {
    options.read_only = read_only;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, options));
    EXPECT_EQ(store->num_classes(), 10);
    EXPECT_EQ(store->num_dropped(), 2);
    EXPECT_EQ(IdsWithRows(store.get()), (std::vector<ClassId>{0, 1, 2, 4, 5, 6, 7, 9}));
    RowMatrixXf rows = RandomRows(2, 1);
    StepRows step;
    const auto refused =
        StatusIs(absl::StatusCode::kFailedPrecondition, "id 8 at position 1 is a class that was");
    EXPECT_THAT(store->Gather({2, 8}, rows), refused);
    EXPECT_THAT(store->GatherStep({2, 8}, &step), refused);
    EXPECT_THAT(store->Prefetch({2, 8}).status(), refused);
    if (read_only) {
      EXPECT_THAT(store->Drop({2}), StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
      EXPECT_THAT(store->AppendRows(rows),
                  StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
      continue;
    }
    EXPECT_THAT(store->Scatter({2, 8}, rows), refused);
    PROTOPAGE_ASSERT_OK(store->WriteRange(2, rows));  // Includes class 3, which stays dropped.
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  const std::string copy = TempPath("dropped_copy");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  PROTOPAGE_ASSERT_OK(store->SaveCopy(copy));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto copied, PrototypeStore::Open(copy, {}));
  EXPECT_EQ(IdsWithRows(copied.get()), (std::vector<ClassId>{0, 1, 2, 4, 5, 6, 7, 9}));
}

TEST(PrototypeStoreTest, MergedClassesBecomeTheMeanOfTheirRows) {
  const std::string path = TempPath("merged");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 10));
  StepRows step;
  step.rows = 3 * RandomRows(3, 1);
  step.state = RandomRows(3, 2);
  PROTOPAGE_ASSERT_OK(store->ScatterStep({2, 5, 7}, step, 4));
  EXPECT_THAT(PrototypeStore::Merge(path, 5, {2}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
  PROTOPAGE_ASSERT_OK(store->WriteRange(2, step.rows));
  store.reset();  // Without a flush.
  EXPECT_THAT(PrototypeStore::Merge(path, 5, {2}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "while it was being written"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store, PrototypeStore::Open(path, {}));
  PROTOPAGE_ASSERT_OK(store->ScatterStep({2, 5, 7}, step, 4));
  PROTOPAGE_ASSERT_OK(store->Flush());
  store.reset();
  EXPECT_THAT(PrototypeStore::Merge(path, 5, {2, 5}),
              StatusIs(absl::StatusCode::kInvalidArgument, "merged: id 5"));
  EXPECT_THAT(PrototypeStore::Merge(path, 0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
              StatusIs(absl::StatusCode::kOutOfRange, "[0, 10)"));
  PROTOPAGE_ASSERT_OK(PrototypeStore::Merge(path, 5, {7, 2}));
  EXPECT_THAT(PrototypeStore::Merge(path, 5, {7, 2}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "a class that was dropped"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store, PrototypeStore::Open(path, {}));
  Eigen::RowVectorXf want = Eigen::RowVectorXf::Zero(kDim);
  for (int i = 0; i < 3; ++i) want += step.rows.row(i).normalized();
  want.normalize();
  PROTOPAGE_ASSERT_OK(store->GatherStep({5}, &step));
  EXPECT_LT((step.rows.row(0) - want).norm(), 1e-6f);
  EXPECT_TRUE(step.state.isZero(0));
  EXPECT_EQ(step.last_step, (std::vector<int64_t>{-1}));
  EXPECT_EQ(IdsWithRows(store.get()), (std::vector<ClassId>{0, 1, 3, 4, 5, 6, 8, 9}));
  // Opposite rows.
  PROTOPAGE_ASSERT_OK(store->Gather({0}, step.rows));
  PROTOPAGE_ASSERT_OK(store->Scatter({1}, -step.rows));
  PROTOPAGE_ASSERT_OK(store->Flush());
  store.reset();
  EXPECT_THAT(PrototypeStore::Merge(path, 0, {1}),
              StatusIs(absl::StatusCode::kInvalidArgument, "no direction in common"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store, PrototypeStore::Open(path, {}));
  EXPECT_FALSE(store->is_dropped(1));
}

// A call that fails leaves the classes as they were, or as they would be after success.
TEST(PrototypeStoreTest, ClassesComeAndGoWhateverFails) {
  FaultyFileSystem fs;
  const std::string path = TempPath("come_and_go");
  PrototypeStoreSpec spec;
  spec.num_classes = 20;
  spec.capacity = 20;
  spec.dim = kDim;
  PrototypeStoreOptions options;
  options.file_system = &fs;
  { PROTOPAGE_ASSERT_OK(PrototypeStore::Create(path, spec, options)); }
  int64_t classes = 20, failed = 0;
  for (int64_t call = 1, succeeded = 0; succeeded < 2; ++call) {
    fs.FailAt(call);
    const RowMatrixXf rows = RandomRows(1, call);
    const auto change = [&]() -> absl::Status {
      PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Reserve(path, classes + 1, &fs));
      PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Open(path, options));
      PROTOPAGE_RETURN_IF_ERROR(store->AppendRows(rows));
      return store->AddAppended();
    };
    const absl::Status status = change();
    fs.FailAt(0);
    failed += status.ok() ? 0 : 1;
    succeeded += status.ok() ? 1 : 0;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, options));
    EXPECT_GE(store->num_classes(), classes + (status.ok() ? 1 : 0)) << call;
    EXPECT_LE(store->num_classes(), classes + 1) << call;
    if (store->num_classes() > classes) {
      RowMatrixXf read(1, kDim);
      PROTOPAGE_ASSERT_OK(store->ReadRange(classes, read));
      EXPECT_EQ(read, rows) << call;
    }
    classes = store->num_classes();
    PROTOPAGE_ASSERT_OK(store->Flush());
    ExpectNoTemporaries(path);
  }
  EXPECT_GT(failed, 20);
}

TEST(PrototypeStoreTest, AMergeThatFailsHasChangedNothingOrIsDone) {
  FaultyFileSystem fs;
  const std::string path = TempPath("merge_fails"), before = TempPath("before_merge");
  PrototypeStoreOptions options;
  options.file_system = &fs;
  RowMatrixXf old(2, kDim), rows(2, kDim);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, CreateTest(before, 20));
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, 3 * RandomRows(2, 1)));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, old));
  }
  const Eigen::RowVectorXf mean = (old.row(0).normalized() + old.row(1).normalized()).normalized();
  int64_t failed = 0;
  bool done = false;
  for (int64_t call = 1; !done; ++call) {
    PROTOPAGE_ASSERT_OK(CopyFileAtomically(DefaultFileSystem(), before, path));
    const int64_t calls = fs.calls();
    fs.FailAt(call);
    const absl::Status status = PrototypeStore::Merge(path, 0, {1}, &fs);
    done = fs.calls() - calls < call;
    fs.FailAt(0);
    failed += status.ok() ? 0 : 1;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
    EXPECT_TRUE(store->clean_when_opened()) << call;
    if (store->is_dropped(1)) {
      EXPECT_LT((rows.row(0) - mean).norm(), 1e-6f) << call;
    } else {
      EXPECT_FALSE(status.ok()) << call;
      EXPECT_EQ(rows, old) << call;
    }
    ExpectNoTemporaries(path);
  }
  EXPECT_GT(failed, 20);
}

TEST(PrototypeStoreTest, AnAttributeOfALaterProgramIsRefused) {
  const std::string path = TempPath("later"), other = TempPath("later_changed");
  FileSystem* const fs = DefaultFileSystem();
  { PROTOPAGE_ASSERT_OK(CreateTest(path, 10)); }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  const auto open = [&](const Hdf5Layout& changed) -> absl::Status {
    Hdf5Layout created = changed;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto out, fs->Open(other, OpenMode::kCreate));
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(out.get(), other, &created));
    return PrototypeStore::Open(other, {}).status();
  };
  Hdf5Layout changed = layout;
  changed.texts["dtype"] = "float64";
  EXPECT_THAT(open(changed),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "dtype: found \"float64\", expected one of float32, float16"));
  changed = layout;
  changed.texts["generator"] = "normal_3";
  EXPECT_THAT(open(changed),
              StatusIs(absl::StatusCode::kFailedPrecondition, "generator: found \"normal_3\""));
  for (const char* const name : {"rows_per_class", "partitions", "partition"}) {
    changed = layout;
    changed.integers[name] = 3;
    EXPECT_THAT(open(changed), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        absl::StrCat(name, ": found 3, expected ")));
  }
}

TEST(PrototypeStoreTest, RefusesBadArguments) {
  const std::string path = TempPath("arguments");
  EXPECT_THAT(CreateTest(path, 0), StatusIs(absl::StatusCode::kInvalidArgument, "num_classes 0"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 900));
  RowMatrixXf rows = RandomRows(2, 1);
  EXPECT_THAT(store->Gather({1, 912}, rows),
              StatusIs(absl::StatusCode::kOutOfRange, "id 912 at position 1 is outside [0, 900)"));
  EXPECT_THAT(store->Gather({1, 2, 3}, rows),
              StatusIs(absl::StatusCode::kInvalidArgument, "[2, 48], expected [3, 48]"));
  EXPECT_THAT(store->Scatter({5, 5}, rows),
              StatusIs(absl::StatusCode::kInvalidArgument, "id 5 at positions 0 and 1"));
  EXPECT_THAT(store->ReadRange(899, rows), StatusIs(absl::StatusCode::kOutOfRange, "id 900"));
  EXPECT_THAT(store->WriteRange(-1, rows), StatusIs(absl::StatusCode::kOutOfRange, "id -1"));
  StepRows step;
  step.rows = rows;
  EXPECT_THAT(store->ScatterStep({1, 2}, step, 0),
              StatusIs(absl::StatusCode::kInvalidArgument, "momentum are [0, 0]"));
  step.state = rows;
  EXPECT_THAT(store->ScatterStep({1, 2}, step, -1),
              StatusIs(absl::StatusCode::kInvalidArgument, "step -1"));
}

TEST(PrototypeStoreTest, AStoreWithoutState) {
  PrototypeStoreSpec spec;
  spec.num_classes = 10;
  spec.capacity = 20;
  spec.dim = kDim;
  spec.row_state = RowState::kNone;
  const std::string path = TempPath("none");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(path, spec, {}));
    StepRows rows;
    PROTOPAGE_ASSERT_OK(store->GatherStep({3}, &rows));
    EXPECT_EQ(rows.state.size(), 0);
    PROTOPAGE_ASSERT_OK(store->ScatterStep({3}, rows, 5));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  EXPECT_EQ(store->spec().capacity, 20);
  EXPECT_EQ(store->spec().row_state, RowState::kNone);
  StepRows rows;
  PROTOPAGE_ASSERT_OK(store->GatherStep({3, 4}, &rows));
  EXPECT_EQ(rows.last_step, (std::vector<int64_t>{5, -1}));
}

TEST(PrototypeStoreTest, ACacheTooSmallForTheRowsSaysSo) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(TempPath("small"), 1000, 20 * 600));
  RowMatrixXf rows(100, kDim);
  EXPECT_THAT(store->Gather(RandomIds(1000, 100, 1), rows),
              StatusIs(absl::StatusCode::kResourceExhausted, "cache_bytes"));
  RowMatrixXf few(5, kDim);
  PROTOPAGE_EXPECT_OK(store->Gather(RandomIds(1000, 5, 1), few));
  // Pinned rows take room until the last of their pins is released.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(PinnedRows first, store->Prefetch({1, 2, 3, 4, 5, 6}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(PinnedRows second, store->Prefetch({1, 2, 3, 4, 5, 6}));
  const auto prefetch_more = [&] { return store->Prefetch(RandomIds(1000, 15, 2)).status(); };
  const auto no_room = StatusIs(absl::StatusCode::kResourceExhausted, "in use");
  EXPECT_THAT(prefetch_more(), no_room);
  StepRows step;
  PROTOPAGE_ASSERT_OK(store->GatherStep({1, 2, 3, 4, 5, 6}, &step));
  first.Release();
  EXPECT_THAT(prefetch_more(), no_room);
  second.Release();
  PROTOPAGE_EXPECT_OK(prefetch_more());
}

TEST(PrototypeStoreTest, OneWriterManyReaders) {
  const std::string path = TempPath("lock");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 10));
  EXPECT_THAT(PrototypeStore::Open(path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
  EXPECT_THAT(RestoreCopy(DefaultFileSystem(), path, path),
              StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
  PrototypeStoreOptions options;
  options.read_only = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto reader, PrototypeStore::Open(path, options));
  RowMatrixXf rows(1, kDim);
  PROTOPAGE_EXPECT_OK(reader->Gather({3}, rows));
  EXPECT_THAT(reader->Scatter({3}, rows),
              StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
  EXPECT_THAT(reader->WriteRange(3, rows),
              StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
  EXPECT_THAT(reader->ResetState(), StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
}

// A user may keep a store on another disk and link to it.
TEST(PrototypeStoreTest, ALinkToAStoreStays) {
  const std::string path = TempPath("linked"), target = TempPath("elsewhere");
  ASSERT_EQ(symlink(target.c_str(), path.c_str()), 0);
  { PROTOPAGE_ASSERT_OK(CreateTest(target, 10)); }
  const auto is_link = [&] {
    char buffer[1000];
    return readlink(path.c_str(), buffer, sizeof(buffer)) > 0;
  };
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 20));
  PROTOPAGE_ASSERT_OK(PrototypeStore::Merge(path, 0, {1}));
  EXPECT_TRUE(is_link());
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    EXPECT_EQ(store->spec().capacity, 20);
    EXPECT_TRUE(store->is_dropped(1));
    // Both names have one lock.
    EXPECT_THAT(PrototypeStore::Open(target, {}),
                StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
  }
  EXPECT_FALSE(DefaultFileSystem()->Exists(path + ".lock"));
  const std::string copy = TempPath("copy_by_link"), copied = TempPath("copied");
  ASSERT_EQ(symlink(copied.c_str(), copy.c_str()), 0);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    PROTOPAGE_ASSERT_OK(store->SaveCopy(copy));
  }
  PROTOPAGE_EXPECT_OK(PrototypeStore::Open(copied, {}));
  PROTOPAGE_ASSERT_OK(RestoreCopy(DefaultFileSystem(), copied, path));
  EXPECT_TRUE(is_link());
}

TEST(PrototypeStoreTest, ALockThatAnotherProcessHoldsStays) {
  const std::string path = TempPath("held_lock");
  FileSystem* const fs = DefaultFileSystem();
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto lock, LockTable(fs, path));
    EXPECT_THAT(CreateTest(path, 10),
                StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
    EXPECT_FALSE(fs->Exists(path));
    // It is this one that the next process locks.
    EXPECT_THAT(LockTable(fs, path), StatusIs(absl::StatusCode::kFailedPrecondition, ""));
  }
  PROTOPAGE_EXPECT_OK(CreateTest(path, 10));
  EXPECT_TRUE(fs->Exists(absl::StrCat(path, ".lock")));
}

TEST(PrototypeStoreTest, ACopyIsACheckpoint) {
  const std::string path = TempPath("live"), copy = TempPath("checkpoint");
  StepRows saved, rows;
  const std::vector<ClassId> ids = {1, 5, 77};
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 100));
    rows.rows = RandomRows(3, 1);
    rows.state = RandomRows(3, 2);
    PROTOPAGE_ASSERT_OK(store->ScatterStep(ids, rows, 4));
    PROTOPAGE_ASSERT_OK(store->SaveCopy(copy));
    PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &saved));
    rows.rows = RandomRows(3, 3);
    PROTOPAGE_ASSERT_OK(store->ScatterStep(ids, rows, 5));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PROTOPAGE_ASSERT_OK(RestoreCopy(DefaultFileSystem(), copy, path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  EXPECT_TRUE(store->clean_when_opened());
  PROTOPAGE_ASSERT_OK(store->GatherStep(ids, &rows));
  EXPECT_EQ(rows.rows, saved.rows);
  EXPECT_EQ(rows.state, saved.state);
  EXPECT_EQ(rows.last_step, (std::vector<int64_t>{4, 4, 4}));
}

TEST(PrototypeStoreTest, NamesOfAnotherLengthAreNotRead) {
  const std::string path = TempPath("long_names");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, CreateTest(path, 3));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PROTOPAGE_ASSERT_OK(CopyTableLarger(DefaultFileSystem(), path, path, 3,
                                      {{{ClassNames::kDataset, CellType::kUint8, 1000}}}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  EXPECT_THAT(store->HasNames(), StatusIs(absl::StatusCode::kDataLoss, "'class_names'"));
  EXPECT_THAT(store->ReadNames(0, 3), StatusIs(absl::StatusCode::kDataLoss, "'class_names'"));
}

TEST(PrototypeStoreTest, AFlippedByteOfARowIsNamed) {
  const std::string path = TempPath("flipped");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 100));
    PROTOPAGE_ASSERT_OK(store->WriteRange(40, RandomRows(3, 1)));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kReadWrite));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
    PROTOPAGE_ASSERT_OK(
        file->WriteAt(layout.Find("prototypes")->offset + 41 * kDim * 4 + 9, "x", 1));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, {}));
  RowMatrixXf rows(2, kDim);
  EXPECT_THAT(store->Gather({1, 41}, rows), StatusIs(absl::StatusCode::kDataLoss, path));
  EXPECT_THAT(store->Gather({1, 41}, rows), StatusIs(absl::StatusCode::kDataLoss, "row 41"));
  EXPECT_THAT(store->ReadRange(40, rows), StatusIs(absl::StatusCode::kDataLoss, "row 41"));
  PROTOPAGE_EXPECT_OK(store->Gather({40, 42}, rows));  // The failed call left nothing behind.
}

TEST(PrototypeStoreTest, AFullDiskIsReportedAndNothingIsLost) {
  FaultyFileSystem fs;
  const std::string path = TempPath("full");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 3000, 200000, &fs));
  RowMatrixXf want(3000, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, want));
  StepRows rows;
  int refused = 0;
  for (int64_t step = 0; step < 200; ++step) {
    fs.FailWrites(step >= 50 && step < 100);
    const std::vector<ClassId> ids = RandomIds(3000, 64, step);
    rows.rows = RandomRows(64, step);
    rows.state = rows.rows;
    const absl::Status status = store->ScatterStep(ids, rows, step);
    if (!status.ok()) {
      ++refused;
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "full disk"));
      if (step >= 100) {
        PROTOPAGE_ASSERT_OK(store->Flush());  // There is room again.
      }
      continue;
    }
    for (int i = 0; i < 64; ++i) want.row(ids[i]) = rows.rows.row(i);
  }
  EXPECT_GT(refused, 10);
  EXPECT_LT(refused, 60);
  PROTOPAGE_ASSERT_OK(store->Flush());
  RowMatrixXf all(3000, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, all));
  EXPECT_EQ(all, want);
}

TEST(PrototypeStoreTest, AFailedReadLeavesTheCacheRight) {
  FaultyFileSystem fs;
  const std::string path = TempPath("eio");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(path, 1000));
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, RandomRows(1000, 1)));
    PROTOPAGE_ASSERT_OK(store->Flush());
  }
  PrototypeStoreOptions options;
  options.file_system = &fs;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(path, options));
  const RowMatrixXf want = RandomRows(1000, 1);
  RowMatrixXf rows(3, kDim);
  for (int64_t call = 1; call < 5; ++call) {
    fs.FailAt(call);
    const std::vector<ClassId> ids = {call, 300 + call, 600 + call};
    const absl::Status status = store->Gather(ids, rows);
    if (!status.ok()) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
      fs.FailAt(0);
      PROTOPAGE_ASSERT_OK(store->Gather(ids, rows));
    }
    for (int i = 0; i < 3; ++i) EXPECT_EQ(rows.row(i), want.row(ids[i]));
  }
  EXPECT_EQ(store->stats().dirty_rows, 0);
}

// Each thread owns a part of the classes and checks that it reads what it wrote, while the others
// cause its rows to be evicted, and one reads all rows in ranges.
TEST(PrototypeStoreTest, ThreadsSeeTheirOwnWrites) {
  constexpr int64_t kClasses = 2000;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, CreateTest(TempPath("threads"), kClasses, 400000));
  std::atomic<bool> stop{false};
  std::atomic<int> errors{0};
  const auto work = [&](int thread) {
    std::vector<float> value(kClasses, 0);
    StepRows rows;
    for (int step = 1; step <= 150; ++step) {
      std::vector<ClassId> ids = RandomIds(kClasses / 4, 40, thread * 1000 + step);
      for (ClassId& id : ids) id = id * 4 + thread;
      absl::StatusOr<PinnedRows> pinned = PinnedRows();
      if (step % 2 == 0) pinned = store->Prefetch(ids);
      if (!pinned.ok()) ++errors;
      if (!store->GatherStep(ids, &rows).ok()) ++errors;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (value[ids[i]] != 0 && (rows.rows.row(i).array() != value[ids[i]]).any()) ++errors;
        value[ids[i]] = static_cast<float>(step);
      }
      rows.rows.setConstant(static_cast<float>(step));
      rows.state.setConstant(static_cast<float>(step));
      if (!store->ScatterStep(ids, rows, step).ok()) ++errors;
      if (step % 40 == 0 && !store->Flush().ok()) ++errors;
    }
  };
  std::thread reader([&] {
    RowMatrixXf rows(100, kDim);
    for (int64_t first = 0; !stop; first = (first + 100) % kClasses) {
      if (!store->ReadRange(first, rows).ok()) ++errors;
      for (int64_t i = 0; i < 100; ++i) {
        const bool initial = std::abs(rows.row(i).norm() - 1.0f) < 1e-3f;
        // Calls are atomic for each row: none mixes two writes.
        if (!initial && (rows.row(i).array() != rows(i, 0)).any()) ++errors;
      }
    }
  });
  // Classes 3 mod 4 are written by range calls of one row.
  std::thread writer([&] {
    RowMatrixXf row(1, kDim), read(1, kDim);
    for (int step = 1; !stop; ++step) {
      const ClassId id = step % (kClasses / 4) * 4 + 3;
      row.setConstant(static_cast<float>(step));
      if (!store->WriteRange(id, row).ok() || !store->Gather({id}, read).ok() || row != read) {
        ++errors;
      }
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  stop = true;
  reader.join();
  writer.join();
  EXPECT_EQ(errors, 0);
}

TEST(CacheRowsTest, IsTheNumberThatAStoreHolds) {
  int number = 0;
  for (const int64_t dim : {1, 7, 512}) {
    for (const RowState state : {RowState::kNone, RowState::kMomentum, RowState::kAdagrad}) {
      for (const RowType dtype : {RowType::kFloat32, RowType::kFloat16}) {
        for (const int64_t classes : {5, 100000}) {
          PrototypeStoreSpec spec;
          spec.num_classes = classes;
          spec.dim = dim;
          spec.row_state = state;
          spec.dtype = dtype;
          PrototypeStoreOptions options;
          options.cache_bytes = 1 << 20;
          const std::string path =
              absl::StrCat(testing::TempDir(), "/cache_rows_", getpid(), "_", number++, ".h5");
          PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                         PrototypeStore::Create(path, spec, options));
          EXPECT_EQ(PrototypeStore::CacheRows(spec, options.cache_bytes),
                    store->stats().capacity_rows);
        }
      }
    }
  }
}

}  // namespace
}  // namespace protopage
