#include "protopage/prototypes/table/table_copy.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/row_marks.h"
#include "protopage/prototypes/table/table_header.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

// Rows that are copied out of the log at once.
constexpr size_t kCopyRows = 256;

// Whether the copy has the bytes of the dataset: `old` has it in the same form, up to its length.
bool IsCopied(const Hdf5Layout& old, const Hdf5Dataset& dataset) {
  const Hdf5Dataset* const found = old.Find(dataset.name);
  return found != nullptr && std::equal(found->dims.begin() + 1, found->dims.end(),
                                        dataset.dims.begin() + 1, dataset.dims.end());
}

// The layout of a larger file: `layout` with `capacity` rows and the changes.
Hdf5Layout LargerLayout(const Hdf5Layout& layout, int64_t old_capacity, int64_t capacity,
                        const TableCopyChanges& changes) {
  Hdf5Layout larger = layout;
  std::vector<Hdf5Dataset>& datasets = larger.datasets;
  // In the order in which they lie in the file; reading ordered them by name.
  std::sort(datasets.begin(), datasets.end(),
            [](const Hdf5Dataset& a, const Hdf5Dataset& b) { return a.offset < b.offset; });
  const auto left_out = [&](const Hdf5Dataset& dataset) {
    return std::count(changes.left_out.begin(), changes.left_out.end(), dataset.name) > 0;
  };
  datasets.erase(std::remove_if(datasets.begin(), datasets.end(), left_out), datasets.end());
  for (Hdf5Dataset& dataset : datasets) {
    if (dataset.name != "header" && dataset.dims[0] == old_capacity) dataset.dims[0] = capacity;
  }
  for (const TableColumn& column : changes.more) {
    const Hdf5Dataset added = MakeTableDataset(column, capacity);
    const auto same_name = [&](const Hdf5Dataset& dataset) { return dataset.name == added.name; };
    const auto found = std::find_if(datasets.begin(), datasets.end(), same_name);
    found == datasets.end() ? datasets.push_back(added) : void(*found = added);
  }
  return larger;
}

// Makes the layout and the header of a file of version 1 those of one of today.
absl::Status UpgradeLayout(const std::string& path, const std::string& marks, Hdf5Layout* layout,
                           TableHeader* header) {
  const auto rows = layout->integers.find("num_classes");
  if (rows == layout->integers.end()) {
    return absl::DataLossError(absl::StrCat(path, ": attribute 'num_classes' is missing"));
  }
  header->num_rows = rows->second;
  layout->integers.erase(rows);
  layout->integers["format_version"] = PagedTable::kFormatVersion;
  for (Hdf5Dataset& dataset : layout->datasets) {
    if (dataset.name == marks) dataset.type = RowMarkType(PagedTable::kFormatVersion);
  }
  return absl::OkStatus();
}

// Adds the rows to the checksums of version 1.
absl::Status UpgradeChecksums(File* file, const Hdf5Dataset& dataset) {
  return ForEachWritten(file, dataset, dataset.bytes() / BytesOf(dataset.type),
                        [&](int64_t first, int64_t count, void* values) {
                          auto* const checksums = static_cast<uint64_t*>(values);
                          for (int64_t i = 0; i < count; ++i) {
                            if (checksums[i] != 0)
                              checksums[i] = OfRow(checksums[i], (first + i) / dataset.dims[1]);
                          }
                          constexpr auto kBytes = static_cast<int64_t>(sizeof(uint64_t));
                          return file->WriteAt(dataset.offset + first * kBytes, checksums,
                                               count * kBytes);
                        });
}

// Writes what a copy of the datasets of version 1 lacks.
absl::Status UpgradeContent(File* source, const std::string& path, const Hdf5Layout& old,
                            const std::string& marks, File* target, const Hdf5Layout& layout,
                            TableHeader header) {
  PROTOPAGE_RETURN_IF_ERROR(UpgradeChecksums(target, *layout.Find("checksums")));
  if (const Hdf5Dataset* const old_marks = old.Find(marks); old_marks != nullptr) {
    PROTOPAGE_ASSIGN_OR_RETURN(const RowMarks read,
                               ReadRowMarks(source, path, *old_marks, /*version=*/1, header));
    header.mark_changes = 1;
    header.num_marked = static_cast<int64_t>(read.rows.size());
    PROTOPAGE_RETURN_IF_ERROR(
        WriteRowMarks(target, *layout.Find(marks), read.rows, header.mark_changes));
  }
  return WriteTableHeader(target, layout.Find("header")->offset, PagedTable::kFormatVersion,
                          header);
}

}  // namespace

absl::Status CopyTable(PagedTable* table, const std::string& name) {
  FileSystem* const fs = table->file_system_;
  const std::string path = fs->FollowLinks(name);
  if (!table->Logged()) return CopyFileAtomically(fs, table->path_, path);
  TableLog* const log = table->options_.log;
  // Held across the copying: the main file and the rows of the log must fit together.
  const MutexLock paused(log->merge_mutex());
  std::vector<int64_t> rows;
  const uint32_t cleared = log->Overlay(table->options_.log_table, &rows);
  // Under another name: at its own, the file must never be seen with the rows of an older
  // checkpoint.
  std::string part;
  const auto copy = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, OpenTemporary(fs, path, &part));
    PROTOPAGE_RETURN_IF_ERROR(CopyContent(table->file_.get(), file.get()));
    // Of a read-only table, another process may have merged while we copied. As long as the
    // checkpoint was not retired, our log still has all that the merge wrote, and it is written
    // again below.
    if (table->options_.read_only) PROTOPAGE_RETURN_IF_ERROR(table->CheckNotRetired());
    TableOptions options = table->options_;
    options.read_only = false;
    options.log = nullptr;
    PagedTable target(fs, part, options);
    target.file_ = std::move(file);
    PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(target.file_.get(), part));
    std::vector<std::string> names;
    for (const PagedTable::Column& column : table->columns_) names.push_back(column.name);
    PROTOPAGE_RETURN_IF_ERROR(target.Init(layout, names));
    for (int c = 0; c < static_cast<int>(names.size()); ++c) {
      if ((cleared >> c & 1) != 0) PROTOPAGE_RETURN_IF_ERROR(target.MergeClear(c));
    }
    const int64_t record_bytes = table->record_bytes_;
    std::vector<char> buffer(kCopyRows * record_bytes);
    std::vector<char*> records;
    for (size_t i = 0; i < kCopyRows; ++i) records.push_back(buffer.data() + i * record_bytes);
    for (size_t begin = 0; begin < rows.size(); begin += kCopyRows) {
      const auto batch = absl::MakeConstSpan(rows).subspan(begin, kCopyRows);
      const auto batch_records = absl::MakeConstSpan(records).subspan(0, batch.size());
      PROTOPAGE_RETURN_IF_ERROR(table->ReadRows(batch, batch_records));
      PROTOPAGE_RETURN_IF_ERROR(target.WriteMainRows(batch, batch_records, {}));
    }
    return target.EndMerge(LogPoint{0, 0});
  };
  absl::Status status = copy();
  if (status.ok()) status = fs->Rename(part, path);
  if (!status.ok()) {
    fs->Remove(part).IgnoreError();
    return status;
  }
  return fs->SyncDirectory(DirectoryOf(path));
}

absl::Status CopyTableLarger(FileSystem* file_system, const std::string& from,
                             const std::string& to, int64_t capacity,
                             const TableCopyChanges& changes) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, LockTable(file_system, from));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> source,
                             file_system->Open(from, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(source.get(), from));
  const Hdf5Dataset* checksums = layout.Find("checksums");
  const Hdf5Dataset* header_dataset = layout.Find("header");
  const auto version_found = layout.integers.find("format_version");
  if (checksums == nullptr || header_dataset == nullptr || checksums->dims.size() != 2 ||
      header_dataset->bytes() != kTableHeaderWords * 8 || version_found == layout.integers.end()) {
    return absl::DataLossError(
        absl::StrCat(from, ": datasets 'header' and 'checksums' are not those of a table"));
  }
  const int64_t version = version_found->second;
  PROTOPAGE_ASSIGN_OR_RETURN(TableHeader header,
                             ReadTableHeader(source.get(), from, header_dataset->offset, version));
  if (header.point.sequence != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(from, ": it is the file of a run; take a copy of it (protopage export)"));
  }
  const int64_t old_capacity = checksums->dims[0];
  if (capacity < old_capacity) {
    return absl::InvalidArgumentError(
        absl::StrCat(from, ": capacity ", capacity, "; allowed are ", old_capacity, " and more"));
  }
  Hdf5Layout larger = LargerLayout(layout, old_capacity, capacity, changes);
  const bool upgrade = version < PagedTable::kFormatVersion;
  const std::string& marks = changes.marks;
  if (upgrade) PROTOPAGE_RETURN_IF_ERROR(UpgradeLayout(from, marks, &larger, &header));
  const auto copied = [&](const Hdf5Dataset& dataset) {
    return IsCopied(layout, dataset) &&
           !(upgrade && (dataset.name == "header" || dataset.name == marks));
  };
  return ReplaceFile(
      file_system, to, [&](File* target, const std::string& temporary) -> absl::Status {
        PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(target, temporary, &larger));
        for (const Hdf5Dataset& dataset : larger.datasets) {
          if (!copied(dataset)) continue;
          const Hdf5Dataset* old = layout.Find(dataset.name);
          PROTOPAGE_RETURN_IF_ERROR(CopyData(
              source.get(), {old->offset, old->offset + old->bytes()}, target, dataset.offset));
        }
        if (upgrade) {
          PROTOPAGE_RETURN_IF_ERROR(
              UpgradeContent(source.get(), from, layout, marks, target, larger, header));
        }
        return changes.fill ? changes.fill(target, larger) : absl::OkStatus();
      });
}

}  // namespace protopage
