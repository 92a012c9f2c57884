// PrototypeStore: the table of class prototypes, on disk, paged by row.
//
// A prototype is one class's weight row in the classifier. The table W has
// shape [num_classes, dim], row-major, and may be far larger than
// memory, so a training step copies out only the rows it touches:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Create(
//       "w.h5", {.num_classes = 1000000, .dim = 512, .seed = 1}, {.cache_bytes = 256 << 20}));
//   const std::vector<ClassId> ids = {4, 1, 9};
//   StepRows step_rows;
//   PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &step_rows));
//   ... update step_rows.rows [3, dim] and step_rows.state [3, dim], the momentum ...
//   PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep(ids, step_rows, /*step=*/17));
//   PROTOPAGE_RETURN_IF_ERROR(store->Flush());
//
// The row of a class that was never written is a unit vector that is a function of
// (seed, class), so that a store of 100M classes is created at once and takes no room.
//
// Rows are float32, or float16 to take half the room in the file and in the cache. Then whatever
// writes rows rounds them (base/float16.h), the initial ones too: what is gathered is exactly what
// a float16 can hold, cached or not, and its length is 1 up to the rounding. State is always
// float32.
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

class PagedTable;
class RowCache;
class TableLog;

// What the optimizer keeps for each class.
enum class RowState {
  kNone,
  kMomentum,  // A vector [dim].
  kAdagrad,   // A scalar.
};

// How the elements of rows are stored.
enum class RowType { kFloat32, kFloat16 };

// "none", "momentum", "adagrad", as in files and configs.
const char* RowStateName(RowState state);
// Errors: InvalidArgument, with the names there are.
absl::StatusOr<RowState> ParseRowState(absl::string_view name);

// "float32", "float16".
const char* RowTypeName(RowType type);
// Errors: InvalidArgument, with the names there are.
absl::StatusOr<RowType> ParseRowType(absl::string_view name);

// What a store file is, fixed when it is created.
struct PrototypeStoreSpec {
  int64_t num_classes = 0;  // N >= 1
  int64_t capacity = 0;     // Rows the file has room for; 0 means num_classes.
  int64_t dim = 0;          // D >= 1
  RowState row_state = RowState::kMomentum;
  uint64_t seed = 0;  // Of the rows that were never written.
  RowType dtype = RowType::kFloat32;
};

// How it is opened.
struct PrototypeStoreOptions {
  // Upper bound on the memory of cached rows and their state, in bytes. At least the rows of two
  // steps fit, or Gather and Prefetch of that many are ResourceExhausted.
  int64_t cache_bytes = int64_t{256} << 20;
  // Takes no lock and refuses everything that writes (FailedPrecondition).
  bool read_only = false;
  // The log of the run that the store belongs to (table_log.h), which outlives the store and was
  // opened as it is. Without one, rows are written in place, and a crash leaves rows of several
  // steps.
  TableLog* log = nullptr;
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
};

// The rows of a training step and the optimizer's state of their classes.
struct StepRows {
  RowMatrixXf rows;   // [K, D]
  RowMatrixXf state;  // [K, state_floats()]; [0, 0] when the store keeps none.
  // [K]: the step that last scattered the class, -1 for never. As of the gather;
  // ScatterStep does not read it.
  std::vector<int64_t> last_step;
};

struct PrototypeStoreStats {
  int64_t hits = 0;          // Rows asked for and found in the cache.
  int64_t misses = 0;        // Rows asked for and read from the file or initialised.
  int64_t rows_read = 0;     // From the file into the cache.
  int64_t rows_written = 0;  // From the cache to the file.
  int64_t bytes_read = 0;    // All of the file's, blocks included.
  int64_t bytes_written = 0;
  int64_t capacity_rows = 0;  // That the cache holds at most.
  int64_t cached_rows = 0;    // Now.
  int64_t dirty_rows = 0;     // Now; cached, or on their way to the file.
  int64_t cache_bytes = 0;    // Memory in use by the cache now.
};

// What a store knows of a class beside its row and momentum.
struct ClassState {
  bool written = false;    // The row; else it is the initial one.
  int64_t last_step = -1;  // The step that last scattered the class, -1 for never.
};

// Thread-safe. Each call is atomic with respect to the others, except the block calls
// ReadRange, ReadStates and WriteRange, which are atomic by row.
class PrototypeStore {
 public:
  // Creates the file at `path`, which must not exist, and opens it.
  // Errors: InvalidArgument (spec), AlreadyExists, what the file system reports.
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> Create(
      const std::string& path, const PrototypeStoreSpec& spec,
      const PrototypeStoreOptions& options);

  // Opens an existing store.
  // Errors: NotFound, DataLoss (truncated, or not a file of ours), FailedPrecondition
  // (newer format version, or another process holds the lock).
  static absl::StatusOr<std::unique_ptr<PrototypeStore>> Open(const std::string& path,
                                                              const PrototypeStoreOptions& options);

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
  // False when rows were written, without a log, and the process died before a flush: rows of
  // several steps may be mixed.
  bool clean_when_opened() const { return clean_when_opened_; }
  // The file belongs to a run's log, which has the newer rows.
  bool had_log_when_opened() const { return had_log_when_opened_; }

  // A dropped class exists no more, and its id is never used again. Calls that name ids refuse it;
  // those that go over ranges, and ReadRows, read zeros, which are nobody's nearest.
  bool is_dropped(ClassId id) const { return !dropped_.empty() && dropped_[id]; }
  int64_t num_dropped() const { return num_dropped_; }

  // Copies W[ids[i], :] to out.row(i). `out` must be [ids.size(), dim]; repeated ids are
  // allowed. On error `out` is unspecified.
  // Errors: InvalidArgument (shape), OutOfRange (the first bad id is named), FailedPrecondition (a
  // dropped class), DataLoss (checksum; the file and the row are named), ResourceExhausted (more
  // rows than the cache holds).
  absl::Status Gather(absl::Span<const ClassId> ids, RowMatrixRef out);
  // W[ids[i], :] = rows.row(i); the classes' state stays. The store is unchanged on error.
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

  // W[ids[i], :] for ascending, distinct ids, past the cache (which is read for newer rows but not
  // filled): for many rows of which few are wanted again soon. Errors: as Gather; InvalidArgument
  // (order).
  absl::Status ReadRows(absl::Span<const ClassId> ids, RowMatrixRef out);
  // The same for rows [first, first + out.rows()): evaluation, indexing and export of all rows in
  // blocks.
  absl::Status ReadRange(ClassId first, RowMatrixRef out);
  // The state of the classes first, first + 1, ..., in the same way. Errors: as Gather.
  absl::Status ReadStates(ClassId first, absl::Span<ClassState> out);
  // Writes rows [first, first + rows.rows()) to the file, past the cache (whose copies are
  // updated): for imprinting. The classes' state stays. Errors: as Scatter.
  absl::Status WriteRange(ClassId first, ConstRowMatrixRef rows);

  // For a new stage: the state of every class becomes 0, last_step -1; rows stay.
  absl::Status ResetState();

  // Writes all dirty rows to the file and syncs it; with a log, writes them to the log, where the
  // next commit makes them durable.
  absl::Status Flush();
  // Flushes, then writes a file of its own with this very content to `path` (replaced when it
  // exists), sparse and durable: an export, or a checkpoint of a store without a log.
  absl::Status SaveCopy(const std::string& path);

  // --- Classes come and go. Of a store without a log, while no other call runs, and durable when
  // they return. All errors: FailedPrecondition (read-only, or a run's file), those of the file
  // system.

  // Puts the rows of new classes behind those that are there. They count once AddAppended is
  // called; the rows of an attempt that was given up are written over by the next, and leave the
  // store clean. Errors: InvalidArgument (shape), OutOfRange (the capacity: Reserve more).
  absl::Status AppendRows(ConstRowMatrixRef rows);
  // Makes all that was appended classes num_classes(), num_classes() + 1, ...
  absl::Status AddAppended();
  // Drops classes. Errors: InvalidArgument (none would be left, or an id stands twice), OutOfRange,
  // FailedPrecondition (dropped before).
  absl::Status Drop(absl::Span<const ClassId> ids);
  // Gives the store at `path`, which is not open for writing, room for `capacity` rows and, with
  // `names`, for names of classes, when it has less: copies it to a larger file, which takes its
  // place. Errors: as CopyTableLarger (table_copy.h).
  static absl::Status Reserve(const std::string& path, int64_t capacity,
                              FileSystem* file_system = nullptr, bool names = false);
  // In the store at `path`, which is not open for writing, W[into, :] = the normalised sum of the
  // normalised rows of `into` and all of `from`, its state zeros; drops `from`. Done to a copy,
  // which takes the file's place: a crash leaves all as it was or all done, and perhaps
  // `path`.merged, which the next merge writes over. Errors: as Drop; InvalidArgument (the sum is
  // zero), FailedPrecondition (not clean_when_opened, or open for writing).
  static absl::Status Merge(const std::string& path, ClassId into, absl::Span<const ClassId> from,
                            FileSystem* file_system = nullptr);

  // The name that a class has outside: UTF-8 without zeros. Not in memory, and nothing that trains
  // asks for it.
  static constexpr int64_t kMostNameBytes = 128;
  // Errors: InvalidArgument (a name that is longer, or has zeros).
  static absl::Status CheckNames(absl::Span<const std::string> names);
  bool has_names() const;
  // Of classes first, first + 1, ...; "" where there is none. Errors: OutOfRange, those of the file
  // system.
  absl::StatusOr<std::vector<std::string>> ReadNames(ClassId first, int64_t count);
  // The same, durably; also of rows that were appended and do not count yet. Errors: as CheckNames;
  // OutOfRange, FailedPrecondition (read-only, a run's file, or one without room for names:
  // Reserve).
  absl::Status WriteNames(ClassId first, absl::Span<const std::string> names);

  PrototypeStoreStats stats() const;

 private:
  PrototypeStore(std::string path, PrototypeStoreSpec spec, bool read_only);

  // Between a row and its cell.
  void LoadRow(const char* cell, float* row) const;
  void StoreRow(const float* row, char* cell) const;
  absl::Status ReadDropped();
  absl::Status WriteRows(ClassId first, ConstRowMatrixRef rows);
  absl::Status CheckRange(absl::Span<const ClassId> ids) const;
  absl::Status CheckIds(absl::Span<const ClassId> ids) const;
  absl::Status CheckDistinct(absl::Span<const ClassId> ids) const;  // And as CheckIds.
  absl::Status CheckDrop(absl::Span<const ClassId> ids) const;
  absl::Status CheckWritable(absl::Span<const ClassId> ids) const;
  absl::StatusOr<RowMatrixXf> MergedRow(ClassId into, absl::Span<const ClassId> from);

  const std::string path_;
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

// Copies a checkpoint made by SaveCopy (of a store or of queues) over `to`, by way of a temporary
// file beside it: the resumed run goes on from exactly the checkpoint's content.
// `to` must not be open. Errors: what the file system reports.
absl::Status RestoreCopy(FileSystem* file_system, const std::string& from, const std::string& to);

// The row of a class that was never written: [dim] keyed standard normals over their norm. A
// float16 store has it rounded.
void InitialPrototype(uint64_t seed, ClassId id, absl::Span<float> row);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_PROTOTYPE_STORE_H_
