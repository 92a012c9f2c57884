#include "protopage/trainer/step/device_rows.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<DeviceRows>> DeviceRows::Create(PrototypeStore* store, int64_t slots,
                                                               Backend* backend) {
  std::unique_ptr<DeviceRows> made(new DeviceRows(store, backend));
  const int64_t dim = store->dim(), state = store->state_floats();
  for (Buffers& buffers : made->buffers_) {
    PROTOPAGE_ASSIGN_OR_RETURN(buffers.rows, backend->Allocate(DType::kFloat32, {slots, dim}));
    PROTOPAGE_ASSIGN_OR_RETURN(buffers.state, backend->Allocate(DType::kFloat32, {slots, state}));
    PROTOPAGE_ASSIGN_OR_RETURN(buffers.from, backend->Allocate(DType::kInt32, {slots}));
    PROTOPAGE_ASSIGN_OR_RETURN(
        buffers.host,
        backend->AllocateHost(buffers.rows.bytes() + buffers.state.bytes() + buffers.from.bytes()));
  }
  return made;
}

absl::Status DeviceRows::Begin(const std::vector<ClassId>& classes) {
  PROTOPAGE_CHECK(step_state_ != State::kFetching);
  PROTOPAGE_CHECK(static_cast<int64_t>(classes.size()) == rows().shape()[0]);
  if (next_classes_ != classes) {
    PROTOPAGE_RETURN_IF_ERROR(store_->GatherStep(classes, &host_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(host_.rows.data(), rows()));
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(host_.state.data(), state()));
  } else {
    const Buffers& from = buffers_[current_];
    current_ = (current_ + 1) % kBuffers;
    const Buffers& to = buffers_[current_];
    PROTOPAGE_RETURN_IF_ERROR(backend_->FinishUploads());
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyRows(from.rows, to.from, to.rows));
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyRows(from.state, to.from, to.state));
    for (size_t i = 0; i < classes.size(); ++i) {
      if (next_from_[i] >= 0) next_host_.last_step[i] = host_.last_step[next_from_[i]];
    }
    std::swap(host_, next_host_);
  }
  classes_ = classes;
  next_classes_.clear();
  step_state_ = State::kBegun;
  return absl::OkStatus();
}

absl::Status DeviceRows::PrefetchNext(const std::vector<ClassId>& classes) {
  PROTOPAGE_CHECK(step_state_ == State::kBegun);
  if (!can_prefetch()) return absl::OkStatus();
  PROTOPAGE_CHECK(classes.size() == classes_.size());
  std::unordered_map<ClassId, int32_t> slot_of;
  for (size_t i = 0; i < classes_.size(); ++i) slot_of[classes_[i]] = static_cast<int32_t>(i);
  next_from_.clear();
  for (const ClassId id : classes) {
    const auto at = slot_of.find(id);
    next_from_.push_back(at != slot_of.end() ? at->second : -1);
  }
  // All rows, as one gather fills the buffer that is uploaded; Begin overwrites those that are on
  // the device.
  PROTOPAGE_RETURN_IF_ERROR(store_->GatherStep(classes, &next_host_));
  const Buffers& to = buffers_[(current_ + 1) % kBuffers];
  auto* host = static_cast<char*>(to.host->data());
  const auto upload = [&](const void* src, const Tensor& dst) {
    std::memcpy(host, src, static_cast<size_t>(dst.bytes()));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Upload(host, dst));
    host += dst.bytes();
    return absl::OkStatus();
  };
  PROTOPAGE_RETURN_IF_ERROR(upload(next_host_.rows.data(), to.rows));
  if (to.state.bytes() > 0) PROTOPAGE_RETURN_IF_ERROR(upload(next_host_.state.data(), to.state));
  PROTOPAGE_RETURN_IF_ERROR(upload(next_from_.data(), to.from));
  next_classes_ = classes;
  return absl::OkStatus();
}

absl::Status DeviceRows::QueueFetch() {
  PROTOPAGE_CHECK(step_state_ == State::kBegun);
  // The upload of these rows has finished, so their host memory is free.
  auto* host = static_cast<char*>(buffers_[current_].host->data());
  PROTOPAGE_RETURN_IF_ERROR(backend_->Download(rows(), host));
  PROTOPAGE_RETURN_IF_ERROR(backend_->Download(state(), host + rows().bytes()));
  step_state_ = State::kFetching;
  return absl::OkStatus();
}

absl::Status DeviceRows::AwaitFetch() {
  PROTOPAGE_CHECK(step_state_ == State::kFetching);
  PROTOPAGE_RETURN_IF_ERROR(backend_->FinishDownloads());
  const auto* host = static_cast<const char*>(buffers_[current_].host->data());
  std::memcpy(host_.rows.data(), host, static_cast<size_t>(rows().bytes()));
  std::memcpy(host_.state.data(), host + rows().bytes(), static_cast<size_t>(state().bytes()));
  step_state_ = State::kFetched;
  return absl::OkStatus();
}

absl::Status DeviceRows::Scatter(int64_t step) {
  PROTOPAGE_CHECK(step_state_ == State::kFetched);
  PROTOPAGE_RETURN_IF_ERROR(store_->ScatterStep(classes_, host_, step));
  std::fill(host_.last_step.begin(), host_.last_step.end(), step);
  step_state_ = State::kBegun;
  return absl::OkStatus();
}

std::vector<int32_t> DeviceRows::Away(int64_t step) const {
  std::vector<int32_t> away;
  away.reserve(host_.last_step.size());
  for (const int64_t last : host_.last_step) {
    away.push_back(last < 0 ? 0 : static_cast<int32_t>(step - last - 1));
  }
  return away;
}

}  // namespace protopage
