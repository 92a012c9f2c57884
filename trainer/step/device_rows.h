// DeviceRows: the rows of the current step on the device, and the upload of the next step's rows,
// which overlaps with the device's work on the current ones.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto rows, DeviceRows::Create(store, slots, backend));
//   PROTOPAGE_RETURN_IF_ERROR(rows->Begin(classes));
//   ... queue the work on the rows [K, D] and their state [K, state_floats] ...
//   PROTOPAGE_RETURN_IF_ERROR(rows->PrefetchNext(next_classes));  // While the device works.
//   ... wait for the work, queue the update of the rows ...
//   PROTOPAGE_RETURN_IF_ERROR(rows->QueueFetch());
//   ... queue work that needs no rows ...
//   PROTOPAGE_RETURN_IF_ERROR(rows->AwaitFetch());
//   PROTOPAGE_RETURN_IF_ERROR(rows->Scatter(step));
//
// After Begin the rows are always those of the store: rows that the current step does not train are
// uploaded early, and rows that it does train are copied from its slots on the device. A float16
// table rounds rows when they are scattered, so its rows are never prefetched: Begin gathers them.
#ifndef PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_
#define PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/types.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

// Not thread-safe. The calls come in the order of the example. PrefetchNext may be left out, and so
// may all calls from QueueFetch on when a step changes no row.
class DeviceRows {
 public:
  // A step has `slots` classes. Neither pointer is owned. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<DeviceRows>> Create(PrototypeStore* store, int64_t slots,
                                                            Backend* backend);

  // Makes `classes` the current step's. Their rows are valid for operations that are queued from
  // now on. Errors: those of GatherStep and of the device.
  absl::Status Begin(const std::vector<ClassId>& classes);
  // Starts the upload of the next step's rows, if can_prefetch(). The device must have finished all
  // work of the steps before the current one. Errors: as Begin.
  absl::Status PrefetchNext(const std::vector<ClassId>& classes);
  // False for float16 tables.
  bool can_prefetch() const { return store_->spec().dtype == RowType::kFloat32; }
  // Queues the download of rows and state.
  absl::Status QueueFetch();
  // Waits for the download, and not for operations that were queued since QueueFetch.
  absl::Status AwaitFetch();
  // Writes the downloaded rows and state to the store. Errors: those of ScatterStep.
  absl::Status Scatter(int64_t step);

  const Tensor& rows() const { return buffers_[current_].rows; }
  const Tensor& state() const { return buffers_[current_].state; }
  // [K]: the number of steps between `step` and the one that last trained each class; 0 for classes
  // that were never trained.
  std::vector<int32_t> Away(int64_t step) const;

 private:
  enum class State {
    kEmpty,     // Before the first Begin.
    kBegun,     // The current rows are on the device.
    kFetching,  // Their download is queued.
    kFetched,   // host_ holds them.
  };
  // The current rows, the next ones, and the last step's, from which queued copies to the current
  // rows may still read while the next ones are uploaded.
  static constexpr int kBuffers = 3;
  struct Buffers {
    Tensor rows, state;
    Tensor from;                   // int32 [K]: next_from_.
    std::shared_ptr<Buffer> host;  // Rows, state and from, for uploads and downloads.
  };

  DeviceRows(PrototypeStore* store, Backend* backend) : store_(store), backend_(backend) {}

  PrototypeStore* const store_;
  Backend* const backend_;
  std::array<Buffers, kBuffers> buffers_;
  State step_state_ = State::kEmpty;
  // The current step: where its rows are, its classes, and its rows as gathered or fetched.
  int current_ = 0;
  std::vector<ClassId> classes_;
  StepRows host_;
  // The next step, whose rows are in the buffers behind the current ones. No classes: none was
  // prefetched.
  std::vector<ClassId> next_classes_;
  StepRows next_host_;
  // [K]: the slot of the current step from which the row is copied, or -1 for an uploaded row.
  std::vector<int32_t> next_from_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_
