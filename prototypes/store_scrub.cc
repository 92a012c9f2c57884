#include "protopage/prototypes/store_scrub.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/paged_table.h"

namespace protopage {
namespace {

constexpr int64_t kBlockRows = 1024;
constexpr size_t kMostErrors = 20;
constexpr int kQueuesTable = 1;  // In the log.

// Calls read(first, last) for blocks of `block` rows. A block that cannot be read is read row by
// row, so that each damaged row is found.
std::vector<absl::Status> ReadBlocks(
    int64_t num_rows, int64_t block, const ScrubProgress& progress,
    absl::FunctionRef<absl::Status(int64_t first, int64_t last)> read) {
  std::vector<absl::Status> errors;
  for (int64_t first = 0; first < num_rows && errors.size() < kMostErrors; first += block) {
    if (progress) progress(first, num_rows);
    const int64_t last = std::min(first + block, num_rows);
    if (read(first, last).ok()) continue;
    for (int64_t row = first; row < last && errors.size() < kMostErrors; ++row) {
      absl::Status status = read(row, row + 1);
      if (!status.ok()) errors.push_back(std::move(status));
    }
  }
  return errors;
}

absl::StatusOr<std::unique_ptr<PagedTable>> OpenQueues(FileSystem* fs, const std::string& path,
                                                       TableLog* log, uint64_t id) {
  TableOptions options;
  options.id = id;
  options.read_only = true;
  options.log = log;
  options.log_table = kQueuesTable;
  return PagedTable::Open(
      fs, path, "queues", options,
      [](const Hdf5Layout&) -> absl::StatusOr<std::vector<std::string>> {
        return std::vector<std::string>{"dominants", "candidates", "built_step"};
      });
}

}  // namespace

std::vector<absl::Status> ScrubStore(PrototypeStore* store, const ScrubProgress& progress) {
  StepRows rows;
  const int64_t block = std::max<int64_t>(1, std::min(kBlockRows, store->stats().capacity_rows));
  std::vector<absl::Status> errors =
      ReadBlocks(store->num_classes(), block, progress, [&](int64_t first, int64_t last) {
        std::vector<ClassId> ids;
        for (ClassId id = first; id < last; ++id) {
          if (!store->is_dropped(id)) ids.push_back(id);
        }
        return store->GatherStep(ids, &rows);
      });
  absl::Status names = store->CheckNames();
  if (!names.ok()) errors.push_back(std::move(names));
  return errors;
}

std::vector<absl::Status> ScrubQueues(FileSystem* fs, const std::string& path, TableLog* log,
                                      uint64_t id) {
  const absl::StatusOr<std::unique_ptr<PagedTable>> opened = OpenQueues(fs, path, log, id);
  if (!opened.ok()) return {opened.status()};
  PagedTable& table = **opened;
  std::vector<char> bytes(kBlockRows * table.record_bytes());
  return ReadBlocks(table.spec().num_rows, kBlockRows, {}, [&](int64_t first, int64_t last) {
    std::vector<int64_t> rows;
    std::vector<char*> records;
    for (int64_t row = first; row < last; ++row) {
      rows.push_back(row);
      records.push_back(bytes.data() + (row - first) * table.record_bytes());
    }
    return table.ReadRows(rows, records);
  });
}

}  // namespace protopage
