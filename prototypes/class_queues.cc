#include "protopage/prototypes/class_queues.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/prototypes/table/row_cache.h"

namespace protopage {
namespace {

constexpr char kKind[] = "queues";
constexpr int kLogTable = 1;
constexpr int kDominants = 0;
constexpr int kCandidates = 1;
constexpr int kBuiltStep = 2;

absl::Status CheckOptions(const std::string& path, const ClassQueuesOptions& options) {
  if (options.dominant_queue < 1 || options.candidate_queue < options.dominant_queue) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": dominant_queue ", options.dominant_queue, ", candidate_queue ",
        options.candidate_queue, "; allowed are 1 <= dominant_queue <= candidate_queue"));
  }
  if (options.candidate_refresh_steps < 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": candidate_refresh_steps ",
                                                   options.candidate_refresh_steps,
                                                   " is negative; 0 means never"));
  }
  return absl::OkStatus();
}

TableOptions MakeTableOptions(const ClassQueuesOptions& options) {
  TableOptions table;
  table.block_cache_bytes = options.cache_bytes / 4;
  table.log = options.log;
  table.log_table = kLogTable;
  table.id = options.id;
  return table;
}

RowCacheOptions MakeCacheOptions(const ClassQueuesOptions& options) {
  RowCacheOptions cache;
  cache.cache_bytes = options.cache_bytes - options.cache_bytes / 4;
  return cache;
}

// No run has more steps. Sums of ages stay far below the limit of int64_t.
constexpr int64_t kMostSteps = int64_t{1} << 48;

std::vector<ClassId> SortedUnique(absl::Span<const ClassId> ids) {
  std::vector<ClassId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return sorted;
}

}  // namespace

ClassQueues::ClassQueues(std::unique_ptr<PagedTable> table, const ClassQueuesOptions& options)
    : path_(table->path()),
      num_classes_(table->spec().num_rows),
      options_(options),
      table_(std::move(table)),
      cache_(std::make_unique<RowCache>(table_.get(), MakeCacheOptions(options))) {}

ClassQueues::~ClassQueues() = default;

absl::StatusOr<std::unique_ptr<ClassQueues>> ClassQueues::Create(
    const std::string& path, int64_t num_classes, const ClassQueuesOptions& options) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOptions(path, options));
  if (num_classes < 1 || num_classes > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", num_classes,
                                                   " classes; allowed is [1, ",
                                                   std::numeric_limits<int32_t>::max(), "]"));
  }
  TableSpec spec;
  spec.kind = kKind;
  spec.num_rows = num_classes;
  spec.capacity = num_classes;
  spec.columns = {{"dominants", CellType::kInt32, options.dominant_queue},
                  {"candidates", CellType::kInt32, options.candidate_queue},
                  {"built_step", CellType::kInt64, 1}};
  spec.integers["dominant_queue"] = options.dominant_queue;
  spec.integers["candidate_queue"] = options.candidate_queue;
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<PagedTable> table,
                             PagedTable::Create(FileSystemOrDefault(options.file_system), path,
                                                spec, MakeTableOptions(options)));
  return std::unique_ptr<ClassQueues>(new ClassQueues(std::move(table), options));
}

absl::StatusOr<std::unique_ptr<ClassQueues>> ClassQueues::Open(const std::string& path,
                                                               const ClassQueuesOptions& options) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOptions(path, options));
  const auto choose = [&](const Hdf5Layout& layout) -> absl::StatusOr<std::vector<std::string>> {
    const std::pair<const char*, int64_t> lengths[] = {
        {"dominant_queue", options.dominant_queue}, {"candidate_queue", options.candidate_queue}};
    for (const auto& [name, want] : lengths) {
      const auto found = layout.integers.find(name);
      if (found == layout.integers.end()) {
        return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is missing"));
      }
      if (found->second != want) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": ", name, " is ", found->second,
                                                       " in the file, ", want, " asked for"));
      }
    }
    return std::vector<std::string>{"dominants", "candidates", "built_step"};
  };
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<PagedTable> table,
                             PagedTable::Open(FileSystemOrDefault(options.file_system), path, kKind,
                                              MakeTableOptions(options), choose));
  if (table->cell_bytes(kDominants) != 4 * options.dominant_queue ||
      table->cell_bytes(kCandidates) != 4 * options.candidate_queue ||
      table->cell_bytes(kBuiltStep) != 8) {
    return absl::DataLossError(
        absl::StrCat(path, ": the queues' datasets have other widths than the attributes say"));
  }
  return std::unique_ptr<ClassQueues>(new ClassQueues(std::move(table), options));
}

absl::Status ClassQueues::CheckIds(absl::Span<const ClassId> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= num_classes_) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": id ", ids[i], " at position ", i,
                                                " is outside [0, ", num_classes_, ")"));
    }
  }
  return absl::OkStatus();
}

// A record, copied out of the cache.
struct ClassQueues::Entry {
  ClassId id;
  int64_t built_step;  // -1: never.
  std::vector<int32_t> dominants;
  std::vector<int32_t> candidates;
};

absl::Status ClassQueues::ReadEntries(absl::Span<const ClassId> ids, std::vector<Entry>* entries) {
  entries->resize(ids.size());
  const auto read = [&](size_t i, const char* record) {
    Entry& entry = (*entries)[i];
    entry.id = ids[i];
    entry.dominants.resize(options_.dominant_queue);
    entry.candidates.resize(options_.candidate_queue);
    std::memcpy(entry.dominants.data(), record + table_->record_offset(kDominants),
                table_->cell_bytes(kDominants));
    std::memcpy(entry.candidates.data(), record + table_->record_offset(kCandidates),
                table_->cell_bytes(kCandidates));
    int64_t stored_step = 0;
    std::memcpy(&stored_step, record + table_->record_offset(kBuiltStep), 8);
    entry.built_step = std::clamp<int64_t>(stored_step, -1, kMostSteps + 2) - 1;
  };
  PROTOPAGE_RETURN_IF_ERROR(cache_->Read(ids, read));
  for (const Entry& entry : *entries) PROTOPAGE_RETURN_IF_ERROR(CheckEntry(entry));
  return absl::OkStatus();
}

// Cells that match their checksums may still come from a file of other classes.
absl::Status ClassQueues::CheckEntry(const Entry& entry) const {
  if (entry.built_step < -1 || entry.built_step > kMostSteps) {
    return absl::DataLossError(absl::StrCat(path_, ": the queues of class ", entry.id,
                                            " were built at an impossible step: the file is "
                                            "damaged"));
  }
  if (entry.built_step < 0) return absl::OkStatus();  // Never built: the rest is ignored.
  for (const std::vector<int32_t>* queue : {&entry.dominants, &entry.candidates}) {
    for (const int32_t id : *queue) {
      if (id >= kNoClass && id < num_classes_) continue;
      return absl::DataLossError(absl::StrCat(path_, ": the queues of class ", entry.id,
                                              " have class ", id, " of ", num_classes_,
                                              ": the file is damaged"));
    }
  }
  return absl::OkStatus();
}

absl::Status ClassQueues::WriteEntries(const std::vector<Entry>& entries) {
  std::vector<ClassId> ids;
  for (const Entry& entry : entries) ids.push_back(entry.id);
  return cache_->Write(ids, RowCache::kWhole, [&](size_t i, char* record) {
    const int64_t stored_step = entries[i].built_step + 1;
    std::memset(record, 0, table_->record_bytes());
    std::memcpy(record + table_->record_offset(kDominants), entries[i].dominants.data(),
                table_->cell_bytes(kDominants));
    std::memcpy(record + table_->record_offset(kCandidates), entries[i].candidates.data(),
                table_->cell_bytes(kCandidates));
    std::memcpy(record + table_->record_offset(kBuiltStep), &stored_step, 8);
  });
}

// Small enough for any cache, and large enough to make the cost of a system call negligible.
int64_t ClassQueues::BatchRows() const {
  return std::clamp<int64_t>(cache_->num_frames() / 4, 1, 1024);
}

absl::Status ClassQueues::EnsureBuilt(absl::Span<const ClassId> ids, int64_t step,
                                      NeighborSearch search) {
  if (step < 0) return absl::InvalidArgumentError(absl::StrCat("step ", step, " is negative"));
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(ids));
  const MutexLock lock(mutex_);
  const std::vector<ClassId> sorted = SortedUnique(ids);
  std::vector<Entry> batch, outdated;
  int64_t age_steps = 0;
  for (size_t begin = 0; begin < sorted.size(); begin += BatchRows()) {
    PROTOPAGE_RETURN_IF_ERROR(
        ReadEntries(absl::MakeConstSpan(sorted).subspan(begin, BatchRows()), &batch));
    for (Entry& entry : batch) {
      const bool old = !options_.frozen && options_.candidate_refresh_steps > 0 &&
                       step - entry.built_step > options_.candidate_refresh_steps;
      if (entry.built_step < 0 || old) {
        outdated.push_back(std::move(entry));
      } else {
        age_steps += step - entry.built_step;
      }
    }
  }
  ClassQueuesStats added;
  added.used = static_cast<int64_t>(sorted.size());
  added.used_age_steps = age_steps;
  if (!outdated.empty()) PROTOPAGE_RETURN_IF_ERROR(Search(outdated, step, search, &added));
  AddStats(added);
  return absl::OkStatus();
}

absl::Status ClassQueues::Search(std::vector<Entry>& outdated, int64_t step, NeighborSearch search,
                                 ClassQueuesStats* added) {
  const int64_t k = options_.candidate_queue;
  std::vector<ClassId> searched_ids;
  for (const Entry& entry : outdated) searched_ids.push_back(entry.id);
  std::vector<ClassId> neighbors(outdated.size() * k, kNoClass);
  PROTOPAGE_RETURN_IF_ERROR(search(searched_ids, k, absl::MakeSpan(neighbors)));
  for (size_t i = 0; i < outdated.size(); ++i) {
    Entry& entry = outdated[i];
    for (int64_t j = 0; j < k; ++j) {
      const ClassId neighbor = neighbors[i * k + j];
      if (neighbor == entry.id || neighbor < kNoClass || neighbor >= num_classes_) {
        return absl::InternalError(absl::StrCat("the neighbor search found class ", neighbor,
                                                " for class ", entry.id, " of ", num_classes_));
      }
      entry.candidates[j] = static_cast<int32_t>(neighbor);
    }
    if (entry.built_step < 0) {
      std::copy_n(entry.candidates.begin(), options_.dominant_queue, entry.dominants.begin());
      ++added->built;
    } else {
      ++added->refreshed;
    }
    entry.built_step = step;
  }
  for (size_t begin = 0; begin < outdated.size(); begin += BatchRows()) {
    const size_t end = std::min(outdated.size(), begin + BatchRows());
    PROTOPAGE_RETURN_IF_ERROR(
        WriteEntries(std::vector<Entry>(outdated.begin() + begin, outdated.begin() + end)));
  }
  return absl::OkStatus();
}

void ClassQueues::AddStats(const ClassQueuesStats& added) {
  const MutexLock lock(stats_mutex_);
  stats_.built += added.built;
  stats_.refreshed += added.refreshed;
  stats_.mistakes += added.mistakes;
  stats_.pushes += added.pushes;
  stats_.used += added.used;
  stats_.used_age_steps += added.used_age_steps;
}

absl::Status ClassQueues::CopyQueue(ClassId id, bool dominants, absl::Span<ClassId> out) {
  const int64_t size = dominants ? options_.dominant_queue : options_.candidate_queue;
  if (static_cast<int64_t>(out.size()) != size) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": room for ", out.size(), " ids, the queue has ", size));
  }
  PROTOPAGE_RETURN_IF_ERROR(CheckIds({id}));
  const MutexLock lock(mutex_);
  std::vector<Entry> entries;
  PROTOPAGE_RETURN_IF_ERROR(ReadEntries({id}, &entries));
  if (entries[0].built_step < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": the queues of class ", id, " were never built"));
  }
  const std::vector<int32_t>& queue = dominants ? entries[0].dominants : entries[0].candidates;
  std::copy(queue.begin(), queue.end(), out.begin());
  return absl::OkStatus();
}

absl::Status ClassQueues::Dominants(ClassId id, absl::Span<ClassId> out) {
  return CopyQueue(id, /*dominants=*/true, out);
}

absl::Status ClassQueues::Candidates(ClassId id, absl::Span<ClassId> out) {
  return CopyQueue(id, /*dominants=*/false, out);
}

absl::Status ClassQueues::ApplyMistakes(absl::Span<const ClassId> classes,
                                        absl::Span<const int32_t> slots,
                                        absl::Span<const int32_t> predicted) {
  PROTOPAGE_RETURN_IF_ERROR(CheckIds(classes));
  if (slots.size() != predicted.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slots of ", slots.size(), " samples, predicted slots of ", predicted.size()));
  }
  // (y, r) of the mistakes. The queues of different classes do not depend on each other, so only
  // the order among the samples of a class matters.
  std::vector<std::pair<ClassId, ClassId>> mistakes;
  const auto num_slots = static_cast<int64_t>(classes.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] < 0 || slots[i] >= num_slots || predicted[i] < 0 || predicted[i] >= num_slots) {
      return absl::OutOfRangeError(absl::StrCat("sample ", i, ": slot ", slots[i], ", predicted ",
                                                predicted[i], "; allowed is [0, ", num_slots, ")"));
    }
    const ClassId y = classes[slots[i]], r = classes[predicted[i]];
    if (r != y) mistakes.emplace_back(y, r);
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<ClassId> ys;
  for (const auto& mistake : mistakes) {
    if (ys.empty() || ys.back() != mistake.first) ys.push_back(mistake.first);
  }

  const MutexLock lock(mutex_);
  ClassQueuesStats added;
  added.mistakes = static_cast<int64_t>(mistakes.size());
  AddStats(added);
  if (options_.frozen) return absl::OkStatus();
  auto mistake = mistakes.begin();
  std::vector<Entry> batch, changed;
  for (size_t begin = 0; begin < ys.size(); begin += BatchRows()) {
    PROTOPAGE_RETURN_IF_ERROR(
        ReadEntries(absl::MakeConstSpan(ys).subspan(begin, BatchRows()), &batch));
    changed.clear();
    ClassQueuesStats pushed;
    for (Entry& entry : batch) {
      const int64_t before = pushed.pushes;
      std::vector<int32_t>& dominants = entry.dominants;
      for (; mistake != mistakes.end() && mistake->first == entry.id; ++mistake) {
        const auto r = static_cast<int32_t>(mistake->second);
        const auto has = [r](const std::vector<int32_t>& queue) {
          return std::find(queue.begin(), queue.end(), r) != queue.end();
        };
        if (entry.built_step < 0 || has(dominants) || !has(entry.candidates)) continue;
        std::copy_backward(dominants.begin(), dominants.end() - 1, dominants.end());
        dominants.front() = r;
        ++pushed.pushes;
      }
      if (pushed.pushes > before) changed.push_back(std::move(entry));
    }
    if (!changed.empty()) PROTOPAGE_RETURN_IF_ERROR(WriteEntries(changed));
    AddStats(pushed);
  }
  return absl::OkStatus();
}

absl::Status ClassQueues::Reset() {
  const MutexLock lock(mutex_);
  return cache_->ClearColumn(kBuiltStep);
}

absl::Status ClassQueues::Flush() {
  const MutexLock lock(mutex_);
  return cache_->Flush();
}

absl::Status ClassQueues::SaveCopy(const std::string& path) {
  const MutexLock lock(mutex_);
  return cache_->SaveCopy(path);
}

ClassQueuesStats ClassQueues::stats() const {
  const MutexLock lock(stats_mutex_);
  return stats_;
}

}  // namespace protopage
