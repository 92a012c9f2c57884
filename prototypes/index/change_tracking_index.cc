#include "protopage/prototypes/index/change_tracking_index.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/index_common.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr char kChangesKind[] = "class_index_changes";
// Classes of a file of changes that are in memory at a time.
constexpr int64_t kChangesBlock = 65536;
constexpr int64_t kIdBytes = sizeof(ClassId);

// XXH3 of bytes that come in pieces.
class RunningChecksum {
 public:
  RunningChecksum() : state_(XXH3_createState(), XXH3_freeState) {
    XXH3_64bits_reset(state_.get());
  }
  void Add(const void* data, int64_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
  uint64_t Get() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// The datasets of `count` changes: ids, copies, and a checksum of each.
std::vector<Hdf5Dataset> ChangesDatasets(int64_t count, int64_t copy_bytes) {
  // A dataset cannot be without elements.
  const int64_t rows = std::max<int64_t>(1, count);
  return {{"ids", CellType::kInt64, {rows}},
          {"copies", CellType::kUint8, {rows, copy_bytes}},
          {"checksums", CellType::kUint64, {2}}};
}

absl::Status DamagedChanges(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

}  // namespace

absl::Status ChangeTrackingIndex::Save(FileSystem* file_system, const std::string& path) {
  PROTOPAGE_RETURN_IF_ERROR(SaveWhole(file_system, path));
  changed_.clear();
  num_changed_ = 0;
  return absl::OkStatus();
}

void ChangeTrackingIndex::NoteChanged(ClassId id) {
  if (changed_.empty()) changed_.resize(num_classes());
  if (changed_[id]) return;
  changed_[id] = true;
  ++num_changed_;
}

absl::Status ChangeTrackingIndex::SaveChanges(FileSystem* file_system,
                                              const std::string& path) const {
  return ReplaceFile(file_system, path, [&](File* file, const std::string& temporary) {
    return WriteChanges(file, temporary);
  });
}

absl::Status ChangeTrackingIndex::WriteChanges(File* file, const std::string& path) const {
  Hdf5Layout layout;
  layout.integers["format_version"] = kIndexFormatVersion;
  layout.integers["num_classes"] = num_classes();
  layout.integers["num_changed"] = num_changed_;
  layout.texts["kind"] = kChangesKind;
  layout.texts["index"] = kind();
  layout.datasets = ChangesDatasets(num_changed_, copy_bytes());
  PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, path, &layout));
  RunningChecksum id_sum, copy_sum;
  std::vector<ClassId> ids;
  std::vector<char> copies;
  int64_t written = 0;
  ClassId next = 0;
  while (written < num_changed_) {
    ids.clear();
    for (; static_cast<int64_t>(ids.size()) < kChangesBlock && next < num_classes(); ++next) {
      if (changed_[next]) ids.push_back(next);
    }
    const auto count = static_cast<int64_t>(ids.size());
    copies.resize(count * copy_bytes());
    GetCopies(ids, copies.data());
    id_sum.Add(ids.data(), count * kIdBytes);
    copy_sum.Add(copies.data(), copies.size());
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(layout.datasets[0].offset + written * kIdBytes,
                                            ids.data(), count * kIdBytes));
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(layout.datasets[1].offset + written * copy_bytes(),
                                            copies.data(), copies.size()));
    written += count;
  }
  const uint64_t checksums[] = {id_sum.Get(), copy_sum.Get()};
  return file->WriteAt(layout.datasets[2].offset, checksums, sizeof(checksums));
}

absl::Status ChangeTrackingIndex::LoadChanges(FileSystem* file_system, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                             file_system->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  if (layout.texts["kind"] != kChangesKind || layout.texts["index"] != kind() ||
      layout.integers["num_classes"] != num_classes()) {
    return DamagedChanges(
        path, absl::StrCat("kind '", layout.texts["kind"], "' of a '", layout.texts["index"],
                           "' index of ", layout.integers["num_classes"], " classes, expected '",
                           kChangesKind, "' of a '", kind(), "' index of ", num_classes()));
  }
  const int64_t count = layout.integers["num_changed"];
  bool good = count >= 0 && count <= num_classes();
  for (const Hdf5Dataset& want : ChangesDatasets(count, copy_bytes())) {
    const Hdf5Dataset* const found = layout.Find(want.name);
    good = good && found != nullptr && found->type == want.type && found->dims == want.dims;
  }
  if (!good) {
    return DamagedChanges(
        path, "datasets 'ids', 'copies' and 'checksums' are not what the attributes say");
  }
  PROTOPAGE_RETURN_IF_ERROR(ReadChanges(file.get(), path, layout, count));
  FinishCopies();
  return absl::OkStatus();
}

absl::Status ChangeTrackingIndex::ReadChanges(File* file, const std::string& path,
                                              const Hdf5Layout& layout, int64_t count) {
  const int64_t ids_offset = layout.Find("ids")->offset;
  const int64_t copies_offset = layout.Find("copies")->offset;
  std::vector<ClassId> ids;
  std::vector<char> copies;
  RunningChecksum id_sum, copy_sum;
  for (int64_t first = 0; first < count; first += kChangesBlock) {
    const int64_t block = std::min(kChangesBlock, count - first);
    ids.resize(block);
    copies.resize(block * copy_bytes());
    PROTOPAGE_RETURN_IF_ERROR(
        file->ReadAt(ids_offset + first * kIdBytes, ids.data(), block * kIdBytes));
    PROTOPAGE_RETURN_IF_ERROR(
        file->ReadAt(copies_offset + first * copy_bytes(), copies.data(), copies.size()));
    id_sum.Add(ids.data(), block * kIdBytes);
    copy_sum.Add(copies.data(), copies.size());
    for (const ClassId id : ids) {
      if (id < 0 || id >= num_classes()) return DamagedChanges(path, absl::StrCat("class ", id));
      NoteChanged(id);
    }
    PROTOPAGE_RETURN_IF_ERROR(WithContext(SetCopies(ids, copies.data()), path));
  }
  uint64_t checksums[2];
  PROTOPAGE_RETURN_IF_ERROR(
      file->ReadAt(layout.Find("checksums")->offset, checksums, sizeof(checksums)));
  if (id_sum.Get() != checksums[0] || copy_sum.Get() != checksums[1]) {
    return DamagedChanges(path, "the copies do not match their checksum: the file is damaged");
  }
  return absl::OkStatus();
}

}  // namespace protopage
