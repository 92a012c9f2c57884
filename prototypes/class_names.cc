#include "protopage/prototypes/class_names.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/external_sort.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr char kKind[] = "class_names";
constexpr int64_t kFormatVersion = 2;
// Attributes.
constexpr char kNumClasses[] = "num_classes";
constexpr char kDefaultNames[] = "default_names";
constexpr char kDecimal[] = "decimal";
constexpr char kNone[] = "none";
constexpr char kSortedNames[] = "sorted_names";
constexpr char kFingerprint[] = "names_fingerprint";
// Datasets.
constexpr char kOrder[] = "class_name_order";

constexpr int64_t kOldCellBytes = 128;
constexpr int64_t kChecksumBytes = 8;
// A block of the index: entries, and their checksum.
constexpr int64_t kBlockWords = 512;
constexpr int64_t kBlockEntries = kBlockWords - 1;
constexpr int64_t kBlockBytes = kBlockWords * 8;
constexpr uint64_t kNoEntry = ~uint64_t{0};
// Bytes of cells that are read or written at once.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

// An entry of the index is the upper half of the name's hash, and the id below it.
uint64_t EntryOf(absl::string_view name, ClassId id) {
  return (XXH3_64bits(name.data(), name.size()) & ~uint64_t{0xffffffff}) |
         static_cast<uint64_t>(id);
}
uint64_t HashOf(uint64_t entry) { return entry >> 32; }
// The sum over a set of entries tells it from others, whatever their order.
uint64_t TermOf(uint64_t entry) { return XXH3_64bits(&entry, sizeof(entry)); }
ClassId IdOf(uint64_t entry) { return static_cast<ClassId>(entry & 0xffffffff); }

// 0 is left for cells and blocks that were never written.
uint64_t NotZero(uint64_t checksum) { return checksum == 0 ? 1 : checksum; }

uint64_t CellChecksum(ClassId id, const char* cell, int64_t cell_bytes) {
  return NotZero(
      XXH3_64bits_withSeed(cell, cell_bytes - kChecksumBytes, static_cast<uint64_t>(id)));
}

uint64_t BlockChecksum(int64_t block, const std::vector<uint64_t>& words) {
  return NotZero(
      XXH3_64bits_withSeed(words.data(), kBlockEntries * 8, static_cast<uint64_t>(block)));
}

void FillCell(ClassId id, absl::string_view name, char* cell, int64_t cell_bytes) {
  std::memset(cell, 0, cell_bytes);
  std::memcpy(cell, name.data(), name.size());
  const uint64_t checksum = CellChecksum(id, cell, cell_bytes);
  std::memcpy(cell + cell_bytes - kChecksumBytes, &checksum, sizeof(checksum));
}

bool IsZero(const char* cell, int64_t bytes) {
  return std::all_of(cell, cell + bytes, [](char c) { return c == 0; });
}

uint64_t NextFingerprint(uint64_t before, absl::string_view name) {
  return XXH3_64bits_withSeed(name.data(), name.size(), before);
}

// The id that `name` is in decimal, or kNoClass.
ClassId DecimalId(absl::string_view name, int64_t num_classes) {
  ClassId id = 0;
  if (!absl::SimpleAtoi(name, &id) || id < 0 || id >= num_classes) return kNoClass;
  return absl::StrCat(id) == name ? id : kNoClass;  // Not "007".
}

absl::Status CheckCount(int64_t num_classes) {
  if (num_classes >= 0 && num_classes <= ClassNames::kMostClasses) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "names of ", num_classes, " classes; allowed are up to ", ClassNames::kMostClasses));
}

int64_t NumBlocks(int64_t num_sorted) { return DivideUp(num_sorted, kBlockEntries); }

// Packs the sorted entries into blocks, and checks that no two classes have the same name.
class OrderWriter {
 public:
  OrderWriter(File* file, int64_t offset, ClassNameFunction name)
      : file_(file), offset_(offset), name_(name), words_(kBlockWords, kNoEntry) {}

  absl::Status Add(uint64_t entry) {
    if (!same_hash_.empty() && HashOf(same_hash_[0]) != HashOf(entry)) same_hash_.clear();
    if (!same_hash_.empty()) PROTOPAGE_RETURN_IF_ERROR(CheckDifferent(entry));
    same_hash_.push_back(entry);
    words_[count_++] = entry;
    return count_ == kBlockEntries ? WriteBlock() : absl::OkStatus();
  }
  absl::Status Finish() { return count_ > 0 ? WriteBlock() : absl::OkStatus(); }

 private:
  absl::Status CheckDifferent(uint64_t entry) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string name, name_(IdOf(entry)));
    if (name.empty()) return absl::OkStatus();
    for (const uint64_t other : same_hash_) {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::string other_name, name_(IdOf(other)));
      if (name != other_name) continue;
      return absl::InvalidArgumentError(absl::StrCat("classes ", IdOf(other), " and ", IdOf(entry),
                                                     " have the same name, ",
                                                     ClassNames::Quoted(name)));
    }
    return absl::OkStatus();
  }

  absl::Status WriteBlock() {
    words_[kBlockEntries] = BlockChecksum(block_, words_);
    PROTOPAGE_RETURN_IF_ERROR(
        file_->WriteAt(offset_ + block_ * kBlockBytes, words_.data(), kBlockBytes));
    ++block_;
    count_ = 0;
    std::fill(words_.begin(), words_.end(), kNoEntry);
    return absl::OkStatus();
  }

  File* const file_;
  const int64_t offset_;
  const ClassNameFunction name_;
  std::vector<uint64_t> words_;
  int64_t count_ = 0;
  int64_t block_ = 0;
  std::vector<uint64_t> same_hash_;  // The last entries, as far as their hashes are the same.
};

}  // namespace

absl::Status ClassNames::CheckName(absl::string_view name) {
  const bool zeros = name.find('\0') != absl::string_view::npos;
  if (!zeros && static_cast<int64_t>(name.size()) <= kMostNameBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("class name ", Quoted(name), ": found ",
                   zeros ? std::string("a zero byte") : absl::StrCat(name.size(), " bytes"),
                   ", expected at most ", kMostNameBytes, " without zeros"));
}

std::string ClassNames::Printable(absl::string_view name) { return absl::Utf8SafeCHexEscape(name); }

std::string ClassNames::Quoted(absl::string_view name) {
  return absl::StrCat("\"", Printable(name), "\"");
}

int64_t ClassNames::CellBytes(int64_t name_bytes) {
  return DivideUp(name_bytes + kChecksumBytes, int64_t{8}) * 8;
}

absl::StatusOr<ClassNamesPlan> ClassNames::Plan(int64_t num_classes, ClassNameFunction name) {
  PROTOPAGE_RETURN_IF_ERROR(CheckCount(num_classes));
  ClassNamesPlan plan;
  plan.num_classes = num_classes;
  size_t longest = 1;
  for (ClassId id = 0; id < num_classes; ++id) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string one, name(id));
    PROTOPAGE_RETURN_IF_ERROR(CheckName(one));
    longest = std::max(longest, one.size());
    plan.fingerprint = NextFingerprint(plan.fingerprint, one);
  }
  plan.cell_bytes = CellBytes(static_cast<int64_t>(longest));
  return plan;
}

ClassNamesPlan ClassNames::PlanNumbered(int64_t num_classes) {
  ClassNamesPlan plan;
  plan.num_classes = num_classes;
  plan.numbered = true;
  return plan;
}

void ClassNames::AddTo(const ClassNamesPlan& plan, int64_t capacity, Hdf5Layout* layout) {
  layout->texts[kDefaultNames] = plan.numbered ? kDecimal : kNone;
  if (plan.numbered) return;
  layout->integers[kSortedNames] = plan.num_classes;
  layout->integers[kFingerprint] = static_cast<int64_t>(plan.fingerprint);
  layout->datasets.push_back({kDataset, CellType::kUint8, {capacity, plan.cell_bytes}});
  if (plan.num_classes == 0) return;
  layout->datasets.push_back(
      {kOrder, CellType::kUint64, {NumBlocks(plan.num_classes), kBlockWords}});
}

absl::Status ClassNames::Write(FileSystem* fs, const std::string& temporary, File* file,
                               const std::string& path, const Hdf5Layout& layout,
                               const ClassNamesPlan& plan, ClassNameFunction name) {
  if (plan.numbered || plan.num_classes == 0) return absl::OkStatus();
  const Hdf5Dataset* const names = layout.Find(ClassNames::kDataset);
  const Hdf5Dataset* const order = layout.Find(kOrder);
  if (names == nullptr || order == nullptr) {
    return absl::InternalError(absl::StrCat(path, ": it was created without room for names"));
  }
  ExternalSort sort(fs, temporary);
  const int64_t piece = std::max<int64_t>(kPieceBytes / plan.cell_bytes, 1);
  std::vector<char> cells;
  uint64_t fingerprint = 0;
  for (ClassId first = 0; first < plan.num_classes; first += piece) {
    const int64_t count = std::min(piece, plan.num_classes - first);
    cells.resize(count * plan.cell_bytes);
    for (int64_t i = 0; i < count; ++i) {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::string one, name(first + i));
      fingerprint = NextFingerprint(fingerprint, one);
      if (CellBytes(static_cast<int64_t>(one.size())) > plan.cell_bytes) break;
      FillCell(first + i, one, cells.data() + i * plan.cell_bytes, plan.cell_bytes);
      PROTOPAGE_RETURN_IF_ERROR(sort.Add(EntryOf(one, first + i)));
    }
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(names->offset + first * plan.cell_bytes, cells.data(),
                                            count * plan.cell_bytes));
  }
  if (fingerprint != plan.fingerprint) {
    return absl::AbortedError(
        absl::StrCat(path, ": the names of classes changed while they were written"));
  }
  OrderWriter writer(file, order->offset, name);
  PROTOPAGE_RETURN_IF_ERROR(sort.ForEach([&](uint64_t entry) { return writer.Add(entry); }));
  return writer.Finish();
}

namespace {

absl::Status CreateFile(FileSystem* fs, const std::string& path, const ClassNamesPlan& plan,
                        ClassNameFunction name) {
  return ReplaceFile(fs, path, [&](File* file, const std::string& temporary) -> absl::Status {
    Hdf5Layout layout;
    layout.integers["format_version"] = kFormatVersion;
    layout.integers[kNumClasses] = plan.num_classes;
    layout.texts["kind"] = kKind;
    ClassNames::AddTo(plan, plan.num_classes, &layout);
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, temporary, &layout));
    return ClassNames::Write(fs, absl::StrCat(path, ".sort"), file, path, layout, plan, name);
  });
}

}  // namespace

absl::Status ClassNames::Create(FileSystem* fs, const std::string& path, int64_t num_classes,
                                ClassNameFunction name) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassNamesPlan plan, Plan(num_classes, name));
  return CreateFile(fs, path, plan, name);
}

absl::Status ClassNames::CreateNumbered(FileSystem* fs, const std::string& path,
                                        int64_t num_classes) {
  PROTOPAGE_RETURN_IF_ERROR(CheckCount(num_classes));
  return CreateFile(fs, path, PlanNumbered(num_classes),
                    [](ClassId) -> absl::StatusOr<std::string> { return std::string(); });
}

ClassNames::ClassNames(std::string path, std::unique_ptr<File> file)
    : path_(std::move(path)), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<ClassNames>> ClassNames::OpenFile(FileSystem* fs,
                                                                 const std::string& path,
                                                                 OpenMode mode,
                                                                 int64_t num_classes) {
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs->Open(path, mode));
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  std::unique_ptr<ClassNames> names(new ClassNames(path, std::move(file)));
  PROTOPAGE_RETURN_IF_ERROR(names->Init(layout, num_classes));
  return names;
}

absl::StatusOr<std::unique_ptr<ClassNames>> ClassNames::Open(FileSystem* fs,
                                                             const std::string& path) {
  return OpenFile(fs, path, OpenMode::kRead, /*num_classes=*/-1);
}

absl::StatusOr<std::unique_ptr<ClassNames>> ClassNames::OpenInStore(FileSystem* fs,
                                                                    const std::string& path,
                                                                    int64_t num_classes) {
  return OpenFile(fs, path, OpenMode::kRead, num_classes);
}

absl::Status ClassNames::Damaged(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat(path_, ": ", what, " does not match its checksum: the file is damaged"));
}

absl::Status ClassNames::Init(const Hdf5Layout& layout, int64_t num_classes) {
  const auto integer = [&](const char* name) -> int64_t {
    const auto found = layout.integers.find(name);
    return found == layout.integers.end() ? -1 : found->second;
  };
  const auto wrong = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path_, ": ", what));
  };
  num_classes_ = num_classes >= 0 ? num_classes : integer(kNumClasses);
  const auto defaults = layout.texts.find(kDefaultNames);
  const Hdf5Dataset* names = layout.Find(kDataset);
  if (names == nullptr && layout.Find(kOldDataset) != nullptr) {
    names = layout.Find(kOldDataset);
    unchecked_ = true;
  }
  if (defaults == layout.texts.end() && names == nullptr) {
    return absl::NotFoundError(absl::StrCat(path_, ": it holds no names of classes"));
  }
  if (num_classes_ < 0 || num_classes_ > kMostClasses) {
    return wrong(absl::StrCat("names of ", num_classes_, " classes"));
  }
  numbered_ = defaults != layout.texts.end() && defaults->second == kDecimal;
  if (names == nullptr) {
    if (numbered_) return absl::OkStatus();
    return wrong(absl::StrCat("dataset '", kDataset, "' is missing"));
  }
  const auto width_fits = [&](int64_t width) {
    if (unchecked_) return width == kOldCellBytes;
    return width > kChecksumBytes && width % 8 == 0 && width <= CellBytes(kMostNameBytes);
  };
  if (names->type != CellType::kUint8 || names->dims.size() != 2 || names->dims[0] < num_classes_ ||
      !width_fits(names->dims[1])) {
    return wrong(
        absl::StrCat("dataset '", names->name, "' has another type or size than expected"));
  }
  capacity_ = names->dims[0];
  cell_bytes_ = names->dims[1];
  names_offset_ = names->offset;
  num_sorted_ = std::max<int64_t>(integer(kSortedNames), 0);
  if (num_sorted_ == 0) return absl::OkStatus();
  fingerprint_ = static_cast<uint64_t>(integer(kFingerprint));
  const Hdf5Dataset* const order = layout.Find(kOrder);
  if (num_sorted_ > num_classes_ || order == nullptr || order->type != CellType::kUint64 ||
      order->dims.size() != 2 || order->dims[0] < NumBlocks(num_sorted_) ||
      order->dims[1] != kBlockWords) {
    return wrong(absl::StrCat("dataset '", kOrder, "' does not fit ", num_sorted_, " names"));
  }
  order_offset_ = order->offset;
  return absl::OkStatus();
}

int64_t ClassNames::longest_name_bytes() const {
  if (unchecked_) return cell_bytes_;
  return std::min(std::max<int64_t>(cell_bytes_ - kChecksumBytes, 0), kMostNameBytes);
}

bool ClassNames::IsEqual(const ClassNamesPlan& plan) const {
  if (plan.num_classes != num_classes_) return false;
  if (plan.numbered || all_numbered()) return plan.numbered && all_numbered();
  return num_sorted_ == num_classes_ && fingerprint_ == plan.fingerprint;
}

bool ClassNames::HasOwnName(ClassId id, const char* cell) const {
  return id < num_sorted_ || !IsZero(cell, cell_bytes_);
}

absl::StatusOr<std::string> ClassNames::NameInCell(ClassId id, const char* cell) const {
  if (!HasOwnName(id, cell)) return numbered_ ? absl::StrCat(id) : std::string();
  if (unchecked_) return std::string(cell, std::find(cell, cell + cell_bytes_, '\0'));
  uint64_t checksum;
  const char* const end = cell + cell_bytes_ - kChecksumBytes;
  std::memcpy(&checksum, end, sizeof(checksum));
  if (checksum != CellChecksum(id, cell, cell_bytes_)) {
    return Damaged(absl::StrCat("the name of class ", id));
  }
  return std::string(cell, std::find(cell, end, '\0'));
}

absl::StatusOr<std::string> ClassNames::Name(ClassId id) const {
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<std::string> names, Names(id, 1));
  return std::move(names[0]);
}

absl::StatusOr<std::vector<std::string>> ClassNames::Names(ClassId first, int64_t count) const {
  std::vector<std::string> names(count);
  if (count == 0) return names;
  if (first < 0 || first + count > num_classes_) {
    return absl::OutOfRangeError(absl::StrCat(path_, ": names of classes ", first, " to ",
                                              first + count - 1, ", of ", num_classes_));
  }
  std::vector<char> cells(count * cell_bytes_);
  if (cell_bytes_ > 0) {
    PROTOPAGE_RETURN_IF_ERROR(
        file_->ReadAt(CellOffset(first), cells.data(), static_cast<int64_t>(cells.size())));
  }
  for (int64_t i = 0; i < count; ++i) {
    if (cell_bytes_ == 0) {
      names[i] = absl::StrCat(first + i);
    } else {
      PROTOPAGE_ASSIGN_OR_RETURN(names[i], NameInCell(first + i, cells.data() + i * cell_bytes_));
    }
  }
  return names;
}

absl::Status ClassNames::ReadOrder(int64_t block, std::vector<uint64_t>* entries) const {
  entries->resize(kBlockWords);
  PROTOPAGE_RETURN_IF_ERROR(
      file_->ReadAt(order_offset_ + block * kBlockBytes, entries->data(), kBlockBytes));
  if (entries->back() != BlockChecksum(block, *entries)) {
    return Damaged(absl::StrCat("block ", block, " of '", kOrder, "'"));
  }
  entries->resize(std::min(kBlockEntries, num_sorted_ - block * kBlockEntries));
  for (const uint64_t entry : *entries) {
    if (IdOf(entry) >= num_sorted_) return Damaged(absl::StrCat("block ", block));
  }
  return absl::OkStatus();
}

absl::StatusOr<ClassId> ClassNames::FindSorted(absl::string_view name,
                                               const LeftOut& left_out) const {
  const uint64_t hash = HashOf(EntryOf(name, 0));
  // The entries of this hash begin in the last block whose first hash is smaller, or at the start
  // of the next. Hashes are uniform, so interpolation finds it in two or three reads.
  int64_t low = 0, high = NumBlocks(num_sorted_);
  double low_hash = 0, high_hash = static_cast<double>(uint64_t{1} << 32);
  std::vector<uint64_t> block, low_block;
  constexpr int kMostInterpolations = 8;
  for (int reads = 0; high - low > 1; ++reads) {
    int64_t middle = low + (high - low) / 2;
    if (reads < kMostInterpolations && high_hash > low_hash) {
      const double share = (static_cast<double>(hash) - low_hash) / (high_hash - low_hash);
      middle = low + static_cast<int64_t>(share * static_cast<double>(high - low));
      middle = std::min(std::max(middle, low + 1), high - 1);
    }
    PROTOPAGE_RETURN_IF_ERROR(ReadOrder(middle, &block));
    if (HashOf(block[0]) < hash) {
      low = middle;
      low_hash = static_cast<double>(HashOf(block[0]));
      low_block.swap(block);
      if (HashOf(low_block.back()) >= hash) break;
    } else {
      high = middle;
      high_hash = static_cast<double>(HashOf(block[0]));
    }
  }
  if (low_block.empty()) PROTOPAGE_RETURN_IF_ERROR(ReadOrder(low, &low_block));
  block.swap(low_block);
  auto at = std::lower_bound(block.begin(), block.end(), hash << 32);
  for (;; ++at) {
    if (at == block.end()) {
      if (++low == NumBlocks(num_sorted_)) return kNoClass;
      PROTOPAGE_RETURN_IF_ERROR(ReadOrder(low, &block));
      at = block.begin();
    }
    if (HashOf(*at) != hash) return kNoClass;
    const ClassId id = IdOf(*at);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string found, Name(id));
    if (found == name && (left_out == nullptr || !left_out(id))) return id;
  }
}

absl::Status ClassNames::ForEachOwn(
    ClassId begin, ClassId end,
    absl::FunctionRef<absl::Status(ClassId id, const std::string& name)> take) const {
  if (cell_bytes_ == 0) return absl::OkStatus();
  const int64_t piece = std::max<int64_t>(kPieceBytes / cell_bytes_, 1);
  std::vector<char> cells;
  for (ClassId first = begin; first < end;) {
    // Classes without a name of their own may be holes.
    PROTOPAGE_ASSIGN_OR_RETURN(const ByteRange data, file_->NextData(CellOffset(first)));
    if (first >= num_sorted_) first = std::max(first, (data.begin - names_offset_) / cell_bytes_);
    if (first >= end) break;
    const int64_t count = std::min(piece, end - first);
    cells.resize(count * cell_bytes_);
    PROTOPAGE_RETURN_IF_ERROR(file_->ReadAt(CellOffset(first), cells.data(), count * cell_bytes_));
    for (int64_t i = 0; i < count; ++i) {
      const char* const cell = cells.data() + i * cell_bytes_;
      if (!HasOwnName(first + i, cell)) continue;
      PROTOPAGE_ASSIGN_OR_RETURN(const std::string name, NameInCell(first + i, cell));
      PROTOPAGE_RETURN_IF_ERROR(take(first + i, name));
    }
    first += count;
  }
  return absl::OkStatus();
}

absl::Status ClassNames::ForEachAdded(
    absl::FunctionRef<absl::Status(ClassId id, const std::string& name)> take) const {
  return ForEachOwn(num_sorted_, num_classes_, take);
}

absl::StatusOr<ClassId> ClassNames::Find(absl::string_view name, const LeftOut& left_out) const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<ClassId> ids,
                             FindAll({std::string(name)}, left_out));
  return ids[0];
}

absl::StatusOr<std::vector<ClassId>> ClassNames::FindAll(absl::Span<const std::string> names,
                                                         const LeftOut& left_out) const {
  std::vector<ClassId> ids(names.size(), kNoClass);
  absl::flat_hash_map<absl::string_view, std::vector<size_t>> missing;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    if (num_sorted_ > 0) {
      PROTOPAGE_ASSIGN_OR_RETURN(ids[i], FindSorted(names[i], left_out));
    }
    if (ids[i] != kNoClass) continue;
    const ClassId decimal = numbered_ ? DecimalId(names[i], num_classes_) : kNoClass;
    if (decimal >= num_sorted_ && (left_out == nullptr || !left_out(decimal))) {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::string name, Name(decimal));
      if (name == names[i]) ids[i] = decimal;
    }
    if (ids[i] == kNoClass) missing[names[i]].push_back(i);
  }
  if (missing.empty() || num_sorted_ == num_classes_) return ids;
  PROTOPAGE_RETURN_IF_ERROR(ForEachAdded([&](ClassId id, const std::string& name) {
    const auto found = missing.find(name);
    if (found == missing.end() || (left_out != nullptr && left_out(id))) return absl::OkStatus();
    for (const size_t i : found->second) ids[i] = ids[i] == kNoClass ? id : ids[i];
    return absl::OkStatus();
  }));
  return ids;
}

absl::Status ClassNames::Check() const {
  if (cell_bytes_ == 0) return absl::OkStatus();
  uint64_t fingerprint = 0, sum = 0, sum_in_order = 0;
  const int64_t piece = std::max<int64_t>(kPieceBytes / cell_bytes_, 1);
  for (ClassId first = 0; first < num_sorted_; first += piece) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                               Names(first, std::min(piece, num_sorted_ - first)));
    for (size_t i = 0; i < names.size(); ++i) {
      fingerprint = NextFingerprint(fingerprint, names[i]);
      sum += TermOf(EntryOf(names[i], first + static_cast<ClassId>(i)));
    }
  }
  if (num_sorted_ > 0 && fingerprint != fingerprint_) return Damaged("the list of names");
  std::vector<uint64_t> entries;
  uint64_t before = 0;
  for (int64_t block = 0; block < NumBlocks(num_sorted_); ++block) {
    PROTOPAGE_RETURN_IF_ERROR(ReadOrder(block, &entries));
    for (const uint64_t entry : entries) {
      if (entry < before) return Damaged(absl::StrCat("block ", block));
      before = entry;
      sum_in_order += TermOf(entry);
    }
  }
  if (sum != sum_in_order) return Damaged(absl::StrCat("'", kOrder, "'"));
  return ForEachAdded([](ClassId, const std::string&) { return absl::OkStatus(); });
}

absl::Status ClassNames::CopyLonger(FileSystem* fs, const std::string& from, int64_t num_classes,
                                    File* to, const Hdf5Layout& to_layout) {
  const auto names = OpenInStore(fs, from, num_classes);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(names.status());
  const Hdf5Dataset* const cells = to_layout.Find(kDataset);
  if (cells == nullptr) return absl::InternalError(absl::StrCat(from, ": the copy has no names"));
  const int64_t bytes = cells->dims[1];
  std::vector<char> cell(bytes);
  return (*names)->ForEachOwn(0, num_classes, [&](ClassId id, const std::string& name) {
    FillCell(id, name, cell.data(), bytes);
    return to->WriteAt(cells->offset + id * bytes, cell.data(), bytes);
  });
}

absl::Status ClassNames::WriteAdded(FileSystem* fs, const std::string& path, int64_t num_classes,
                                    absl::Span<const std::string> names) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<ClassNames> added,
                             OpenFile(fs, path, OpenMode::kReadWrite, num_classes));
  const auto count = static_cast<int64_t>(names.size());
  for (const std::string& name : names) {
    PROTOPAGE_RETURN_IF_ERROR(CheckName(name));
    if (static_cast<int64_t>(name.size()) <= added->most_name_bytes()) continue;
    return absl::OutOfRangeError(absl::StrCat(path, ": class name ", Quoted(name), " of ",
                                              name.size(), " bytes, with room for ",
                                              added->most_name_bytes()));
  }
  if (num_classes + count > added->capacity_) {
    return absl::OutOfRangeError(absl::StrCat(path, ": names of classes ", num_classes, " to ",
                                              num_classes + count - 1, ", with room for ",
                                              added->capacity_));
  }
  const int64_t bytes = added->cell_bytes_;
  const int64_t piece = std::max<int64_t>(kPieceBytes / bytes, 1);
  std::vector<char> cells;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t some = std::min(piece, count - begin);
    cells.resize(some * bytes);
    for (int64_t i = 0; i < some; ++i) {
      FillCell(num_classes + begin + i, names[begin + i], cells.data() + i * bytes, bytes);
    }
    PROTOPAGE_RETURN_IF_ERROR(
        added->file_->WriteAt(added->CellOffset(num_classes + begin), cells.data(), some * bytes));
  }
  return added->file_->Sync();
}

}  // namespace protopage
