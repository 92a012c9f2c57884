#include "protopage/prototypes/testing/stored_training.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/log_segment.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 90, kDim = 18, kRowsPerStep = 10;
constexpr int64_t kKeep = 2;
constexpr int64_t kQueueStep = 8, kRangeStep = 15, kResetStep = 20, kRollbackStep = 27;
constexpr char kStore[] = "/run/prototypes.h5";
constexpr char kQueues[] = "/run/queues.h5";
constexpr char kLog[] = "/run/log";
constexpr char kDone[] = "/run/done";
constexpr char kRolledBack[] = "/run/rolled_back";

std::string DonePath(int64_t step) { return JoinPath(kDone, absl::StrFormat("%04d", step)); }

absl::Status Lost(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("lost: ", what));
}

}  // namespace

absl::StatusOr<StoredContent> ReadStore(PrototypeStore* store) {
  StoredContent content;
  StepRows rows;
  content.rows.resize(kClasses, kDim);
  content.momentum.resize(kClasses, kDim);
  for (ClassId first = 0; first < kClasses; first += kRowsPerStep) {
    std::vector<ClassId> ids(kRowsPerStep);
    std::iota(ids.begin(), ids.end(), first);
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
    content.rows.middleRows(first, kRowsPerStep) = rows.rows;
    content.momentum.middleRows(first, kRowsPerStep) = rows.state;
    content.last_step.insert(content.last_step.end(), rows.last_step.begin(), rows.last_step.end());
  }
  return content;
}

absl::Status StoredTraining::SetUp(FileSystem* fs) {
  PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(kDone));
  PROTOPAGE_RETURN_IF_ERROR(fs->SyncDirectory("/"));
  return fs->SyncDirectory(DirectoryOf(kDone));
}

void StoredTraining::Close() {
  queues_.reset();
  store_.reset();
  log_.reset();
}

absl::Status StoredTraining::Work(FileSystem* fs) {
  Close();
  fs_ = fs;
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> done, Done());
  int64_t step = 0;
  if (done.empty()) {
    PROTOPAGE_RETURN_IF_ERROR(Begin());
  } else {
    step = done.back();
    PROTOPAGE_RETURN_IF_ERROR(Open(step));
  }
  while (step < kSteps) {
    if (step == kRollbackStep && !fs_->Exists(kRolledBack)) {
      PROTOPAGE_RETURN_IF_ERROR(RollBack());
      step = checkpoint_;
      continue;
    }
    PROTOPAGE_RETURN_IF_ERROR(Step(step));
    ++step;
    if (step % kCheckpointSteps == 0) PROTOPAGE_RETURN_IF_ERROR(Checkpoint(step));
  }
  PROTOPAGE_RETURN_IF_ERROR(log_->RetireNow(kSteps));
  merged_ = true;
  return absl::OkStatus();
}

absl::Status StoredTraining::Check(FileSystem* fs) {
  Close();
  fs_ = fs;
  if (log_created_) {
    const auto segments = LogSegment::List(fs_, kLog);
    if (!segments.ok() || segments->empty()) return Lost("the log that was created");
  }
  if (merged_) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> segments, LogSegment::List(fs_, kLog));
    if (segments.size() != 1) return absl::DataLossError("segments are left that were merged");
  }
  if (store_created_) {
    const auto file = fs_->Open(kStore, OpenMode::kRead);
    if (!file.ok()) return Lost("the store that was created");
    PROTOPAGE_RETURN_IF_ERROR(ReadHdf5Layout(file->get(), kStore).status());
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> done, Done());
  if (checkpoint_ >= 0 && (done.empty() || done.back() < checkpoint_)) {
    return Lost(absl::StrCat("checkpoint ", checkpoint_));
  }
  if (rolled_back_ && !fs_->Exists(kRolledBack)) return Lost("the mark of the rollback");
  // At their names the marks are always whole.
  for (const int64_t step : done) {
    if (ReadFile(fs_, DonePath(step)).value_or("") != "done") return Lost("a part of a mark");
  }
  if (fs_->Exists(kRolledBack) && ReadFile(fs_, kRolledBack).value_or("") != "1") {
    return Lost("a part of the mark of the rollback");
  }
  return CheckMainFile();
}

// A reader of the main file alone finds it marked as being written, or equal to a checkpoint.
absl::Status StoredTraining::CheckMainFile() const {
  const auto file = fs_->Open(kStore, OpenMode::kRead);
  if (!file.ok()) return merged_ ? file.status() : absl::OkStatus();
  const auto layout = ReadHdf5Layout(file->get(), kStore);
  // The file may be incomplete until it was created.
  if (!layout.ok()) return merged_ ? layout.status() : absl::OkStatus();
  std::array<uint64_t, 3> header;
  PROTOPAGE_RETURN_IF_ERROR(
      (*file)->ReadAt(layout->Find("header")->offset, header.data(), sizeof(header)));
  const bool merged = header[0] == 0 && header[1] != 0 && header[2] == kSteps;
  if (merged_ && !merged) {
    return Lost(absl::StrCat("the merge into the main file, whose header is ", header[0], ", ",
                             header[1], ", ", header[2]));
  }
  if (header[0] != 0 || header[1] == 0) return absl::OkStatus();
  PrototypeStoreOptions options;
  options.read_only = true;
  options.file_system = fs_;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kStore, options));
  PROTOPAGE_ASSIGN_OR_RETURN(const StoredContent content, ReadStore(store.get()));
  const bool known = std::any_of(contents_->begin(), contents_->end(), [&](const auto& entry) {
    return entry.second.rows == content.rows && entry.second.momentum == content.momentum &&
           entry.second.last_step == content.last_step;
  });
  return known ? absl::OkStatus() : absl::DataLossError("the main file is not a checkpoint");
}

absl::Status StoredTraining::CheckOutcome(FileSystem* fs) {
  Close();
  fs_ = fs;
  return Open(kSteps);
}

absl::StatusOr<StoredContent> StoredTraining::Read() {
  PROTOPAGE_ASSIGN_OR_RETURN(StoredContent content, ReadStore(store_.get()));
  if (queues_ == nullptr) return content;
  std::vector<ClassId> queue(queues_->dominant_queue()), more(queues_->candidate_queue());
  for (ClassId id = 0; id < kClasses; ++id) {
    const absl::Status status = queues_->Dominants(id, absl::MakeSpan(queue));
    if (absl::IsFailedPrecondition(status)) {
      content.queues.push_back(-9);
      continue;
    }
    PROTOPAGE_RETURN_IF_ERROR(status);
    PROTOPAGE_RETURN_IF_ERROR(queues_->Candidates(id, absl::MakeSpan(more)));
    content.queues.insert(content.queues.end(), queue.begin(), queue.end());
    content.queues.insert(content.queues.end(), more.begin(), more.end());
  }
  return content;
}

TableLogOptions StoredTraining::LogOptions() const {
  TableLogOptions options;
  options.background = false;
  options.merge_bytes = 20000;  // Some merges are of several segments.
  return options;
}

PrototypeStoreOptions StoredTraining::StoreOptions() const {
  PrototypeStoreOptions options;
  options.cache_bytes = 9000;  // Some 28 rows.
  options.log = log_.get();
  options.file_system = fs_;
  return options;
}

ClassQueuesOptions StoredTraining::QueuesOptions() const {
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 5;
  options.cache_bytes = 3000;
  options.log = log_.get();
  options.file_system = fs_;
  return options;
}

absl::Status StoredTraining::RemoveIfThere(const std::string& path) {
  return fs_->Exists(path) ? fs_->Remove(path) : absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> StoredTraining::Done() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(kDone));
  std::vector<int64_t> steps;
  for (const std::string& name : names) {
    int64_t step;
    if (name.size() == 4 && absl::SimpleAtoi(name, &step)) steps.push_back(step);
  }
  return steps;
}

absl::Status StoredTraining::Begin() {
  store_created_ = log_created_ = false;
  PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(kStore));
  PROTOPAGE_ASSIGN_OR_RETURN(log_, TableLog::Create(fs_, kLog, LogOptions()));
  log_created_ = true;
  PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.dim = kDim;
  PROTOPAGE_ASSIGN_OR_RETURN(store_, PrototypeStore::Create(kStore, spec, StoreOptions()));
  store_created_ = true;
  return store_->WriteRange(0, RowMatrixXf::Constant(kClasses / 2, kDim, 0.5f));
}

absl::Status StoredTraining::Open(int64_t checkpoint) {
  Close();
  PROTOPAGE_ASSIGN_OR_RETURN(log_, TableLog::Open(fs_, kLog, checkpoint, LogOptions()));
  PROTOPAGE_ASSIGN_OR_RETURN(store_, PrototypeStore::Open(kStore, StoreOptions()));
  if (log_->HasTable(1)) {
    PROTOPAGE_ASSIGN_OR_RETURN(queues_, ClassQueues::Open(kQueues, QueuesOptions()));
  }
  return Compare(checkpoint);
}

// To the oldest checkpoint that is kept.
absl::Status StoredTraining::RollBack() {
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<int64_t> done, Done());
  checkpoint_ = done.front();
  while (done.size() > 1) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(DonePath(done.back())));
    done.pop_back();
  }
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(kDone));
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, kRolledBack, "1"));
  rolled_back_ = true;
  return Open(checkpoint_);
}

absl::Status StoredTraining::Compare(int64_t checkpoint) {
  PROTOPAGE_ASSIGN_OR_RETURN(const StoredContent content, Read());
  const auto known = contents_->try_emplace(checkpoint, content);
  if (known.first->second == content) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("checkpoint ", checkpoint, " has another content"));
}

absl::Status StoredTraining::Step(int64_t step) {
  RandomStream random(1, RandomPurpose::kTest, step);
  const std::vector<ClassId> ids = SampleWithoutReplacement(random, kClasses, kRowsPerStep);
  if (step == kQueueStep) {
    PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(kQueues));
    PROTOPAGE_ASSIGN_OR_RETURN(queues_, ClassQueues::Create(kQueues, kClasses, QueuesOptions()));
  }
  if (step == kRangeStep) {
    PROTOPAGE_RETURN_IF_ERROR(store_->WriteRange(30, RowMatrixXf::Constant(40, kDim, 0.25f)));
  }
  if (step == kResetStep) {
    PROTOPAGE_RETURN_IF_ERROR(store_->ResetState());
    PROTOPAGE_RETURN_IF_ERROR(queues_->Reset());
  }
  StepRows rows;
  PROTOPAGE_RETURN_IF_ERROR(store_->GatherStep(ids, &rows));
  for (int64_t i = 0; i < kRowsPerStep; ++i) {
    for (int64_t j = 0; j < kDim; ++j) {
      rows.state(i, j) = 0.5f * rows.state(i, j) + random.Uniform();
      rows.rows(i, j) -= rows.state(i, j) * (1 + static_cast<float>(rows.last_step[i] & 3));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(store_->ScatterStep(ids, rows, step));
  if (queues_ == nullptr) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(queues_->EnsureBuilt(
      {ids[0], ids[1]}, step,
      [](absl::Span<const ClassId> classes, int64_t k, absl::Span<ClassId> neighbors) {
        for (size_t i = 0; i < classes.size(); ++i) {
          for (int64_t j = 0; j < k; ++j) neighbors[i * k + j] = (classes[i] + j + 1) % kClasses;
        }
        return absl::OkStatus();
      }));
  // Class y is taken for its neighbour after next.
  return queues_->ApplyMistakes({ids[0], (ids[0] + 3) % kClasses, ids[2], (ids[2] + 4) % kClasses},
                                {0, 2}, {1, 3});
}

absl::Status StoredTraining::Checkpoint(int64_t step) {
  PROTOPAGE_RETURN_IF_ERROR(store_->Flush());
  if (queues_ != nullptr) PROTOPAGE_RETURN_IF_ERROR(queues_->Flush());
  PROTOPAGE_RETURN_IF_ERROR(log_->Commit(step));
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, DonePath(step), "done"));
  checkpoint_ = step;
  PROTOPAGE_RETURN_IF_ERROR(Compare(step));
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<int64_t> done, Done());
  if (static_cast<int64_t>(done.size()) <= kKeep) return absl::OkStatus();
  while (static_cast<int64_t>(done.size()) > kKeep) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(DonePath(done.front())));
    done.erase(done.begin());
  }
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(kDone));
  return log_->Retire(done.front());
}

}  // namespace protopage
