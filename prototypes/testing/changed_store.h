// ChangedStore: a store by itself, without a log, as a CrashScenario: it is created, written in
// place, copied, restored from the copy, and classes are added, named, dropped and merged.
//
// Used by crash_test.cc and durability_test.cc.
//
// It is promised that a change is there once its call returned. While rows are written in place the
// file may say that they are mixed; otherwise it has all of a change or nothing.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_CHANGED_STORE_H_
#define PROTOPAGE_PROTOTYPES_TESTING_CHANGED_STORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/testing/crash_scenario.h"

namespace protopage {

struct ChangedStoreContent {
  RowMatrixXf rows;
  std::vector<int64_t> last_step;
  std::vector<bool> dropped;

  friend bool operator==(const ChangedStoreContent& a, const ChangedStoreContent& b) {
    return a.rows.rows() == b.rows.rows() && a.rows == b.rows && a.last_step == b.last_step &&
           a.dropped == b.dropped;
  }
};
using ChangedStoreContents = std::vector<ChangedStoreContent>;

class ChangedStore : public CrashScenario {
 public:
  explicit ChangedStore(ChangedStoreContents* contents) : contents_(contents) {}

  absl::Status Work(FileSystem* fs) override;
  absl::Status Check(FileSystem* fs) override;
  absl::Status CheckOutcome(FileSystem* fs) override;

 private:
  PrototypeStoreOptions Options(bool read_only) const;
  absl::StatusOr<ChangedStoreContent> Read(const std::string& path, bool* clean) const;
  absl::Status Change(size_t change);
  absl::Status WriteInPlace(int64_t step);
  absl::Status AddClasses(float value);

  ChangedStoreContents* const contents_;  // [i]: after i + 1 changes.
  FileSystem* fs_ = nullptr;
  size_t done_ = 0;  // Changes that were reported as done, or found so.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_CHANGED_STORE_H_
