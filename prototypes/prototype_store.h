// PrototypeStore: the table of class prototypes, on disk, paged by row.
//
// A prototype is one class's weight row in the classifier. The table W has shape [num_classes,
// dim], row-major, and may be far larger than memory, so a training step copies out only the rows
// that it uses:
//
//   PrototypeStoreSpec spec;
//   spec.num_classes = 1000000;
//   spec.dim = 512;
//   PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Create(path, spec, {}));
//   const std::vector<ClassId> ids = {4, 1, 9};
//   StepRows rows;
//   PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
//   ...  // Update rows.rows [3, dim] and rows.state [3, dim], the momentum.
//   PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep(ids, rows, /*step=*/17));
//   PROTOPAGE_RETURN_IF_ERROR(store->Flush());
//
// The row of a class that was never written is a unit vector that is a function of (seed, class).
// So a store of 100M classes is created at once and takes no room.
//
// Rows are float32, or float16 to take half the room in the file and in the cache. Calls that write
// float16 rows round them (base/float16.h), and the initial rows are rounded too: a gathered row is
// exactly what a float16 can hold, cached or not, and its length is 1 up to the rounding. State is
// always float32.
//
// The file layout is a contract: see prototypes/FORMAT.md.
#ifndef PROTOPAGE_PROTOTYPES_PROTOTYPE_STORE_H_
#define PROTOPAGE_PROTOTYPES_PROTOTYPE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/table/pinned_rows.h"

namespace protopage {

class ClassNames;
class PagedTable;
class RowCache;
class TableLog;

// The optimizer's state of each class.
enum class RowState {
  kNone,
  kMomentum,  // A vector [dim].
  kAdagrad,   // A scalar.
};

// How the elements of rows are stored.
enum class RowType { kFloat32, kFloat16 };

// "none", "momentum", "adagrad", as in files and configs.
const char* RowStateName(RowState state);
// Errors: InvalidArgument, with the names that exist.
absl::StatusOr<RowState> ParseRowState(absl::string_view name);

// "float32", "float16".
const char* RowTypeName(RowType type);
// Errors: InvalidArgument, with the names that exist.
absl::StatusOr<RowType> ParseRowType(absl::string_view name);

// How rows that were never written are drawn from the seed.
enum class RowGenerator {
  kNormal,      // RandomStream::Normal: the same bits on every machine.
  kLibmNormal,  // RandomStream::NormalByLibm: that of files of format version 1.
};

// The properties of a store that are fixed when it is created.
struct PrototypeStoreSpec {
  int64_t num_classes = 0;  // N >= 1
  int64_t capacity = 0;     // Rows the file has room for; 0 means num_classes.
  int64_t dim = 0;          // D >= 1
  RowState row_state = RowState::kMomentum;
  uint64_t seed = 0;  // Of the rows that were never written.
  RowType dtype = RowType::kFloat32;
  RowGenerator generator = RowGenerator::kNormal;
};

// How a store is opened.
struct PrototypeStoreOptions {
  // Upper bound on the memory of cached rows and their state, in bytes. It must hold the rows of
  // two steps: Gather, Scatter and Prefetch are ResourceExhausted when their rows and the
  // prefetched ones are more than it holds. Calls in other threads are waited for.
  int64_t cache_bytes = int64_t{256} << 20;
  // Takes no lock, and refuses all calls that write (FailedPrecondition).
  bool read_only = false;
  // The log of the run that the store belongs to (table_log.h). It outlives the store and was
  // opened in the same mode. Without one, rows are written in place, and a crash leaves rows of
  // several steps.
  TableLog* log = nullptr;
  // Tells the store and its copies from all others: written to a new file, and compared with that
  // of an opened one. 0: neither.
  uint64_t id = 0;
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

// The rows of a training step and the optimizer's state of their classes.
struct StepRows {
  RowMatrixXf rows;   // [K, D]
  RowMatrixXf state;  // [K, state_floats()]; [0, 0] when the store keeps none.
  // [K]: the step that last scattered the class, -1 for none, as of the gather. ScatterStep does
  // not read it.
  std::vector<int64_t> last_step;
};

struct PrototypeStoreStats {
  int64_t hits = 0;          // Rows found in the cache.
  int64_t misses = 0;        // Rows not found there: read from the file, or initialised.
  int64_t rows_read = 0;     // From the file into the cache.
  int64_t rows_written = 0;  // From the cache to the file.
  int64_t bytes_read = 0;    // From the file, including blocks of narrow columns.
  int64_t bytes_written = 0;
  int64_t capacity_rows = 0;  // The most that the cache holds.
  int64_t cached_rows = 0;
  int64_t dirty_rows = 0;   // Not in the file yet; includes rows that are being written.
  int64_t cache_bytes = 0;  // Memory that the cache uses.
};

// What a store knows of a class in addition to its row and momentum.
struct ClassState {
  bool written = false;    // Whether the row was ever written; else it is the initial one.
  int64_t last_step = -1;  // The step that last scattered the class, -1 for none.
};

// Thread-safe. Each call is atomic with respect to the others, except ReadRows and the block calls
// ReadRange, ReadStates and WriteRange, which are atomic for each row.
class PrototypeStore {
 public:
  // Creates the file at `path`, which must not exist, and opens it. It keeps a copy of `names`,
  // those of its classes, if they are given. Errors: InvalidArgument (spec, or names of another
  // number of classes), AlreadyExists, those of `names` and of the file system.
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> Create(
      const std::string& path, const PrototypeStoreSpec& spec, const PrototypeStoreOptions& options,
      const ClassNames* names = nullptr);

  // Opens an existing store.
  // Errors: NotFound, DataLoss (truncated, or not a file of ours), FailedPrecondition
  // (newer format version, or another process holds the lock).
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> Open(const std::string& path,
                                                              const PrototypeStoreOptions& options);

  // The rows that the cache of such a store holds, at most num_classes: those of a training step
  // must be no more. `spec` needs num_classes, dim, row_state and dtype.
  static int64_t CacheRows(const PrototypeStoreSpec& spec, int64_t cache_bytes);

  // Rows that were not flushed are lost: call Flush first. Pins of Prefetch must have been
  // released (checked).
  ~PrototypeStore();
  PrototypeStore(const PrototypeStore&) = delete;
  PrototypeStore& operator=(const PrototypeStore&) = delete;

  int64_t num_classes() const { return spec_.num_classes; }
  int64_t dim() const { return spec_.dim; }
  // Floats of state a class has: D for momentum, 1 for adagrad, else 0.
  int64_t state_floats() const;
  const PrototypeStoreSpec& spec() const { return spec_; }
  const std::string& path() const { return path_; }
  // False if rows were written without a log and the process died before a flush: the file may mix
  // rows of several steps.
  bool clean_when_opened() const { return clean_when_opened_; }
  // Whether the file belongs to the log of a run, which has newer rows.
  bool had_log_when_opened() const { return had_log_when_opened_; }
  uint64_t id() const;  // 0: it has none.
  int64_t format_version() const;

  // A dropped class no longer exists; its id is never reused. Calls that take ids reject it; range
  // calls and ReadRows return zeros for it, which no query is nearest to.
  bool is_dropped(ClassId id) const { return !dropped_.empty() && dropped_[id]; }
  int64_t num_dropped() const { return num_dropped_; }

  // Copies W[ids[i], :] to out.row(i). `out` must be [ids.size(), dim]; repeated ids are
  // allowed. On error `out` is unspecified.
  // Errors: InvalidArgument (shape), OutOfRange (the first bad id is named), FailedPrecondition (a
  // dropped class), DataLoss (checksum; the file and the row are named), ResourceExhausted (more
  // rows than the cache holds).
  absl::Status Gather(absl::Span<const ClassId> ids, RowMatrixRef out);
  // W[ids[i], :] = rows.row(i); the state of the classes stays. On error the store is unchanged.
  // Errors: as Gather; InvalidArgument (repeated id).
  absl::Status Scatter(absl::Span<const ClassId> ids, ConstRowMatrixRef rows);

  // Rows and state for a training step; `out` is resized (no allocation when it has the shape).
  // Errors: as Gather.
  absl::Status GatherStep(absl::Span<const ClassId> ids, StepRows* out);
  // Rows and state after step `step` >= 0; last_step of each class becomes `step`.
  // Errors: as Scatter.
  absl::Status ScatterStep(absl::Span<const ClassId> ids, const StepRows& rows, int64_t step);

  // Reads the rows into the cache, where they stay while the result lives, so that a gather in
  // the meantime finds them. A pin keeps no value: the gather sees later scatters. The result must
  // be destroyed before the store. Errors: as Gather; nothing is pinned then.
  absl::StatusOr<PinnedRows> Prefetch(absl::Span<const ClassId> ids);

  // W[ids[i], :] for ascending, distinct ids, read without filling the cache; rows that are cached
  // are read there. For many rows of which few are needed again soon. Errors: as Gather;
  // InvalidArgument (order).
  absl::Status ReadRows(absl::Span<const ClassId> ids, RowMatrixRef out);
  // The same for rows [first, first + out.rows()): for evaluation, indexing and export of all rows
  // in blocks.
  absl::Status ReadRange(ClassId first, RowMatrixRef out);
  // The state of the classes first, first + 1, ..., in the same way; that of a dropped class is
  // ClassState(). Errors: as Gather.
  absl::Status ReadStates(ClassId first, absl::Span<ClassState> out);
  // Writes rows [first, first + rows.rows()) to the file without filling the cache; cached copies
  // are updated. For imprinting. The state of the classes stays. Errors: as Scatter.
  absl::Status WriteRange(ClassId first, ConstRowMatrixRef rows);

  // For a new stage: the state of every class becomes 0 and its last_step -1; rows stay.
  absl::Status ResetState();

  // Writes all dirty rows to the file and syncs it; with a log, writes them to the log, where the
  // next commit makes them durable.
  absl::Status Flush();
  // Flushes, then writes a file of its own with the same content to `path` (replaced if it exists),
  // sparse and durable: an export, or a checkpoint of a store without a log.
  absl::Status SaveCopy(const std::string& path);

  // --- Adding and dropping classes: in a store without a log, while no other call runs. The
  // changes are durable when the calls return. Errors of all: FailedPrecondition (read-only, or the
  // file of a run), those of the file system.

  // Writes the rows of new classes after the existing ones. They become classes by AddAppended. If
  // that is never called, the store stays clean, and the next append overwrites them. Errors:
  // InvalidArgument (shape), OutOfRange (the capacity: Reserve more).
  absl::Status AppendRows(ConstRowMatrixRef rows);
  // Makes the appended rows classes num_classes(), num_classes() + 1, ... Errors: DataLoss (one of
  // them is marked as dropped).
  absl::Status AddAppended();
  // Drops classes: after a crash all of them are dropped, or none. Errors: InvalidArgument (no
  // class would be left, or an id is repeated), OutOfRange, FailedPrecondition (dropped before, or
  // a file of format version 1: Reserve makes it 2).
  absl::Status Drop(absl::Span<const ClassId> ids);
  // Makes sure that the store at `path`, which is not open for writing, has room for `capacity`
  // rows, for names of classes of up to `name_bytes` bytes, and the newest format version. If not,
  // a copy that does replaces it. Errors: as CopyTableLarger (table_copy.h).
  static absl::Status Reserve(const std::string& path, int64_t capacity,
                              FileSystem* file_system = nullptr, int64_t name_bytes = 0);
  // In the store at `path`, which is not open for writing, sets W[into, :] to the normalised sum of
  // the normalised rows of `into` and all of `from`, and its state to zeros, and drops `from`. A
  // changed copy replaces the file: a crash leaves the old file or the new one, and perhaps a
  // temporary file, which the next merge removes. Errors: as Drop; InvalidArgument (the sum is
  // zero), FailedPrecondition (not clean_when_opened, or open for writing).
  static absl::Status Merge(const std::string& path, ClassId into, absl::Span<const ClassId> from,
                            FileSystem* file_system = nullptr);

  // The names that classes have outside of this program (class_names.h). They are not kept in
  // memory, and training does not use them.

  // Whether the file has room for names other than ids in decimal. Errors: DataLoss, those of the
  // file system.
  absl::StatusOr<bool> HasNames() const;
  // The names of classes first, first + 1, ...; "" where there is none. Errors: OutOfRange,
  // DataLoss, those of the file system.
  absl::StatusOr<std::vector<std::string>> ReadNames(ClassId first, int64_t count) const;
  // The classes of these names, which are not dropped; kNoClass where there is none. Errors:
  // DataLoss, those of the file system.
  absl::StatusOr<std::vector<ClassId>> FindClasses(absl::Span<const std::string> names) const;
  // Reads all names and their index. Errors: DataLoss.
  absl::Status CheckNames() const;
  // Writes the names of appended rows, before AddAppended, durably. Errors: those of
  // ClassNames::WriteAdded; FailedPrecondition (read-only, the file of a run, or one without room
  // for names: Reserve).
  absl::Status WriteAppendedNames(absl::Span<const std::string> names);

  PrototypeStoreStats stats() const;

 private:
  PrototypeStore(std::string path, PrototypeStoreSpec spec, const PrototypeStoreOptions& options);

  // Conversions between a row and its cell in the table.
  void LoadRow(const char* cell, float* row) const;
  void StoreRow(const float* row, char* cell) const;
  absl::Status ReadDropped();
  // Of the file. Errors: NotFound (it holds none).
  absl::StatusOr<std::unique_ptr<ClassNames>> OpenNames() const;
  absl::Status WriteRows(ClassId first, ConstRowMatrixRef rows);
  absl::Status CheckRange(absl::Span<const ClassId> ids) const;
  absl::Status CheckIds(absl::Span<const ClassId> ids) const;
  absl::Status CheckDistinct(absl::Span<const ClassId> ids) const;  // And as CheckIds.
  absl::Status CheckDrop(absl::Span<const ClassId> ids) const;
  absl::Status CheckWritable(absl::Span<const ClassId> ids) const;
  absl::StatusOr<RowMatrixXf> MergedRow(ClassId into, absl::Span<const ClassId> from);

  const std::string path_;
  FileSystem* const fs_;
  PrototypeStoreSpec spec_;  // Only num_classes changes.
  const bool read_only_;
  bool clean_when_opened_ = true;
  bool had_log_when_opened_ = false;
  std::vector<bool> dropped_;  // [num_classes], or empty when none is.
  int64_t num_dropped_ = 0;
  int64_t num_appended_ = 0;  // Since the last AddAppended.
  std::unique_ptr<PagedTable> table_;
  std::unique_ptr<RowCache> cache_;
};

// Replaces `to`, which must not be open, by a copy of `from`, a checkpoint made by SaveCopy (of a
// store or of queues). The copy is made under a temporary name: a crash leaves the old file or the
// new one. Errors: those of the file system.
absl::Status RestoreCopy(FileSystem* file_system, const std::string& from, const std::string& to);

// The row of a class that was never written: [dim] keyed standard normals, divided by their norm. A
// float16 store rounds it.
void InitialPrototype(uint64_t seed, ClassId id, absl::Span<float> row,
                      RowGenerator generator = RowGenerator::kNormal);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_PROTOTYPE_STORE_H_
