// ChangeTrackingIndex: what all kinds of ClassIndex do to save an index, and then only the copies
// that changed since. Private to the index; the file of changes is described in FORMAT.md.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_CHANGE_TRACKING_INDEX_H_
#define PROTOPAGE_PROTOTYPES_INDEX_CHANGE_TRACKING_INDEX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

class ChangeTrackingIndex : public ClassIndex {
 public:
  absl::Status Save(FileSystem* file_system, const std::string& path) final;
  int64_t num_changed() const final { return num_changed_; }
  absl::Status SaveChanges(FileSystem* file_system, const std::string& path) const final;
  absl::Status LoadChanges(FileSystem* file_system, const std::string& path) final;

 protected:
  // Called by Update for each class that it re-encoded.
  void NoteChanged(ClassId id);

 private:
  // "flat", "ivf_sq8" or "ivf_pq".
  virtual const std::string& kind() const = 0;
  virtual absl::Status SaveWhole(FileSystem* file_system, const std::string& path) const = 0;
  // The size in bytes of a class's copy with all that the index keeps for the class.
  virtual int64_t copy_bytes() const = 0;
  // Writes the copies of `ids` to `copies` [ids.size(), copy_bytes()].
  virtual void GetCopies(absl::Span<const ClassId> ids, char* copies) const = 0;
  // Sets the copies of `ids`, all of them valid classes. Errors: DataLoss (these are no copies).
  virtual absl::Status SetCopies(absl::Span<const ClassId> ids, const char* copies) = 0;
  // Called after the last SetCopies.
  virtual void FinishCopies() = 0;

  absl::Status WriteChanges(File* file, const std::string& path) const;
  // Reads the copies of a file whose layout was checked. Their number is `count`.
  absl::Status ReadChanges(File* file, const std::string& path, const Hdf5Layout& layout,
                           int64_t count);

  std::vector<bool> changed_;  // [N], or empty: no class has changed.
  int64_t num_changed_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_CHANGE_TRACKING_INDEX_H_
