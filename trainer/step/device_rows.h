// DeviceRows: the rows of the current step on the device, and those of the next one on their way
// there.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto rows, DeviceRows::Create(&store, slots, backend));
//   PROTOPAGE_RETURN_IF_ERROR(rows->Begin(plan.classes));
//   ... queue the work on rows->rows() [K, D] and rows->state() [K, state_floats] ...
//   PROTOPAGE_RETURN_IF_ERROR(rows->BringNext(next_plan.classes));   // While the device works.
//   ... wait for the work, update the rows ...
//   PROTOPAGE_RETURN_IF_ERROR(rows->Fetch());
//   PROTOPAGE_RETURN_IF_ERROR(rows->Scatter(step));
//
// What Begin gives is always what the store holds: rows that the running step does not train are
// copied early, those that it does train move on the device. Tables of float16 round rows when they
// are scattered, so theirs are gathered by Begin alone.
#ifndef PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_
#define PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/types.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

// Not thread-safe. The calls come in the order above; BringNext may be left out, and Fetch and
// Scatter when a step changes no row.
class DeviceRows {
 public:
  // A step has `slots` classes. Neither pointer is owned. Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<DeviceRows>> Create(PrototypeStore* store, int64_t slots,
                                                            Backend* backend);

  // Errors: those of GatherStep and of the device.
  absl::Status Begin(const std::vector<ClassId>& classes);
  // The device must have done all work of the steps before this one. Errors: as Begin's.
  absl::Status BringNext(const std::vector<ClassId>& classes);
  // False for tables of float16, of which BringNext copies nothing.
  bool can_bring_next() const { return store_->spec().dtype == RowType::kFloat32; }
  // Rows and state to the host; waits for them. `beside` is called once their copies are queued:
  // the host does not wait for what it queues.
  absl::Status Fetch(absl::FunctionRef<absl::Status()> beside = [] { return absl::OkStatus(); });
  // What Fetch brought, to the store. Errors: those of ScatterStep.
  absl::Status Scatter(int64_t step);

  const Tensor& rows() const { return buffers_[current_].rows; }
  const Tensor& state() const { return buffers_[current_].state; }
  // [K]: the steps between the one that last trained each class and `step`, 0 for classes never
  // trained.
  std::vector<int32_t> Away(int64_t step) const;

 private:
  // One holds the current step's rows, one is read when they move on, one takes what is brought.
  static constexpr int kBuffers = 3;
  struct Buffers {
    Tensor rows, state, from;
    std::shared_ptr<Buffer> host;  // Rows, state and from, for their way here and back.
  };

  DeviceRows(PrototypeStore* store, Backend* backend) : store_(store), backend_(backend) {}

  PrototypeStore* const store_;
  Backend* const backend_;
  std::array<Buffers, kBuffers> buffers_;
  int current_ = 0;
  std::vector<ClassId> classes_;  // Of the current step.
  StepRows host_;                 // As Begin and Fetch got them.
  // Of the next step; empty when nothing is on its way.
  std::vector<ClassId> next_classes_;
  StepRows next_host_;
  std::vector<int32_t>
      next_from_;  // [K]: the slot of the current step that a row moves from, or -1.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_DEVICE_ROWS_H_
