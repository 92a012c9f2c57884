// StoredTraining: the storage of a short training as a CrashScenario: prototypes with momentum,
// queues, checkpoints, retirement, a new stage, a rollback.
//
// Used by crash_test.cc and durability_test.cc.
//
// It is promised that a checkpoint is there once its mark was written, that files are there that
// were created, and that the main file alone is a checkpoint whenever it says so.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_STORED_TRAINING_H_
#define PROTOPAGE_PROTOTYPES_TESTING_STORED_TRAINING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/prototypes/testing/crash_scenario.h"

namespace protopage {

// What a store and its queues hold.
struct StoredContent {
  RowMatrixXf rows, momentum;
  std::vector<int64_t> last_step;
  std::vector<ClassId> queues;  // Empty before any were built; -9 for a class without queues.

  friend bool operator==(const StoredContent& a, const StoredContent& b) {
    return a.rows == b.rows && a.momentum == b.momentum && a.last_step == b.last_step &&
           a.queues == b.queues;
  }
};
// By checkpoint.
using StoredContents = std::map<int64_t, StoredContent>;

// The rows, state and steps of the first 90 classes, all that a StoredTraining has.
absl::StatusOr<StoredContent> ReadStore(PrototypeStore* store);

class StoredTraining : public CrashScenario {
 public:
  static constexpr int64_t kSteps = 42, kCheckpointSteps = 6;

  // Adds each checkpoint's content to `contents`, or compares it with the one that is there.
  explicit StoredTraining(StoredContents* contents) : contents_(contents) {}

  absl::Status SetUp(FileSystem* fs) override;
  // Runs from the newest complete checkpoint, or from the beginning, to the end.
  absl::Status Work(FileSystem* fs) override;
  absl::Status Check(FileSystem* fs) override;
  absl::Status CheckOutcome(FileSystem* fs) override;

 private:
  TableLogOptions LogOptions() const;
  PrototypeStoreOptions StoreOptions() const;
  ClassQueuesOptions QueuesOptions() const;
  absl::Status RemoveIfThere(const std::string& path);
  absl::StatusOr<std::vector<int64_t>> Done() const;
  absl::StatusOr<StoredContent> Read();

  absl::Status Begin();
  absl::Status Open(int64_t checkpoint);
  absl::Status RollBack();
  absl::Status Step(int64_t step);
  absl::Status Checkpoint(int64_t step);
  absl::Status Compare(int64_t checkpoint);
  absl::Status CheckMainFile() const;
  void Close();

  StoredContents* const contents_;
  FileSystem* fs_ = nullptr;
  std::unique_ptr<TableLog> log_;
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassQueues> queues_;
  // What was promised.
  bool log_created_ = false, store_created_ = false;
  int64_t checkpoint_ = -1;
  bool rolled_back_ = false;
  bool merged_ = false;  // All, into the main file.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_STORED_TRAINING_H_
