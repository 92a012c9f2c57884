#include "protopage/prototypes/prototype_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/float16.h"
#include "protopage/base/random.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/prototypes/table/row_cache.h"
#include "protopage/prototypes/table/table_copy.h"

namespace protopage {
namespace {

constexpr char kKind[] = "prototypes";
constexpr int kLogTable = 0;
constexpr char kDropped[] = "dropped";
// With these bounds, all byte offsets are far within int64.
constexpr int64_t kMaxCapacity = int64_t{1} << 40, kMaxDim = int64_t{1} << 20;
// For which a store has room as soon as a name is added.
constexpr int64_t kLeastNameBytes = 56;
// Columns of the table; without a state, last_step comes second.
constexpr int kRows = 0;
constexpr int kState = 1;

int LastStepColumn(RowState state) { return state == RowState::kNone ? 1 : 2; }

constexpr RowState kRowStates[] = {RowState::kNone, RowState::kMomentum, RowState::kAdagrad};

int64_t StateFloats(RowState state, int64_t dim) {
  switch (state) {
    case RowState::kNone:
      return 0;
    case RowState::kMomentum:
      return dim;
    case RowState::kAdagrad:
      return 1;
  }
  return 0;
}

// As in files.
constexpr char kNormalName[] = "normal_2", kLibmNormalName[] = "normal_1";

const char* GeneratorName(RowGenerator generator) {
  return generator == RowGenerator::kNormal ? kNormalName : kLibmNormalName;
}

CellType CellTypeOf(RowType type) {
  return type == RowType::kFloat16 ? CellType::kFloat16 : CellType::kFloat32;
}

// Rows that ReadRows and WriteRange convert at once.
constexpr int64_t kConvertRows = 1024;

void StoreCell(RowType type, const float* row, int64_t dim, char* cell) {
  if (type == RowType::kFloat16) {
    FloatsToHalves(row, dim, reinterpret_cast<uint16_t*>(cell));
  } else {
    std::memcpy(cell, row, dim * sizeof(float));
  }
}

// The cell of a row that was never written.
void InitialCell(const PrototypeStoreSpec& spec, ClassId id, void* cell) {
  if (spec.dtype == RowType::kFloat32) {
    InitialPrototype(spec.seed, id, absl::MakeSpan(static_cast<float*>(cell), spec.dim),
                     spec.generator);
    return;
  }
  std::vector<float> row(spec.dim);
  InitialPrototype(spec.seed, id, absl::MakeSpan(row), spec.generator);
  StoreCell(spec.dtype, row.data(), spec.dim, static_cast<char*>(cell));
}

// `spec` may be filled later: when a store is opened, the seed and the size of a row are known only
// once its attributes have been read.
TableOptions MakeTableOptions(std::shared_ptr<const PrototypeStoreSpec> spec,
                              const PrototypeStoreOptions& options) {
  TableOptions table;
  table.read_only = options.read_only;
  table.log = options.log;
  table.log_table = kLogTable;
  table.id = options.id;
  // A block of 128 classes is 4 KiB, a row and its momentum at D = 512 as much.
  table.block_cache_bytes = options.cache_bytes / 8;
  table.default_cell = [spec = std::move(spec)](int64_t row, void* cell) {
    InitialCell(*spec, row, cell);
  };
  return table;
}

RowCacheOptions MakeCacheOptions(const PrototypeStoreOptions& options) {
  RowCacheOptions cache;
  cache.cache_bytes = options.cache_bytes - options.cache_bytes / 8;
  cache.read_only = options.read_only;
  return cache;
}

std::vector<TableColumn> ColumnsOf(const PrototypeStoreSpec& spec) {
  std::vector<TableColumn> columns = {{"prototypes", CellTypeOf(spec.dtype), spec.dim}};
  if (spec.row_state != RowState::kNone) {
    columns.push_back(
        {RowStateName(spec.row_state), CellType::kFloat32, StateFloats(spec.row_state, spec.dim)});
  }
  columns.push_back({"last_step", CellType::kInt64, 1});
  return columns;
}

// As PagedTable lays the cells of a row out in memory.
int64_t RecordBytes(const std::vector<TableColumn>& columns) {
  int64_t bytes = 0;
  for (const TableColumn& column : columns) {
    bytes = (bytes + 7) / 8 * 8 + column.width * BytesOf(column.type);
  }
  return bytes;
}

absl::Status CheckShape(absl::string_view what, int64_t rows, int64_t columns, int64_t want_rows,
                        int64_t want_columns) {
  if (rows == want_rows && columns == want_columns) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, " are [", rows, ", ", columns, "], expected [", want_rows, ", ", want_columns, "]"));
}

// The names of a new store: what they are, and the attributes and datasets for them.
struct NamesOfStore {
  ClassNamesPlan plan;
  Hdf5Layout layout;
};

absl::StatusOr<NamesOfStore> PlanNames(const std::string& path, const ClassNames& names,
                                       const PrototypeStoreSpec& spec) {
  if (names.num_classes() != spec.num_classes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": found the names of ",
                                                   names.num_classes(), " classes, expected ",
                                                   spec.num_classes));
  }
  NamesOfStore stored;
  stored.plan = ClassNames::PlanNumbered(spec.num_classes);
  if (!names.all_numbered()) {
    PROTOPAGE_ASSIGN_OR_RETURN(stored.plan, ClassNames::Plan(spec.num_classes, [&](ClassId id) {
                                 return names.Name(id);
                               }));
  }
  ClassNames::AddTo(stored.plan, spec.capacity, &stored.layout);
  return stored;
}

absl::Status WriteNames(FileSystem* fs, const std::string& path, const ClassNames& names,
                        const ClassNamesPlan& plan) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  PROTOPAGE_RETURN_IF_ERROR(ClassNames::Write(fs, absl::StrCat(path, ".sort"), file.get(), path,
                                              layout, plan,
                                              [&](ClassId id) { return names.Name(id); }));
  return file->Sync();
}

}  // namespace

const char* RowStateName(RowState state) {
  switch (state) {
    case RowState::kNone:
      return "none";
    case RowState::kMomentum:
      return "momentum";
    case RowState::kAdagrad:
      return "adagrad";
  }
  return "none";
}

absl::StatusOr<RowState> ParseRowState(absl::string_view name) {
  for (const RowState state : kRowStates) {
    if (name == RowStateName(state)) return state;
  }
  return absl::InvalidArgumentError(absl::StrCat("row_state: found \"", ShortText(name),
                                                 "\", expected one of none, momentum, adagrad"));
}

const char* RowTypeName(RowType type) { return type == RowType::kFloat16 ? "float16" : "float32"; }

absl::StatusOr<RowType> ParseRowType(absl::string_view name) {
  for (const RowType type : {RowType::kFloat32, RowType::kFloat16}) {
    if (name == RowTypeName(type)) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("dtype: found \"", ShortText(name), "\", expected one of float32, float16"));
}

void InitialPrototype(uint64_t seed, ClassId id, absl::Span<float> row, RowGenerator generator) {
  RandomStream random(seed, RandomPurpose::kPrototypeInit, static_cast<uint64_t>(id));
  double square = 0;
  for (float& x : row) {
    x = generator == RowGenerator::kNormal ? random.Normal() : random.NormalByLibm();
    square += double{x} * x;
  }
  // All zeros has probability zero, but a row must be a unit vector.
  if (square == 0) {
    row[0] = 1;
    return;
  }
  const double scale = 1 / std::sqrt(square);
  for (float& x : row) x = static_cast<float>(x * scale);
}

absl::Status RestoreCopy(FileSystem* file_system, const std::string& from, const std::string& to) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, LockTable(file_system, to));
  return CopyFileAtomically(file_system, from, to);
}

PrototypeStore::PrototypeStore(std::string path, PrototypeStoreSpec spec,
                               const PrototypeStoreOptions& options)
    : path_(std::move(path)),
      fs_(FileSystemOrDefault(options.file_system)),
      spec_(spec),
      read_only_(options.read_only) {}

uint64_t PrototypeStore::id() const { return table_->id(); }

int64_t PrototypeStore::format_version() const { return table_->format_version(); }

PrototypeStore::~PrototypeStore() = default;

int64_t PrototypeStore::CacheRows(const PrototypeStoreSpec& spec, int64_t cache_bytes) {
  PrototypeStoreOptions options;
  options.cache_bytes = cache_bytes;
  return std::min(spec.num_classes, RowCache::RowsIn(MakeCacheOptions(options).cache_bytes,
                                                     RecordBytes(ColumnsOf(spec))));
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> PrototypeStore::Create(
    const std::string& path, const PrototypeStoreSpec& spec, const PrototypeStoreOptions& options,
    const ClassNames* names) {
  PrototypeStoreSpec full = spec;
  if (full.capacity == 0) full.capacity = full.num_classes;
  if (full.num_classes < 1 || full.capacity < full.num_classes || full.capacity > kMaxCapacity) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": num_classes ", full.num_classes, " with capacity ", full.capacity,
                     "; allowed are 1 <= num_classes <= capacity <= ", kMaxCapacity));
  }
  if (full.dim < 1 || full.dim > kMaxDim) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": dim ", full.dim, " is outside [1, ", kMaxDim, "]"));
  }
  TableSpec table;
  table.kind = kKind;
  table.num_rows = full.num_classes;
  table.capacity = full.capacity;
  table.columns = ColumnsOf(full);
  table.marks = kDropped;
  table.integers["dim"] = full.dim;
  table.integers["rows_per_class"] = 1;
  table.integers["partitions"] = 1;
  table.integers["partition"] = 0;
  table.integers["seed"] = static_cast<int64_t>(full.seed);
  table.texts["dtype"] = RowTypeName(full.dtype);
  table.texts["generator"] = GeneratorName(full.generator);
  table.texts["row_state"] = RowStateName(full.row_state);
  NamesOfStore stored;
  if (names != nullptr) {
    PROTOPAGE_ASSIGN_OR_RETURN(stored, PlanNames(path, *names, full));
    table.integers.insert(stored.layout.integers.begin(), stored.layout.integers.end());
    table.texts.insert(stored.layout.texts.begin(), stored.layout.texts.end());
    table.raw_datasets = stored.layout.datasets;
  }

  std::unique_ptr<PrototypeStore> store(new PrototypeStore(path, full, options));
  PROTOPAGE_ASSIGN_OR_RETURN(
      store->table_,
      PagedTable::Create(FileSystemOrDefault(options.file_system), path, table,
                         MakeTableOptions(std::make_shared<PrototypeStoreSpec>(full), options)));
  if (names != nullptr) {
    const absl::Status written = WriteNames(store->fs_, path, *names, stored.plan);
    if (!written.ok()) {
      store.reset();
      FileSystemOrDefault(options.file_system)->Remove(path).IgnoreError();
      return written;
    }
  }
  store->cache_ = std::make_unique<RowCache>(store->table_.get(), MakeCacheOptions(options));
  return store;
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> PrototypeStore::Open(
    const std::string& path, const PrototypeStoreOptions& options) {
  const auto shared_spec = std::make_shared<PrototypeStoreSpec>();
  PrototypeStoreSpec& spec = *shared_spec;
  const auto choose = [&](const Hdf5Layout& layout) -> absl::StatusOr<std::vector<std::string>> {
    for (const char* name : {"dim", "rows_per_class", "seed"}) {
      if (layout.integers.count(name) == 0) {
        return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is missing"));
      }
    }
    for (const char* name : {"dtype", "row_state"}) {
      if (layout.texts.count(name) == 0) {
        return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is missing"));
      }
    }
    // Values that a later program may have written, and that this one does not know.
    const auto unknown = [&path](absl::string_view what) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": ", what));
    };
    const absl::StatusOr<RowType> dtype = ParseRowType(layout.texts.at("dtype"));
    if (!dtype.ok()) return unknown(dtype.status().message());
    const absl::StatusOr<RowState> state = ParseRowState(layout.texts.at("row_state"));
    if (!state.ok()) return unknown(state.status().message());
    for (const auto& [name, expected] : {std::pair<const char*, int64_t>("rows_per_class", 1),
                                         {"partitions", 1},
                                         {"partition", 0}}) {
      const auto found = layout.integers.find(name);
      if (found == layout.integers.end() || found->second == expected) continue;
      return unknown(absl::StrCat(name, ": found ", found->second, ", expected ", expected));
    }
    const auto generator = layout.texts.find("generator");
    const std::string generator_name =
        generator != layout.texts.end() ? generator->second : kLibmNormalName;
    if (generator_name != kNormalName && generator_name != kLibmNormalName) {
      return unknown(absl::StrCat("generator: found \"", ShortText(generator_name), "\", expected ",
                                  kNormalName, " or ", kLibmNormalName));
    }
    spec.generator =
        generator_name == kNormalName ? RowGenerator::kNormal : RowGenerator::kLibmNormal;
    spec.dtype = *dtype;
    spec.row_state = *state;
    spec.dim = layout.integers.at("dim");
    spec.seed = static_cast<uint64_t>(layout.integers.at("seed"));
    std::vector<std::string> names = {"prototypes"};
    if (spec.row_state != RowState::kNone) names.push_back(RowStateName(spec.row_state));
    names.push_back("last_step");
    return names;
  };
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<PagedTable> table,
                             PagedTable::Open(FileSystemOrDefault(options.file_system), path, kKind,
                                              MakeTableOptions(shared_spec, options), choose));
  spec.num_classes = table->spec().num_rows;
  spec.capacity = table->spec().capacity;
  const int last_step = LastStepColumn(spec.row_state);
  for (int c = 0; c <= last_step; ++c) {
    const TableColumn& column = table->spec().columns[c];
    const CellType type = c == last_step ? CellType::kInt64
                          : c == kRows   ? CellTypeOf(spec.dtype)
                                         : CellType::kFloat32;
    const int64_t width = c == kRows       ? spec.dim
                          : c == last_step ? 1
                                           : StateFloats(spec.row_state, spec.dim);
    if (column.type != type || column.width != width) {
      return absl::DataLossError(absl::StrCat(path, ": dataset '", column.name,
                                              "' has another type or width than the attributes "
                                              "say (dim ",
                                              spec.dim, ")"));
    }
  }
  std::unique_ptr<PrototypeStore> store(new PrototypeStore(path, spec, options));
  store->clean_when_opened_ = table->clean_when_opened();
  store->had_log_when_opened_ = table->had_log_when_opened();
  store->table_ = std::move(table);
  PROTOPAGE_RETURN_IF_ERROR(store->ReadDropped());
  store->cache_ = std::make_unique<RowCache>(store->table_.get(), MakeCacheOptions(options));
  return store;
}

int64_t PrototypeStore::state_floats() const { return StateFloats(spec_.row_state, spec_.dim); }

void PrototypeStore::LoadRow(const char* cell, float* row) const {
  if (spec_.dtype == RowType::kFloat16) {
    HalvesToFloats(reinterpret_cast<const uint16_t*>(cell), spec_.dim, row);
  } else {
    std::memcpy(row, cell, spec_.dim * sizeof(float));
  }
}

void PrototypeStore::StoreRow(const float* row, char* cell) const {
  StoreCell(spec_.dtype, row, spec_.dim, cell);
}

absl::Status PrototypeStore::ReadDropped() {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, table_->ReadMarks(kDropped));
  num_dropped_ = static_cast<int64_t>(ids.size());
  if (ids.empty()) return absl::OkStatus();
  dropped_.assign(spec_.num_classes, false);
  for (const ClassId id : ids) dropped_[id] = true;
  return absl::OkStatus();
}

absl::Status PrototypeStore::CheckRange(absl::Span<const ClassId> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= spec_.num_classes) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": id ", ids[i], " at position ", i,
                                                " is outside [0, ", spec_.num_classes, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status PrototypeStore::CheckIds(absl::Span<const ClassId> ids) const {
  PROTOPAGE_RETURN_IF_ERROR(CheckRange(ids));
  if (dropped_.empty()) return absl::OkStatus();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!dropped_[ids[i]]) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": id ", ids[i], " at position ", i, " is a class that was dropped"));
  }
  return absl::OkStatus();
}

absl::Status PrototypeStore::CheckWritable(absl::Span<const ClassId> ids) const {
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": opened read-only"));
  }
  return CheckDistinct(ids);
}

absl::Status PrototypeStore::CheckDistinct(absl::Span<const ClassId> ids) const {
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(ids));
  std::vector<ClassId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return absl::OkStatus();
  const auto first = std::find(ids.begin(), ids.end(), *twice);
  const auto second = std::find(first + 1, ids.end(), *twice);
  return absl::InvalidArgumentError(absl::StrCat(path_, ": id ", *twice, " at positions ",
                                                 first - ids.begin(), " and ", second - ids.begin(),
                                                 "; ids must be distinct"));
}

absl::Status PrototypeStore::Gather(absl::Span<const ClassId> ids, RowMatrixRef out) {
  PROTOPAGE_RETURN_IF_ERROR(CheckShape("rows", out.rows(), out.cols(), ids.size(), spec_.dim));
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(ids));
  return cache_->Read(ids,
                      [&](size_t i, const char* record) { LoadRow(record, out.row(i).data()); });
}

absl::Status PrototypeStore::Scatter(absl::Span<const ClassId> ids, ConstRowMatrixRef rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckShape("rows", rows.rows(), rows.cols(), ids.size(), spec_.dim));
  PROTOPAGE_RETURN_IF_ERROR(CheckWritable(ids));
  return cache_->Write(ids, RowCache::kPart,
                       [&](size_t i, char* record) { StoreRow(rows.row(i).data(), record); });
}

absl::Status PrototypeStore::GatherStep(absl::Span<const ClassId> ids, StepRows* out) {
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(ids));
  const int64_t count = static_cast<int64_t>(ids.size());
  const int64_t floats = state_floats();
  out->rows.resize(count, spec_.dim);
  out->state.resize(floats > 0 ? count : 0, floats);
  out->last_step.resize(count);
  const int64_t step_offset = table_->record_offset(LastStepColumn(spec_.row_state));
  return cache_->Read(ids, [&](size_t i, const char* record) {
    LoadRow(record, out->rows.row(i).data());
    if (floats > 0) {
      std::memcpy(out->state.row(i).data(), record + table_->record_offset(kState),
                  table_->cell_bytes(kState));
    }
    int64_t next_step;
    std::memcpy(&next_step, record + step_offset, sizeof(next_step));
    out->last_step[i] = next_step - 1;
  });
}

absl::Status PrototypeStore::ScatterStep(absl::Span<const ClassId> ids, const StepRows& rows,
                                         int64_t step) {
  const int64_t floats = state_floats();
  PROTOPAGE_RETURN_IF_ERROR(
      CheckShape("rows", rows.rows.rows(), rows.rows.cols(), ids.size(), spec_.dim));
  if (floats > 0) {
    PROTOPAGE_RETURN_IF_ERROR(CheckShape(RowStateName(spec_.row_state), rows.state.rows(),
                                         rows.state.cols(), ids.size(), floats));
  }
  if (step < 0) {
    return absl::InvalidArgumentError(absl::StrCat("step ", step, " is negative"));
  }
  PROTOPAGE_RETURN_IF_ERROR(CheckWritable(ids));
  const int64_t bytes = table_->cell_bytes(kRows);
  const int64_t step_offset = table_->record_offset(LastStepColumn(spec_.row_state));
  const int64_t next_step = step + 1;
  return cache_->Write(ids, RowCache::kWhole, [&](size_t i, char* record) {
    std::memset(record + bytes, 0, table_->record_bytes() - bytes);
    StoreRow(rows.rows.row(i).data(), record);
    if (floats > 0) {
      std::memcpy(record + table_->record_offset(kState), rows.state.row(i).data(),
                  table_->cell_bytes(kState));
    }
    std::memcpy(record + step_offset, &next_step, sizeof(next_step));
  });
}

absl::StatusOr<PinnedRows> PrototypeStore::Prefetch(absl::Span<const ClassId> ids) {
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(ids));
  return cache_->Pin(ids);
}

absl::Status PrototypeStore::ReadRows(absl::Span<const ClassId> ids, RowMatrixRef out) {
  PROTOPAGE_RETURN_IF_ERROR(CheckShape("rows", out.rows(), out.cols(), ids.size(), spec_.dim));
  PROTOPAGE_RETURN_IF_ERROR(CheckRange(ids));
  for (size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] > ids[i - 1]) continue;
    return absl::InvalidArgumentError(absl::StrCat("id ", ids[i], " at position ", i, " follows ",
                                                   ids[i - 1], "; ids must ascend"));
  }
  if (spec_.dtype == RowType::kFloat32 && dropped_.empty() && out.outerStride() == spec_.dim) {
    return cache_->ReadCells(kRows, ids, out.data());
  }
  const int64_t bytes = table_->cell_bytes(kRows);
  std::vector<char> cells(std::min<int64_t>(ids.size(), kConvertRows) * bytes);
  std::vector<ClassId> live;
  for (size_t begin = 0; begin < ids.size(); begin += kConvertRows) {
    const absl::Span<const ClassId> some = ids.subspan(begin, kConvertRows);
    live.clear();
    std::copy_if(some.begin(), some.end(), std::back_inserter(live),
                 [this](ClassId id) { return !is_dropped(id); });
    PROTOPAGE_RETURN_IF_ERROR(cache_->ReadCells(kRows, live, cells.data()));
    const char* cell = cells.data();
    for (size_t i = 0; i < some.size(); ++i) {
      if (is_dropped(some[i])) {
        out.row(begin + i).setZero();
      } else {
        LoadRow(cell, out.row(begin + i).data());
        cell += bytes;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status PrototypeStore::ReadRange(ClassId first, RowMatrixRef out) {
  std::vector<ClassId> ids(out.rows());
  std::iota(ids.begin(), ids.end(), first);
  return ReadRows(ids, out);
}

absl::Status PrototypeStore::ReadStates(ClassId first, absl::Span<ClassState> out) {
  const auto count = static_cast<int64_t>(out.size());
  if (count == 0) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(CheckRange({first, first + count - 1}));
  std::vector<uint8_t> written(count);
  std::vector<int64_t> steps(count);
  const int column = LastStepColumn(spec_.row_state);
  // Runs of classes that are not dropped.
  for (int64_t begin = 0, end = 0; begin < count; begin = end + 1) {
    for (end = begin; end < count && !is_dropped(first + end);) ++end;
    if (end == begin) continue;
    PROTOPAGE_RETURN_IF_ERROR(
        cache_->ReadWritten(kRows, first + begin, end - begin, &written[begin]));
    PROTOPAGE_RETURN_IF_ERROR(
        cache_->ReadColumn(column, first + begin, end - begin, &steps[begin]));
  }
  for (int64_t i = 0; i < count; ++i) out[i] = {written[i] != 0, steps[i] - 1};
  return absl::OkStatus();
}

absl::Status PrototypeStore::WriteRange(ClassId first, ConstRowMatrixRef rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckShape("rows", rows.rows(), rows.cols(), rows.rows(), spec_.dim));
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": opened read-only"));
  }
  const int64_t count = rows.rows();
  if (count == 0) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(CheckRange({first, first + count - 1}));
  return WriteRows(first, rows);
}

absl::Status PrototypeStore::WriteRows(ClassId first, ConstRowMatrixRef rows) {
  const int64_t count = rows.rows();
  if (spec_.dtype == RowType::kFloat32 && rows.outerStride() == spec_.dim) {
    return cache_->WriteColumn(kRows, first, count, rows.data());
  }
  const int64_t bytes = table_->cell_bytes(kRows);
  std::vector<char> cells(std::min(count, kConvertRows) * bytes);
  for (int64_t begin = 0; begin < count; begin += kConvertRows) {
    const int64_t some = std::min(count - begin, kConvertRows);
    for (int64_t i = 0; i < some; ++i) {
      StoreRow(rows.row(begin + i).data(), cells.data() + i * bytes);
    }
    PROTOPAGE_RETURN_IF_ERROR(cache_->WriteColumn(kRows, first + begin, some, cells.data()));
  }
  return absl::OkStatus();
}

absl::Status PrototypeStore::ResetState() {
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": opened read-only"));
  }
  for (int column = kRows + 1; column <= LastStepColumn(spec_.row_state); ++column) {
    PROTOPAGE_RETURN_IF_ERROR(cache_->ClearColumn(column));
  }
  return absl::OkStatus();
}

absl::Status PrototypeStore::Flush() { return cache_->Flush(); }

absl::Status PrototypeStore::SaveCopy(const std::string& path) { return cache_->SaveCopy(path); }

absl::Status PrototypeStore::AppendRows(ConstRowMatrixRef rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckShape("rows", rows.rows(), rows.cols(), rows.rows(), spec_.dim));
  PROTOPAGE_RETURN_IF_ERROR(table_->CheckOwnFile());
  const ClassId first = spec_.num_classes + num_appended_;
  if (first + rows.rows() > spec_.capacity) {
    return absl::OutOfRangeError(absl::StrCat(path_, ": ", rows.rows(), " new classes from id ",
                                              first, " on, with room for ", spec_.capacity));
  }
  PROTOPAGE_RETURN_IF_ERROR(WriteRows(first, rows));
  num_appended_ += rows.rows();
  return absl::OkStatus();
}

absl::Status PrototypeStore::AddAppended() {
  PROTOPAGE_RETURN_IF_ERROR(cache_->Flush());
  PROTOPAGE_RETURN_IF_ERROR(table_->CheckMarks(kDropped, spec_.num_classes + num_appended_));
  PROTOPAGE_RETURN_IF_ERROR(table_->SetNumRows(spec_.num_classes + num_appended_));
  spec_.num_classes += num_appended_;
  num_appended_ = 0;
  if (!dropped_.empty()) dropped_.resize(spec_.num_classes);
  return absl::OkStatus();
}

absl::Status PrototypeStore::CheckDrop(absl::Span<const ClassId> ids) const {
  PROTOPAGE_RETURN_IF_ERROR(CheckDistinct(ids));
  const int64_t left = spec_.num_classes - num_dropped_ - static_cast<int64_t>(ids.size());
  if (left > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path_, ": no class would be left"));
}

absl::Status PrototypeStore::Drop(absl::Span<const ClassId> ids) {
  PROTOPAGE_RETURN_IF_ERROR(table_->CheckOwnFile());
  PROTOPAGE_RETURN_IF_ERROR(CheckDrop(ids));
  PROTOPAGE_RETURN_IF_ERROR(cache_->Flush());
  std::vector<ClassId> ascending(ids.begin(), ids.end());
  std::sort(ascending.begin(), ascending.end());
  PROTOPAGE_RETURN_IF_ERROR(table_->WriteMarks(kDropped, ascending));
  dropped_.resize(spec_.num_classes, false);
  for (const ClassId id : ids) dropped_[id] = true;
  num_dropped_ += static_cast<int64_t>(ids.size());
  return absl::OkStatus();
}

absl::StatusOr<RowMatrixXf> PrototypeStore::MergedRow(ClassId into,
                                                      absl::Span<const ClassId> from) {
  std::vector<ClassId> ids(from.begin(), from.end());
  ids.push_back(into);
  PROTOPAGE_RETURN_IF_ERROR(CheckDistinct(ids));
  PROTOPAGE_RETURN_IF_ERROR(CheckDrop(from));
  Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(spec_.dim);
  RowMatrixXf row(1, spec_.dim);
  for (const ClassId id : ids) {
    PROTOPAGE_RETURN_IF_ERROR(ReadRows({id}, row));
    const Eigen::RowVectorXd wide = row.row(0).cast<double>();
    if (const double norm = wide.norm(); norm > 0) sum += wide / norm;
  }
  const double norm = sum.norm();
  // Of opposite rows, only rounding errors are left.
  if (!(norm > 1e-5)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": the rows to merge into ", into, " have no direction in common"));
  }
  row.row(0) = (sum / norm).cast<float>();
  return row;
}

absl::Status PrototypeStore::Merge(const std::string& name, ClassId into,
                                   absl::Span<const ClassId> from, FileSystem* file_system) {
  PrototypeStoreOptions options;
  options.file_system = file_system;
  FileSystem* const fs = FileSystemOrDefault(options.file_system);
  const std::string path = fs->FollowLinks(name);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, LockTable(fs, path));
  RowMatrixXf row;
  {
    options.read_only = true;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, Open(path, options));
    if (store->had_log_when_opened() || !store->clean_when_opened()) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, store->had_log_when_opened() ? ": it is the file of a run"
                                             : ": its process died while it was being written"));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(row, store->MergedRow(into, from));
  }
  std::string merged;
  const auto merge = [&]() -> absl::Status {
    {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> from_file,
                                 fs->Open(path, OpenMode::kRead));
      PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> to_file,
                                 OpenTemporary(fs, path, &merged));
      PROTOPAGE_RETURN_IF_ERROR(CopyContent(from_file.get(), to_file.get()));
    }
    PROTOPAGE_RETURN_IF_ERROR(Reserve(merged, /*capacity=*/1, fs));
    options.read_only = false;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, Open(merged, options));
    PROTOPAGE_RETURN_IF_ERROR(
        store->cache_->Write({into}, RowCache::kWhole, [&](size_t, char* record) {
          std::memset(record, 0, store->table_->record_bytes());
          store->StoreRow(row.data(), record);
        }));
    PROTOPAGE_RETURN_IF_ERROR(store->Drop(from));
    return fs->Rename(merged, path);
  };
  const absl::Status status = merge();
  fs->Remove(absl::StrCat(merged, ".lock")).IgnoreError();
  if (!status.ok()) {
    fs->Remove(merged).IgnoreError();
    return status;
  }
  return fs->SyncDirectory(DirectoryOf(path));
}

absl::Status PrototypeStore::Reserve(const std::string& path, int64_t capacity,
                                     FileSystem* file_system, int64_t name_bytes) {
  FileSystem* const fs = FileSystemOrDefault(file_system);
  if (capacity > kMaxCapacity) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": capacity ", capacity, "; allowed are up to ", kMaxCapacity));
  }
  TableCopyChanges changes;
  {
    PrototypeStoreOptions options;
    options.file_system = fs;
    options.read_only = true;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, Open(path, options));
    int64_t most_name_bytes = 0;
    const absl::StatusOr<std::unique_ptr<ClassNames>> names = store->OpenNames();
    if (!absl::IsNotFound(names.status())) {
      PROTOPAGE_RETURN_IF_ERROR(names.status());
      most_name_bytes = (*names)->most_name_bytes();
    }
    const bool large = store->spec().capacity >= capacity;
    const bool newest = store->table_->format_version() == PagedTable::kFormatVersion;
    // A copy with checksums has those of the names too.
    if (!newest && names.ok() && !(*names)->has_checksums()) {
      name_bytes = std::max(name_bytes, (*names)->longest_name_bytes());
    }
    if (large && newest && most_name_bytes >= name_bytes) return absl::OkStatus();
    if (large) capacity = store->spec().capacity;
    if (most_name_bytes < name_bytes) {
      // Room for other names too.
      const int64_t cell_bytes = ClassNames::CellBytes(std::max(name_bytes, kLeastNameBytes));
      changes.more.push_back({ClassNames::kDataset, CellType::kUint8, cell_bytes});
      changes.left_out.push_back(ClassNames::kOldDataset);
      changes.fill = [=, classes = store->num_classes()](File* copy, const Hdf5Layout& layout) {
        return ClassNames::CopyLonger(fs, path, classes, copy, layout);
      };
    }
  }
  changes.marks = kDropped;
  return CopyTableLarger(fs, path, path, capacity, changes);
}

absl::StatusOr<bool> PrototypeStore::HasNames() const {
  const absl::StatusOr<std::unique_ptr<ClassNames>> names = OpenNames();
  if (absl::IsNotFound(names.status())) return false;
  PROTOPAGE_RETURN_IF_ERROR(names.status());
  return !(*names)->all_numbered();
}

absl::StatusOr<std::unique_ptr<ClassNames>> PrototypeStore::OpenNames() const {
  return ClassNames::OpenInStore(fs_, path_, spec_.num_classes);
}

absl::StatusOr<std::vector<std::string>> PrototypeStore::ReadNames(ClassId first,
                                                                   int64_t count) const {
  std::vector<std::string> none(count);
  if (count == 0) return none;
  PROTOPAGE_RETURN_IF_ERROR(CheckRange({first, first + count - 1}));
  const absl::StatusOr<std::unique_ptr<ClassNames>> names = OpenNames();
  if (absl::IsNotFound(names.status())) return none;
  PROTOPAGE_RETURN_IF_ERROR(names.status());
  return (*names)->Names(first, count);
}

absl::StatusOr<std::vector<ClassId>> PrototypeStore::FindClasses(
    absl::Span<const std::string> names) const {
  const absl::StatusOr<std::unique_ptr<ClassNames>> known = OpenNames();
  if (absl::IsNotFound(known.status())) return std::vector<ClassId>(names.size(), kNoClass);
  PROTOPAGE_RETURN_IF_ERROR(known.status());
  return (*known)->FindAll(names, [this](ClassId id) { return is_dropped(id); });
}

absl::Status PrototypeStore::CheckNames() const {
  const absl::StatusOr<std::unique_ptr<ClassNames>> names = OpenNames();
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(names.status());
  return (*names)->Check();
}

absl::Status PrototypeStore::WriteAppendedNames(absl::Span<const std::string> names) {
  PROTOPAGE_RETURN_IF_ERROR(table_->CheckOwnFile());
  const absl::Status status = ClassNames::WriteAdded(fs_, path_, spec_.num_classes, names);
  if (!absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(absl::StrCat(path_, ": it has no room for names"));
}

PrototypeStoreStats PrototypeStore::stats() const {
  const RowCacheStats cache = cache_->stats();
  const TableStats table = table_->stats();
  PrototypeStoreStats stats;
  stats.hits = cache.hits;
  stats.misses = cache.misses;
  stats.rows_read = table.rows_read;
  stats.rows_written = table.rows_written;
  stats.bytes_read = table.bytes_read;
  stats.bytes_written = table.bytes_written;
  stats.capacity_rows = cache.capacity_rows;
  stats.cached_rows = cache.cached_rows;
  stats.dirty_rows = cache.dirty_rows;
  stats.cache_bytes = cache.bytes;
  return stats;
}

}  // namespace protopage
