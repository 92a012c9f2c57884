#include "protopage/prototypes/testing/changed_store.h"

#include <memory>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 6, kDim = 40;
constexpr char kPath[] = "/w.h5", kCopy[] = "/copy.h5";
constexpr size_t kChanges = 11;
// The changes after which a copy exists, and which the copy equals.
constexpr size_t kCopied = 5;

// Whether a change writes rows in place.
bool IsInPlace(size_t change) {
  return change == 1 || change == 2 || change == 3 || change == kCopied;
}

// A file that HDF5 would accept by its signature is whole: HDF5 may crash on others.
absl::Status CheckWhole(FileSystem* fs, const std::string& path) {
  const auto file = fs->Open(path, OpenMode::kRead);
  std::string signature(8, '\0');
  if (!file.ok() || !(*file)->ReadAt(0, &signature[0], 8).ok() ||
      signature != "\x89HDF\r\n\x1a\n") {
    return absl::OkStatus();
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(file->get(), path));
  if (layout.Find("checksums") != nullptr) return absl::OkStatus();
  return absl::DataLossError("a file with a signature is not whole");
}

}  // namespace

PrototypeStoreOptions ChangedStore::Options(bool read_only) const {
  PrototypeStoreOptions options;
  options.file_system = fs_;
  options.read_only = read_only;
  return options;
}

absl::StatusOr<ChangedStoreContent> ChangedStore::Read(const std::string& path, bool* clean) const {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(path, Options(true)));
  *clean = store->clean_when_opened();
  ChangedStoreContent content;
  if (!*clean) return content;
  content.rows.resize(store->num_classes(), kDim);
  PROTOPAGE_RETURN_IF_ERROR(store->ReadRange(0, content.rows));
  for (ClassId id = 0; id < store->num_classes(); ++id) {
    content.dropped.push_back(store->is_dropped(id));
    StepRows rows;
    if (!content.dropped.back()) PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({id}, &rows));
    content.last_step.push_back(content.dropped.back() ? -1 : rows.last_step[0]);
  }
  return content;
}

absl::Status ChangedStore::WriteInPlace(int64_t step) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(false)));
  StepRows rows;
  PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({1, 4}, &rows));
  rows.rows.array() += 1;
  rows.state.array() += 1;
  PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep({1, 4}, rows, step));
  return store->Flush();
}

absl::Status ChangedStore::AddClasses(float value) {
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(true)));
    PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Reserve(kPath, store->num_classes() + 2, fs_));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(false)));
  PROTOPAGE_RETURN_IF_ERROR(store->AppendRows(RowMatrixXf::Constant(2, kDim, value)));
  return store->AddAppended();
}

absl::Status ChangedStore::Change(size_t change) {
  if (IsInPlace(change)) return WriteInPlace(static_cast<int64_t>(change));
  switch (change) {
    case 0: {
      PrototypeStoreSpec spec;
      spec.num_classes = kClasses;
      spec.capacity = kClasses + 2;
      spec.dim = kDim;
      return PrototypeStore::Create(kPath, spec, Options(false)).status();
    }
    case kCopied - 1: {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(false)));
      return store->SaveCopy(kCopy);
    }
    case 6:
      return RestoreCopy(fs_, kCopy, kPath);
    case 7:
      return AddClasses(1);
    case 8:
      return AddClasses(2);
    case 9: {
      PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Open(kPath, Options(false)));
      return store->Drop({3});
    }
    default:
      return PrototypeStore::Merge(kPath, /*into=*/0, {2}, fs_);
  }
}

absl::Status ChangedStore::Work(FileSystem* fs) {
  fs_ = fs;
  if (done_ == 0) {
    // A file may be left that is not complete.
    for (const char* path : {kPath, kCopy}) {
      if (fs->Exists(path)) PROTOPAGE_RETURN_IF_ERROR(fs->Remove(path));
    }
  }
  while (done_ < kChanges) {
    PROTOPAGE_RETURN_IF_ERROR(Change(done_));
    ++done_;
    if (contents_->size() >= done_) continue;
    bool clean;
    PROTOPAGE_ASSIGN_OR_RETURN(ChangedStoreContent content, Read(kPath, &clean));
    contents_->push_back(std::move(content));
  }
  return absl::OkStatus();
}

absl::Status ChangedStore::Check(FileSystem* fs) {
  fs_ = fs;
  PROTOPAGE_RETURN_IF_ERROR(CheckWhole(fs, kPath));
  if (done_ == 0) return absl::OkStatus();
  bool clean;
  // At its name the copy is always whole.
  if (done_ >= kCopied || fs->Exists(kCopy)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const ChangedStoreContent copy, Read(kCopy, &clean));
    if (!(copy == (*contents_)[kCopied - 1])) return absl::DataLossError("the copy has changed");
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const ChangedStoreContent content, Read(kPath, &clean));
  if (!clean) {
    if (!IsInPlace(done_)) {
      return absl::DataLossError(absl::StrCat("lost: change ", done_, ": the rows are mixed"));
    }
    done_ = 0;
    return absl::OkStatus();
  }
  if (content == (*contents_)[done_ - 1]) return absl::OkStatus();
  if (done_ < kChanges && content == (*contents_)[done_]) {
    ++done_;
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("lost: change ", done_));
}

absl::Status ChangedStore::CheckOutcome(FileSystem* fs) {
  fs_ = fs;
  if (done_ != kChanges) return absl::DataLossError("a change is missing");
  bool clean;
  PROTOPAGE_ASSIGN_OR_RETURN(const ChangedStoreContent content, Read(kPath, &clean));
  return clean && content == contents_->back() ? absl::OkStatus()
                                               : absl::DataLossError("another content");
}

}  // namespace protopage
