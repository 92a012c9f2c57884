#include "protopage/trainer/session/prototype_set.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/json_text.h"
#include "protopage/base/nonce.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/sampling/class_queue_source.h"
#include "protopage/sampling/nearest_class_source.h"
#include "protopage/sampling/selection_modes.h"
#include "protopage/trainer/session/class_identity.h"

namespace protopage {
namespace {

constexpr char kIndexFile[] = "index.bin";
// The changes since index.bin, which is then a hard link to the file of an earlier checkpoint.
constexpr char kIndexChangesFile[] = "index-changes.bin";
// A checkpoint gets a whole index when more than one class in this many has changed since the last
// whole one.
constexpr int64_t kMostChangedShare = 8;
// In a checkpoint's folder: {"generation": of the files, "log_checkpoint": number in the log}.
constexpr char kPlaceFile[] = "prototypes.json";
constexpr int kQueuesTable = 1;  // In the log.
constexpr char kInitFrom[] = "prototypes.init_from";

// The position of a checkpoint in the log of a set. The others are 0 in checkpoints of earlier
// versions.
struct Place {
  int64_t generation = 0;
  int64_t log_checkpoint = 0;
  uint64_t log_segment = 0;  // TableLog::head_salt.
  uint64_t tables = 0;       // The id of the store and the queues.
};

// Generation 0 when the checkpoint was made before there were prototypes.
absl::StatusOr<Place> ReadPlace(FileSystem* fs, const std::string& folder) {
  const std::string path = JoinPath(folder, kPlaceFile);
  if (!fs->Exists(path)) return Place();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path));
  // Checkpoints of earlier versions have no seal. In the others, DONE has a checksum of the file.
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json json,
                             ParseSealedJson(text, path, SealRule::kOptional));
  const auto integer = [&json](const char* key) -> int64_t {
    const bool there = json.is_object() && json.contains(key) && json[key].is_number_integer();
    return there ? json[key].get<int64_t>() : -1;
  };
  const auto hexadecimal = [&json](const char* key) -> uint64_t {
    uint64_t value = 0;
    const bool there = json.is_object() && json.contains(key) && json[key].is_string();
    return there && absl::SimpleHexAtoi(json[key].get<std::string>(), &value) ? value : 0;
  };
  const Place place{integer("generation"), integer("log_checkpoint"), hexadecimal("log_segment"),
                    hexadecimal("tables")};
  if (place.generation >= 1 && place.log_checkpoint >= 0) return place;
  return absl::DataLossError(absl::StrCat(path, " is damaged: found ", ShortText(text)));
}

// The log may have a checkpoint of that number and not be the one that `folder` was saved with.
absl::Status CheckLog(const TableLog& log, const Place& place, const std::string& folder) {
  // Once the checkpoint is merged, only the tables have it.
  const uint64_t found = log.head_salt();
  if (place.log_segment == 0 || found == 0 || found == place.log_segment) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      log.directory(), ": its checkpoint ", place.log_checkpoint, " is not the one that ", folder,
      " was saved with: the log is of another run, or one of the two was put back from a copy"));
}

absl::Status MissingPlace(const std::string& folder) {
  return absl::DataLossError(
      absl::StrCat(folder, " has no ", kPlaceFile, ": it is damaged, or of an earlier version"));
}

absl::Status RemoveIfThere(FileSystem* fs, const std::string& path) {
  return fs->Exists(path) ? fs->Remove(path) : absl::OkStatus();
}

}  // namespace

PrototypeSet::PrototypeSet(std::string directory, const PrototypeSetOptions& options,
                           ThreadPool* pool)
    : directory_(std::move(directory)),
      options_(options),
      pool_(pool),
      fs_(options.file_system != nullptr ? options.file_system : DefaultFileSystem()) {}

std::string PrototypeSet::PathOf(absl::string_view name, absl::string_view suffix) const {
  const std::string number =
      options_.generation > 1 ? absl::StrCat("-", options_.generation) : std::string();
  return JoinPath(directory_, absl::StrCat(name, number, suffix));
}

absl::Status PrototypeSet::RemoveFiles() {
  if (fs_->IsDirectory(LogPath())) PROTOPAGE_RETURN_IF_ERROR(TableLog::Remove(fs_, LogPath()));
  // The store goes last, as a generation without one is not looked for. The locks go with their
  // files: only the process that trains, which holds the run's lock, writes these.
  for (const std::string& path : {QueuesPath(), StorePath()}) {
    PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(fs_, absl::StrCat(path, ".lock")));
    PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(fs_, path));
  }
  return fs_->SyncDirectory(directory_);
}

PrototypeStoreOptions PrototypeSet::StoreOptions() const {
  PrototypeStoreOptions options;
  options.cache_bytes = options_.prototypes.cache_bytes;
  options.log = log_.get();
  options.id = tables_;
  options.file_system = fs_;
  return options;
}

ClassQueuesOptions PrototypeSet::QueuesOptions() const {
  ClassQueuesOptions options;
  options.dominant_queue = options_.selection.dominant_queue;
  options.candidate_queue = options_.selection.candidate_queue;
  options.candidate_refresh_steps = options_.selection.candidate_refresh_steps;
  options.frozen = options_.selection.frozen_queues;
  options.log = log_.get();
  options.id = tables_;
  options.file_system = fs_;
  return options;
}

ClassIndexOptions PrototypeSet::IndexOptions(const PrototypeSetOptions& set_options) {
  const PrototypesConfig& config = set_options.prototypes;
  ClassIndexOptions options;
  options.index_bytes = config.index_bytes;
  options.reencode_below = static_cast<float>(config.reencode_below);
  options.kind = config.index;
  options.lists = config.index_lists;
  options.probes = config.index_probes;
  options.candidates = config.index_candidates;
  options.seed = set_options.seed;
  if (DominantKindOf(set_options.selection.mode) == DominantKind::kNearest) {
    // The index must be exact: it holds every row unrounded and takes every change.
    options.kind = "flat";
    options.reencode_below = 2;
  }
  return options;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::Create(
    const std::string& directory, int64_t num_classes, int64_t dim,
    const PrototypeSetOptions& options, ThreadPool* pool) {
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(directory, options, pool));
  // The log comes first, as it holds the lock.
  PROTOPAGE_ASSIGN_OR_RETURN(set->log_, TableLog::Create(set->fs_, set->LogPath(), options.log));
  PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(set->fs_, set->StorePath()));
  PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(set->fs_, set->QueuesPath()));
  const std::string& init_from = options.prototypes.init_from;
  if (init_from.empty()) {
    PROTOPAGE_ASSIGN_OR_RETURN(set->tables_, RandomNonce());
  } else {
    // Keeps writers out until the copy is made. Where no lock can be made, nobody can write either.
    const auto lock = LockTable(set->fs_, init_from);
    if (!lock.ok() && !absl::IsPermissionDenied(lock.status())) {
      return WithContext(lock.status(), kInitFrom);
    }
    PROTOPAGE_RETURN_IF_ERROR(OpenInitFrom(num_classes, dim, options).status());
    PROTOPAGE_RETURN_IF_ERROR(CopyFileAtomically(set->fs_, init_from, set->StorePath()));
    PROTOPAGE_ASSIGN_OR_RETURN(set->store_,
                               PrototypeStore::Open(set->StorePath(), set->StoreOptions()));
    set->tables_ = set->store_->id();
    return set;
  }
  PrototypeStoreSpec spec;
  spec.num_classes = num_classes;
  spec.dim = dim;
  PROTOPAGE_ASSIGN_OR_RETURN(spec.row_state, ParseRowState(options.prototypes.row_state));
  PROTOPAGE_ASSIGN_OR_RETURN(spec.dtype, ParseRowType(options.prototypes.dtype));
  spec.seed = options.seed;
  // The names go where the rows go: into every copy of the store.
  std::unique_ptr<ClassNames> names;
  const std::string names_path = RunClassesPath(directory, ClassRole::kTarget);
  if (set->fs_->Exists(names_path)) {
    PROTOPAGE_ASSIGN_OR_RETURN(names, ClassNames::Open(set->fs_, names_path));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(set->store_, PrototypeStore::Create(set->StorePath(), spec,
                                                                 set->StoreOptions(), names.get()));
  return set;
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> PrototypeSet::OpenInitFrom(
    int64_t num_classes, int64_t dim, const PrototypeSetOptions& options) {
  const std::string& path = options.prototypes.init_from;
  PrototypeStoreOptions store_options;
  store_options.read_only = true;
  store_options.file_system = options.file_system;
  auto opened = PrototypeStore::Open(path, store_options);
  if (!opened.ok()) return WithContext(opened.status(), kInitFrom);
  const PrototypeStore& store = **opened;
  const auto wrong = [&](absl::string_view found, absl::string_view expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(kInitFrom, ": ", path, " ", found, ", expected ", expected));
  };
  if (store.had_log_when_opened()) {
    return wrong("is the file of a run", "a store by itself, as protopage export makes it");
  }
  if (!store.clean_when_opened()) {
    return wrong("was being written when its process died", "one that was closed");
  }
  if (store.num_classes() != num_classes) {
    return wrong(absl::StrCat("has ", store.num_classes(), " classes"),
                 absl::StrCat("those of the images, ", num_classes));
  }
  if (store.dim() != dim) {
    return wrong(absl::StrCat("has rows of ", store.dim()),
                 absl::StrCat("model.embedding_dim, ", dim));
  }
  const std::string dtype = RowTypeName(store.spec().dtype);
  if (dtype != options.prototypes.dtype) {
    return wrong(absl::StrCat("has dtype ", dtype),
                 absl::StrCat("prototypes.dtype, ", options.prototypes.dtype));
  }
  const std::string row_state = RowStateName(store.spec().row_state);
  if (row_state != options.prototypes.row_state) {
    return wrong(absl::StrCat("has row_state ", row_state),
                 absl::StrCat("prototypes.row_state, ", options.prototypes.row_state));
  }
  return opened;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::Restore(
    const std::string& directory, const std::string& checkpoint, const PrototypeSetOptions& options,
    ThreadPool* pool) {
  FileSystem* fs = options.file_system != nullptr ? options.file_system : DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const Place place, ReadPlace(fs, checkpoint));
  PrototypeSetOptions set_options = options;
  set_options.generation = place.generation;
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(directory, set_options, pool));
  if (place.generation == 0) return MissingPlace(checkpoint);
  set->tables_ = place.tables;
  PROTOPAGE_ASSIGN_OR_RETURN(set->log_,
                             TableLog::Open(fs, set->LogPath(), place.log_checkpoint, options.log));
  PROTOPAGE_RETURN_IF_ERROR(CheckLog(*set->log_, place, checkpoint));
  PROTOPAGE_ASSIGN_OR_RETURN(set->store_,
                             PrototypeStore::Open(set->StorePath(), set->StoreOptions()));
  // Before the first dominant stage there are no queues.
  if (set->log_->HasTable(kQueuesTable)) {
    PROTOPAGE_ASSIGN_OR_RETURN(set->queues_,
                               ClassQueues::Open(set->QueuesPath(), set->QueuesOptions()));
  }
  const std::string index = JoinPath(checkpoint, kIndexFile);
  if (fs->Exists(index)) {
    PROTOPAGE_ASSIGN_OR_RETURN(set->index_, LoadClassIndex(fs, index, IndexOptions(set->options_)));
    const std::string changes = JoinPath(checkpoint, kIndexChangesFile);
    if (fs->Exists(changes)) PROTOPAGE_RETURN_IF_ERROR(set->index_->LoadChanges(fs, changes));
    set->saved_index_ = index;
    set->ConnectDominants();
  }
  return set;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::OpenReadOnly(
    const std::string& directory, const std::string& checkpoint, const PrototypeSetOptions& options,
    ThreadPool* pool) {
  FileSystem* fs = options.file_system != nullptr ? options.file_system : DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const Place place, ReadPlace(fs, checkpoint));
  if (place.generation == 0) return MissingPlace(checkpoint);
  PrototypeSetOptions set_options = options;
  set_options.generation = place.generation;
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(directory, set_options, pool));
  PROTOPAGE_ASSIGN_OR_RETURN(set->log_,
                             TableLog::OpenReadOnly(fs, set->LogPath(), place.log_checkpoint));
  PROTOPAGE_RETURN_IF_ERROR(CheckLog(*set->log_, place, checkpoint));
  set->tables_ = place.tables;
  PrototypeStoreOptions store_options = set->StoreOptions();
  store_options.read_only = true;
  PROTOPAGE_ASSIGN_OR_RETURN(set->store_, PrototypeStore::Open(set->StorePath(), store_options));
  return set;
}

std::vector<absl::Status> PrototypeSet::Scrub(const std::string& checkpoint,
                                              const ScrubProgress& progress) {
  std::vector<absl::Status> errors = ScrubStore(store_.get(), progress);
  if (log_->HasTable(kQueuesTable)) {
    for (absl::Status& error : ScrubQueues(fs_, QueuesPath(), log_.get(), tables_)) {
      errors.push_back(std::move(error));
    }
  }
  const std::string path = JoinPath(checkpoint, kIndexFile);
  if (!fs_->Exists(path)) return errors;
  absl::StatusOr<std::unique_ptr<ClassIndex>> index =
      LoadClassIndex(fs_, path, IndexOptions(options_));
  const std::string changes = JoinPath(checkpoint, kIndexChangesFile);
  absl::Status status = index.status();
  if (status.ok() && fs_->Exists(changes)) status = (*index)->LoadChanges(fs_, changes);
  if (!status.ok()) errors.push_back(std::move(status));
  return errors;
}

absl::Status PrototypeSet::BeginStage() {
  PROTOPAGE_RETURN_IF_ERROR(store_->ResetState());
  unindexed_.clear();
  dominants_.reset();
  index_.reset();
  saved_index_.clear();
  const DominantKind kind = DominantKindOf(options_.selection.mode);
  if (kind == DominantKind::kNone) return absl::OkStatus();  // Neighbours are not needed.
  PROTOPAGE_ASSIGN_OR_RETURN(
      index_, BuildClassIndex(store_->num_classes(), store_->dim(), IndexOptions(options_), pool_,
                              [this](ClassId first, RowMatrixRef rows) {
                                return store_->ReadRange(first, rows);
                              }));
  if (kind == DominantKind::kQueues && queues_ != nullptr) {
    PROTOPAGE_RETURN_IF_ERROR(queues_->Reset());
  } else if (kind == DominantKind::kQueues) {
    // A file may be left from an attempt without a checkpoint.
    PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(fs_, QueuesPath()));
    PROTOPAGE_ASSIGN_OR_RETURN(
        queues_, ClassQueues::Create(QueuesPath(), store_->num_classes(), QueuesOptions()));
  }
  ConnectDominants();
  return queues_ != nullptr && options_.selection.frozen_queues ? BuildAllQueues()
                                                                : absl::OkStatus();
}

absl::Status PrototypeSet::BuildAllQueues() {
  constexpr ClassId kBlock = 1024;
  for (ClassId first = 0; first < store_->num_classes(); first += kBlock) {
    std::vector<ClassId> ids;
    for (ClassId id = first; id < std::min(first + kBlock, store_->num_classes()); ++id) {
      if (!store_->is_dropped(id)) ids.push_back(id);
    }
    PROTOPAGE_RETURN_IF_ERROR(dominants_->Dominants(/*step=*/0, ids).status());
  }
  return absl::OkStatus();
}

bool PrototypeSet::IsNearest() const {
  return DominantKindOf(options_.selection.mode) == DominantKind::kNearest;
}

void PrototypeSet::ConnectDominants() {
  NeighborSearchFunction search = SearchPrototypes(store_.get(), index_.get(), pool_);
  if (queues_ != nullptr) {
    dominants_ = std::make_unique<ClassQueueSource>(queues_.get(), std::move(search));
  } else {
    dominants_ =
        std::make_unique<NearestClassSource>(options_.selection.dominant_queue, std::move(search));
  }
}

void PrototypeSet::NoteTrained(absl::Span<const ClassId> classes) {
  if (index_ == nullptr) return;
  unindexed_.insert(unindexed_.end(), classes.begin(), classes.end());
}

int64_t PrototypeSet::index_update_steps() const {
  return IsNearest() ? 1 : options_.prototypes.index_update_steps;
}

absl::Status PrototypeSet::UpdateIndex() {
  if (index_ == nullptr || unindexed_.empty()) return absl::OkStatus();
  std::sort(unindexed_.begin(), unindexed_.end());
  unindexed_.erase(std::unique(unindexed_.begin(), unindexed_.end()), unindexed_.end());
  // In blocks, so that memory does not grow with the number of trained classes.
  constexpr size_t kBlockRows = 4096;
  for (size_t first = 0; first < unindexed_.size(); first += kBlockRows) {
    const absl::Span<const ClassId> ids =
        absl::MakeConstSpan(unindexed_).subspan(first, kBlockRows);
    RowMatrixXf rows(ids.size(), store_->dim());
    // Not through the cache: it may have no room for so many, and holds the rows of coming steps.
    PROTOPAGE_RETURN_IF_ERROR(store_->ReadRows(ids, rows));
    PROTOPAGE_RETURN_IF_ERROR(index_->Update(ids, rows, pool_).status());
  }
  unindexed_.clear();
  return absl::OkStatus();
}

// The whole index is far larger than the changes of a checkpoint interval.
absl::Status PrototypeSet::SaveIndex(const std::string& folder) {
  if (index_ == nullptr) return absl::OkStatus();
  const std::string path = JoinPath(folder, kIndexFile);
  const bool few_changed = index_->num_changed() <= store_->num_classes() / kMostChangedShare;
  // On a file system without links the index is saved whole each time.
  const bool linked = few_changed && !saved_index_.empty() && fs_->Link(saved_index_, path).ok();
  if (linked) {
    PROTOPAGE_RETURN_IF_ERROR(index_->SaveChanges(fs_, JoinPath(folder, kIndexChangesFile)));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(index_->Save(fs_, path));
  }
  saved_index_ = path;
  return absl::OkStatus();
}

absl::Status PrototypeSet::SaveCheckpoint(const std::string& folder) {
  PROTOPAGE_RETURN_IF_ERROR(Flush());
  PROTOPAGE_RETURN_IF_ERROR(SaveIndex(folder));
  const int64_t number = log_->head().checkpoint + 1;
  PROTOPAGE_RETURN_IF_ERROR(log_->Commit(number));
  const nlohmann::ordered_json place = {
      {"generation", options_.generation},
      {"log_checkpoint", number},
      {"log_segment", absl::StrFormat("%016x", log_->head_salt())},
      {"tables", absl::StrFormat("%016x", tables_)}};
  return WriteFileAtomically(fs_, JoinPath(folder, kPlaceFile), SealJson(DumpJson(place, -1)));
}

absl::Status PrototypeSet::Retire(const std::string& oldest, bool all) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Place place, ReadPlace(fs_, oldest));
  if (place.generation != options_.generation) return absl::OkStatus();  // Of an earlier set.
  for (int64_t generation = 1; generation < options_.generation; ++generation) {
    PrototypeSetOptions options = options_;
    options.generation = generation;
    PrototypeSet earlier(directory_, options, pool_);
    // Also what is left of a removal that was interrupted.
    PROTOPAGE_RETURN_IF_ERROR(earlier.RemoveFiles());
  }
  return all ? log_->RetireNow(place.log_checkpoint) : log_->Retire(place.log_checkpoint);
}

absl::Status PrototypeSet::Flush() {
  if (queues_ != nullptr) PROTOPAGE_RETURN_IF_ERROR(queues_->Flush());
  return store_->Flush();
}

ClassQueuesStats PrototypeSet::queue_stats() const {
  return queues_ != nullptr ? queues_->stats() : ClassQueuesStats();
}

ClassIndexStats PrototypeSet::index_stats() const {
  return index_ != nullptr ? index_->stats() : ClassIndexStats();
}

absl::StatusOr<RecallEstimate> PrototypeSet::EstimateIndexRecall(int64_t draw) {
  if (index_ == nullptr) {
    return absl::FailedPreconditionError("there is no index before BeginStage");
  }
  return EstimateRecall(store_.get(), *index_, pool_, options_.selection.candidate_queue,
                        options_.seed, draw);
}

}  // namespace protopage
