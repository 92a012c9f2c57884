#include "protopage/base/external_sort.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr int64_t kKeyBytes = sizeof(uint64_t);
// A run is read in pieces of at least a page.
constexpr int64_t kLeastKeysAtOnce = 512;

}  // namespace

ExternalSort::ExternalSort(FileSystem* file_system, std::string temporary, int64_t keys_in_memory)
    : fs_(file_system), temporary_(std::move(temporary)), keys_in_memory_(keys_in_memory) {}

ExternalSort::~ExternalSort() {
  if (file_ == nullptr) return;
  file_.reset();
  fs_->Remove(temporary_).IgnoreError();
}

absl::Status ExternalSort::Add(uint64_t key) {
  if (static_cast<int64_t>(keys_.size()) == keys_in_memory_) PROTOPAGE_RETURN_IF_ERROR(Spill());
  keys_.push_back(key);
  return absl::OkStatus();
}

absl::Status ExternalSort::Spill() {
  if (file_ == nullptr) {
    PROTOPAGE_ASSIGN_OR_RETURN(file_, fs_->Open(temporary_, OpenMode::kCreate));
  }
  std::sort(keys_.begin(), keys_.end());
  Run run;
  run.next = runs_.empty() ? 0 : runs_.back().end;
  run.end = run.next + static_cast<int64_t>(keys_.size());
  PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(run.next * kKeyBytes, keys_.data(),
                                           static_cast<int64_t>(keys_.size()) * kKeyBytes));
  runs_.push_back(std::move(run));
  keys_.clear();
  return absl::OkStatus();
}

absl::Status ExternalSort::Refill(Run& run, int64_t most) {
  run.buffer.resize(std::min(most, run.end - run.next));
  run.taken = 0;
  const auto count = static_cast<int64_t>(run.buffer.size());
  PROTOPAGE_RETURN_IF_ERROR(
      file_->ReadAt(run.next * kKeyBytes, run.buffer.data(), count * kKeyBytes));
  run.next += count;
  return absl::OkStatus();
}

absl::Status ExternalSort::ForEach(absl::FunctionRef<absl::Status(uint64_t key)> take) {
  if (file_ == nullptr) {
    std::sort(keys_.begin(), keys_.end());
    for (const uint64_t key : keys_) PROTOPAGE_RETURN_IF_ERROR(take(key));
    return absl::OkStatus();
  }
  if (!keys_.empty()) PROTOPAGE_RETURN_IF_ERROR(Spill());
  keys_ = {};
  const int64_t at_once =
      std::max(keys_in_memory_ / static_cast<int64_t>(runs_.size()), kLeastKeysAtOnce);
  using Front = std::pair<uint64_t, size_t>;  // The next key of a run, and the run.
  std::priority_queue<Front, std::vector<Front>, std::greater<>> fronts;
  for (size_t i = 0; i < runs_.size(); ++i) {
    PROTOPAGE_RETURN_IF_ERROR(Refill(runs_[i], at_once));
    fronts.emplace(runs_[i].buffer[0], i);
  }
  while (!fronts.empty()) {
    const auto [key, index] = fronts.top();
    fronts.pop();
    PROTOPAGE_RETURN_IF_ERROR(take(key));
    Run& run = runs_[index];
    if (++run.taken == run.buffer.size()) {
      if (run.next == run.end) continue;
      PROTOPAGE_RETURN_IF_ERROR(Refill(run, at_once));
    }
    fronts.emplace(run.buffer[run.taken], index);
  }
  return absl::OkStatus();
}

}  // namespace protopage
