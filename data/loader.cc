#include "protopage/data/loader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/base/thread.h"

namespace protopage {
namespace {

// Images that a worker claims at a time: few enough to share the work of the last batch, many
// enough for the lock to cost nothing.
constexpr int64_t kBlock = 8;

// Fills out[0, height * width * channels) with the image as the net sees it. `image_memory` and
// `other_memory` are working memory.
absl::Status LoadImage(const ImageSource& source, const LoaderOptions& options, int64_t step,
                       int64_t i, int64_t record, Image* image_memory, Image* other_memory,
                       uint8_t* out) {
  if (record < 0 || record >= source.size()) {
    return absl::OutOfRangeError(absl::StrCat("record ", record, " at position ", i, " of step ",
                                              step, " is outside [0, ", source.size(), ")"));
  }
  Image& image = *image_memory;
  Image& other = *other_memory;
  PROTOPAGE_RETURN_IF_ERROR(source.Read(record, &image));
  if (image.width != options.width || image.height != options.height) {
    // Resizing costs in proportion to the channels, so the smaller number comes first.
    if (options.channels < image.channels) ConvertChannels(options.channels, &image);
    ResizeImage(image, options.width, options.height, &other);
    std::swap(image, other);
  }
  ConvertChannels(options.channels, &image);
  if (!options.augment.IsNone()) {
    RandomStream random(options.seed, RandomPurpose::kAugment, step, static_cast<uint32_t>(i));
    Augment(options.augment, random, &other, &image);
  }
  std::memcpy(out, image.pixels.data(), image.bytes());
  return absl::OkStatus();
}

}  // namespace

// The memory of a worker, kept from image to image.
struct Loader::Scratch {
  Image image;
  Image other;
};

// Guarded by the loader's mutex_, except for the pixels of claimed images: the worker that claimed
// them writes them.
struct Loader::Job {
  int64_t step = 0;
  std::vector<int64_t> records;  // Constant.
  std::vector<uint8_t> pixels;
  int64_t claimed = 0;   // Images [0, claimed) are finished or being loaded.
  int64_t finished = 0;  // Number of images finished.
  // The smallest position that failed and its error, whichever worker fails first.
  int64_t failed = -1;
  absl::Status status;

  int64_t size() const { return static_cast<int64_t>(records.size()); }
};

Loader::Loader(const ImageSource* source, const LoaderOptions& options)
    : source_(source), options_(options) {
  PROTOPAGE_CHECK(options.height > 0 && options.width > 0 && options.max_batches > 0);
  PROTOPAGE_CHECK(options.channels == 1 || options.channels == 3);
  for (int i = 0; i < std::max(1, options.threads) && started_.ok(); ++i) {
    std::thread worker;
    started_ = StartThread([this] { WorkerLoop(); }, &worker);
    if (started_.ok()) workers_.push_back(std::move(worker));
  }
}

Loader::~Loader() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& worker : workers_) worker.join();
}

void Loader::Submit(int64_t step, std::vector<int64_t> records) {
  auto job = std::make_shared<Job>();
  job->step = step;
  job->records = std::move(records);
  {
    const MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  work_.NotifyAll();
  done_.NotifyAll();  // An empty batch is complete at once.
}

absl::StatusOr<ImageBatch> Loader::Next() {
  PROTOPAGE_RETURN_IF_ERROR(started_);
  std::shared_ptr<Job> job;
  {
    const MutexLock lock(mutex_);
    if (jobs_.empty()) {
      return absl::FailedPreconditionError("Loader::Next: no batch was submitted");
    }
    job = jobs_.front();
    if (job->finished < job->size()) {
      const Stopwatch waiting;
      while (job->finished < job->size()) done_.Wait(mutex_);
      seconds_waited_ += waiting.Seconds();
    }
    // Only a second caller of Next(), which is not allowed, could have taken it while this one
    // waited.
    PROTOPAGE_CHECK(!jobs_.empty() && jobs_.front() == job);
    jobs_.pop_front();
    if (!job->status.ok()) spare_.push_back(std::move(job->pixels));
  }
  work_.NotifyAll();  // There is room for another batch.
  PROTOPAGE_RETURN_IF_ERROR(job->status);
  ImageBatch batch;
  batch.step = job->step;
  batch.size = job->size();
  batch.pixels = std::move(job->pixels);
  return batch;
}

bool Loader::ready() const {
  const MutexLock lock(mutex_);
  return !jobs_.empty() && jobs_.front()->finished == jobs_.front()->size();
}

void Loader::Recycle(ImageBatch batch) {
  const MutexLock lock(mutex_);
  if (static_cast<int>(spare_.size()) <= options_.max_batches) {
    spare_.push_back(std::move(batch.pixels));
  }
}

int64_t Loader::pending() const {
  const MutexLock lock(mutex_);
  return static_cast<int64_t>(jobs_.size());
}

double Loader::seconds_waited() const {
  const MutexLock lock(mutex_);
  return seconds_waited_;
}

std::shared_ptr<Loader::Job> Loader::NextJob() const {
  const size_t window = std::min<size_t>(jobs_.size(), options_.max_batches);
  for (size_t i = 0; i < window; ++i) {
    if (jobs_[i]->claimed < jobs_[i]->size()) return jobs_[i];
  }
  return nullptr;
}

void Loader::LoadBlock(Job& job, Scratch& scratch) {
  const int64_t image_bytes = int64_t{options_.height} * options_.width * options_.channels;
  if (job.claimed == 0) {
    if (!spare_.empty()) {
      job.pixels = std::move(spare_.back());
      spare_.pop_back();
    }
    job.pixels.resize(job.size() * image_bytes);
  }
  const int64_t begin = job.claimed;
  const int64_t end = std::min(begin + kBlock, job.size());
  job.claimed = end;
  mutex_.Unlock();
  absl::Status status;
  int64_t failed = -1;
  for (int64_t i = begin; i < end; ++i) {
    absl::Status one = LoadImage(*source_, options_, job.step, i, job.records[i], &scratch.image,
                                 &scratch.other, &job.pixels[i * image_bytes]);
    if (!one.ok() && failed < 0) {
      failed = i;
      status = std::move(one);
    }
  }
  mutex_.Lock();
  if (failed >= 0 && (job.failed < 0 || failed < job.failed)) {
    job.failed = failed;
    job.status = std::move(status);
  }
  job.finished += end - begin;
  if (job.finished == job.size()) done_.NotifyAll();
}

void Loader::WorkerLoop() {
  Scratch scratch;
  const MutexLock lock(mutex_);
  while (!stopping_) {
    if (const std::shared_ptr<Job> job = NextJob(); job != nullptr) {
      LoadBlock(*job, scratch);
    } else {
      work_.Wait(mutex_);
    }
  }
}

}  // namespace protopage
