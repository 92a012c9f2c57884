#include "trainer/prototype_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sampling/class_queue_source.h"
#include "sampling/class_selector.h"
#include "sampling/nearest_class_source.h"

namespace protopage {
namespace {

constexpr char kStoreFile[] = "prototypes.h5";
constexpr char kQueuesFile[] = "queues.h5";
constexpr char kIndexFile[] = "index.bin";

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

std::string PrototypeSet::QueuesPath() const { return JoinPath(directory_, kQueuesFile); }

PrototypeStoreOptions PrototypeSet::StoreOptions() const {
  PrototypeStoreOptions options;
  options.cache_bytes = options_.prototypes.cache_bytes;
  options.file_system = fs_;
  return options;
}

ClassQueuesOptions PrototypeSet::QueuesOptions() const {
  ClassQueuesOptions options;
  options.dominant_queue = options_.selection.dominant_queue;
  options.candidate_queue = options_.selection.candidate_queue;
  options.candidate_refresh_steps = options_.selection.candidate_refresh_steps;
  options.file_system = fs_;
  return options;
}

ClassIndexOptions PrototypeSet::IndexOptions() const {
  ClassIndexOptions options;
  options.index_bytes = options_.prototypes.index_bytes;
  options.reencode_below = static_cast<float>(options_.prototypes.reencode_below);
  options.kind = options_.prototypes.index;
  options.lists = options_.prototypes.index_lists;
  options.probes = options_.prototypes.index_probes;
  options.candidates = options_.prototypes.index_candidates;
  options.seed = options_.seed;
  if (IsNearest()) {
    // It must be exact: every row as it is, and all that move.
    options.kind = "flat";
    options.reencode_below = 2;
  }
  return options;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::Create(
    const std::string& directory, int64_t num_classes, int64_t dim,
    const PrototypeSetOptions& options, ThreadPool* pool) {
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(directory, options, pool));
  const std::string path = JoinPath(directory, kStoreFile);
  RETURN_IF_ERROR(RemoveIfThere(set->fs_, path));
  PrototypeStoreSpec spec;
  spec.num_classes = num_classes;
  spec.dim = dim;
  spec.row_state = RowState::kMomentum;
  spec.seed = options.seed;
  ASSIGN_OR_RETURN(set->store_, PrototypeStore::Create(path, spec, set->StoreOptions()));
  return set;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::Restore(
    const std::string& directory, const std::string& checkpoint, const PrototypeSetOptions& options,
    ThreadPool* pool) {
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(directory, options, pool));
  FileSystem* fs = set->fs_;
  const std::string path = JoinPath(directory, kStoreFile);
  RETURN_IF_ERROR(RestoreCopy(fs, JoinPath(checkpoint, kStoreFile), path));
  ASSIGN_OR_RETURN(set->store_, PrototypeStore::Open(path, set->StoreOptions()));
  // Before a dominant stage there are none of these yet.
  if (fs->Exists(JoinPath(checkpoint, kQueuesFile))) {
    RETURN_IF_ERROR(RestoreCopy(fs, JoinPath(checkpoint, kQueuesFile), set->QueuesPath()));
    ASSIGN_OR_RETURN(set->queues_, ClassQueues::Open(set->QueuesPath(), set->QueuesOptions()));
  }
  if (fs->Exists(JoinPath(checkpoint, kIndexFile))) {
    ASSIGN_OR_RETURN(set->index_,
                     ClassIndex::Load(fs, JoinPath(checkpoint, kIndexFile), set->IndexOptions()));
    set->ConnectDominants();
  }
  return set;
}

absl::StatusOr<std::unique_ptr<PrototypeSet>> PrototypeSet::OpenReadOnly(
    const std::string& checkpoint, const PrototypeSetOptions& options, ThreadPool* pool) {
  std::unique_ptr<PrototypeSet> set(new PrototypeSet(checkpoint, options, pool));
  PrototypeStoreOptions store_options = set->StoreOptions();
  store_options.read_only = true;
  ASSIGN_OR_RETURN(set->store_,
                   PrototypeStore::Open(JoinPath(checkpoint, kStoreFile), store_options));
  return set;
}

absl::Status PrototypeSet::BeginStage() {
  RETURN_IF_ERROR(store_->ResetState());
  unindexed_.clear();
  dominants_.reset();
  queues_.reset();
  index_.reset();
  const DominantKind kind = DominantKindOf(options_.selection.mode);
  if (kind == DominantKind::kNone) return absl::OkStatus();  // Nobody asks for neighbours.
  ASSIGN_OR_RETURN(index_, ClassIndex::Build(store_->num_classes(), store_->dim(), IndexOptions(),
                                             pool_, [this](ClassId first, RowMatrixRef rows) {
                                               return store_->ReadRange(first, rows);
                                             }));
  RETURN_IF_ERROR(RemoveIfThere(fs_, QueuesPath()));
  if (kind == DominantKind::kQueues) {
    ASSIGN_OR_RETURN(queues_,
                     ClassQueues::Create(QueuesPath(), store_->num_classes(), QueuesOptions()));
  }
  ConnectDominants();
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

absl::Status PrototypeSet::NoteTrained(int64_t stage_step, absl::Span<const ClassId> classes) {
  if (index_ == nullptr) return absl::OkStatus();
  unindexed_.insert(unindexed_.end(), classes.begin(), classes.end());
  const int64_t every = IsNearest() ? 1 : options_.prototypes.index_update_steps;
  if ((stage_step + 1) % every != 0) return absl::OkStatus();
  return UpdateIndex();
}

absl::Status PrototypeSet::UpdateIndex() {
  if (index_ == nullptr || unindexed_.empty()) return absl::OkStatus();
  std::sort(unindexed_.begin(), unindexed_.end());
  unindexed_.erase(std::unique(unindexed_.begin(), unindexed_.end()), unindexed_.end());
  // In blocks, so that memory does not grow with what was trained.
  constexpr size_t kBlockRows = 4096;
  for (size_t first = 0; first < unindexed_.size(); first += kBlockRows) {
    const absl::Span<const ClassId> ids =
        absl::MakeConstSpan(unindexed_).subspan(first, kBlockRows);
    RowMatrixXf rows(ids.size(), store_->dim());
    RETURN_IF_ERROR(store_->Gather(ids, rows));
    RETURN_IF_ERROR(index_->Update(ids, rows, pool_).status());
  }
  unindexed_.clear();
  return absl::OkStatus();
}

absl::Status PrototypeSet::SaveCheckpoint(const std::string& folder) {
  RETURN_IF_ERROR(store_->SaveCopy(JoinPath(folder, kStoreFile)));
  if (index_ == nullptr) return absl::OkStatus();
  if (queues_ != nullptr) RETURN_IF_ERROR(queues_->SaveCopy(JoinPath(folder, kQueuesFile)));
  return index_->Save(fs_, JoinPath(folder, kIndexFile));
}

absl::Status PrototypeSet::Flush() {
  if (queues_ != nullptr) RETURN_IF_ERROR(queues_->Flush());
  return store_->Flush();
}

ClassQueuesStats PrototypeSet::queue_stats() const {
  return queues_ != nullptr ? queues_->stats() : ClassQueuesStats();
}

ClassIndexStats PrototypeSet::index_stats() const {
  return index_ != nullptr ? index_->stats() : ClassIndexStats();
}

absl::StatusOr<IndexRecall> PrototypeSet::MeasureIndexRecall(int64_t num_classes) {
  if (index_ == nullptr) {
    return absl::FailedPreconditionError("there is no index before BeginStage");
  }
  return MeasureRecall(store_.get(), *index_, pool_, std::min(num_classes, store_->num_classes()),
                       options_.selection.candidate_queue, options_.seed);
}

}  // namespace protopage
