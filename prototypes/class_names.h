// ClassNames: the names that the classes of a run or a store have outside of this program, on disk:
// the name of an id, and the id of a name.
//
//   const auto name = [&](ClassId c) -> absl::StatusOr<std::string> { return folders[c]; };
//   PROTOPAGE_RETURN_IF_ERROR(ClassNames::Create(fs, path, num_folders, name));
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto names, ClassNames::Open(fs, path));
//   PROTOPAGE_ASSIGN_OR_RETURN(const ClassId apple, names->Find("apple"));  // Or kNoClass.
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, names->Name(apple));
//
// A name is 1 to 255 bytes without zeros, UTF-8 or not: two names are the same if their bytes are.
// A class may also have none, "". Names are found by a sorted index of their hashes, except for
// those that were added later, which are found by reading them. The names of *numbered* classes are
// their ids in decimal; they take no room. Memory is a few MiB at any number of classes.
//
// Names lie in a file of their own, of the kind `class_names`, or in a store: prototypes/FORMAT.md.
// Every byte that is read is covered by a checksum, except for names in stores of format version 1.
#ifndef PROTOPAGE_PROTOTYPES_CLASS_NAMES_H_
#define PROTOPAGE_PROTOTYPES_CLASS_NAMES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

// The name of a class; "" when it has none.
using ClassNameFunction = absl::FunctionRef<absl::StatusOr<std::string>(ClassId)>;

// The room that names take in a file, and what identifies them.
struct ClassNamesPlan {
  int64_t num_classes = 0;
  // The names are the ids in decimal, and all below is 0.
  bool numbered = false;
  int64_t cell_bytes = 0;    // Of a name in the file, with its checksum.
  uint64_t fingerprint = 0;  // XXH3 of the names, each seeded with that of the names before it.
};

// Thread-safe.
class ClassNames {
 public:
  static constexpr int64_t kMostNameBytes = 255;
  // The dataset of names in a file, and that of stores of format version 1, without checksums.
  static constexpr char kDataset[] = "class_names";
  static constexpr char kOldDataset[] = "names";
  // Ids are below it.
  static constexpr int64_t kMostClasses = int64_t{1} << 32;

  // Writes a file of its own, durably; it replaces the one at `path`. `name` is called for each
  // class in ascending order, more than once. Errors: InvalidArgument (CheckName; two classes of
  // the same name; more than kMostClasses), those of `name` and of the file system.
  static absl::Status Create(FileSystem* fs, const std::string& path, int64_t num_classes,
                             ClassNameFunction name);
  // The same for numbered classes.
  static absl::Status CreateNumbered(FileSystem* fs, const std::string& path, int64_t num_classes);

  // Opens a file of its own. Errors: NotFound (no such file, or none with names), DataLoss.
  static absl::StatusOr<std::unique_ptr<ClassNames>> Open(FileSystem* fs, const std::string& path);
  // The same for a store, which has `num_classes` classes.
  static absl::StatusOr<std::unique_ptr<ClassNames>> OpenInStore(FileSystem* fs,
                                                                 const std::string& path,
                                                                 int64_t num_classes);

  // Errors: InvalidArgument (longer, or a zero byte).
  static absl::Status CheckName(absl::string_view name);
  // For people: with escapes for control characters; and in quotes.
  static std::string Printable(absl::string_view name);
  static std::string Quoted(absl::string_view name);

  int64_t num_classes() const { return num_classes_; }
  // Whether classes without a name of their own are named by their ids in decimal.
  bool numbered() const { return numbered_; }
  // Whether no class has a name of its own.
  bool all_numbered() const { return numbered_ && cell_bytes_ == 0; }
  const std::string& path() const { return path_; }

  // Whether these are the names of `plan`, in its order; classes that were added later differ.
  bool IsEqual(const ClassNamesPlan& plan) const;

  // Errors: OutOfRange, DataLoss (file and class are named), those of the file system.
  absl::StatusOr<std::string> Name(ClassId id) const;
  // Of classes first, first + 1, ...
  absl::StatusOr<std::vector<std::string>> Names(ClassId first, int64_t count) const;

  // Ids that Find passes over, such as those of dropped classes.
  using LeftOut = std::function<bool(ClassId)>;
  // The class of that name, or kNoClass. Errors: DataLoss, those of the file system.
  absl::StatusOr<ClassId> Find(absl::string_view name, const LeftOut& left_out = nullptr) const;
  // The same for several names; those that were added later are read once for all.
  absl::StatusOr<std::vector<ClassId>> FindAll(absl::Span<const std::string> names,
                                               const LeftOut& left_out = nullptr) const;

  // Reads everything. Errors: DataLoss.
  absl::Status Check() const;

  // --- For stores, which keep names among their other data.

  // Errors: as Create.
  static absl::StatusOr<ClassNamesPlan> Plan(int64_t num_classes, ClassNameFunction name);
  static ClassNamesPlan PlanNumbered(int64_t num_classes);
  // Adds the datasets and attributes of the plan to a layout with room for `capacity` classes.
  static void AddTo(const ClassNamesPlan& plan, int64_t capacity, Hdf5Layout* layout);
  // Writes the names to a file that was created with the layout; the caller syncs it. `temporary`
  // is a free path on a disk with 8 bytes of room for each class. Errors: as Create.
  static absl::Status Write(FileSystem* fs, const std::string& temporary, File* file,
                            const std::string& path, const Hdf5Layout& layout,
                            const ClassNamesPlan& plan, ClassNameFunction name);
  // The bytes of a cell for names of up to `name_bytes` bytes.
  static int64_t CellBytes(int64_t name_bytes);
  // The longest name that the cells hold; 0 when there are none.
  int64_t longest_name_bytes() const;
  // False for names in a store of format version 1.
  bool has_checksums() const { return !unchecked_; }
  // The longest name that WriteAdded takes; 0 when there is no room for any.
  int64_t most_name_bytes() const { return unchecked_ ? 0 : longest_name_bytes(); }
  // Copies the names of the store at `from` to a copy that was created with longer cells, or with
  // cells where the first is of format version 1; the caller syncs it. Errors: as OpenInStore.
  static absl::Status CopyLonger(FileSystem* fs, const std::string& from, int64_t num_classes,
                                 File* to, const Hdf5Layout& to_layout);
  // Writes the names of rows num_classes, num_classes + 1, ..., which are not classes yet, to the
  // store, and syncs it. Errors: as CheckName; OutOfRange (no room), NotFound (the store holds no
  // names).
  static absl::Status WriteAdded(FileSystem* fs, const std::string& path, int64_t num_classes,
                                 absl::Span<const std::string> names);

 private:
  ClassNames(std::string path, std::unique_ptr<File> file);

  // `num_classes` is -1 for a file of its own.
  static absl::StatusOr<std::unique_ptr<ClassNames>> OpenFile(FileSystem* fs,
                                                              const std::string& path,
                                                              OpenMode mode, int64_t num_classes);
  absl::Status Init(const Hdf5Layout& layout, int64_t num_classes);
  absl::Status Damaged(absl::string_view what) const;
  int64_t CellOffset(ClassId id) const { return names_offset_ + id * cell_bytes_; }
  bool HasOwnName(ClassId id, const char* cell) const;
  absl::StatusOr<std::string> NameInCell(ClassId id, const char* cell) const;
  // Reads block `block` of the index.
  absl::Status ReadOrder(int64_t block, std::vector<uint64_t>* entries) const;
  // Among the names in the index.
  absl::StatusOr<ClassId> FindSorted(absl::string_view name, const LeftOut& left_out) const;
  // Calls take(id, name) for each class of its own name that is not in the index.
  absl::Status ForEachAdded(
      absl::FunctionRef<absl::Status(ClassId id, const std::string& name)> take) const;
  // The same for all classes from `begin` on and below `end`.
  absl::Status ForEachOwn(
      ClassId begin, ClassId end,
      absl::FunctionRef<absl::Status(ClassId id, const std::string& name)> take) const;

  const std::string path_;
  const std::unique_ptr<File> file_;
  int64_t num_classes_ = 0;
  int64_t capacity_ = 0;
  bool numbered_ = false;
  bool unchecked_ = false;  // The cells are those of format version 1.
  int64_t cell_bytes_ = 0;  // 0 when there are no cells.
  int64_t names_offset_ = 0;
  int64_t order_offset_ = 0;
  int64_t num_sorted_ = 0;  // Classes [0, num_sorted_) are in the index.
  uint64_t fingerprint_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_CLASS_NAMES_H_
