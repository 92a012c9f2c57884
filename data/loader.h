// Loader: reads, decodes, scales and augments batches of images on its own threads, ahead of the
// step that needs them.
//
//   LoaderOptions options;
//   options.height = options.width = 32;
//   options.augment.flip = 0.5;
//   options.seed = 1;
//   Loader loader(source.get(), options);
//   loader.Submit(0, {5, 17, 3});  // The records of step 0.
//   loader.Submit(1, {8, 2, 4});
//   PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader.Next());  // Step 0: uint8 [3, 32, 32, 3].
//   Train(batch.pixels);
//   loader.Recycle(std::move(batch));  // A later batch uses its memory.
//
// A batch is a function of (source, records, step, options other than threads and max_batches):
// image i is augmented by RandomStream(seed, kAugment, step, i).
#ifndef PROTOPAGE_DATA_LOADER_H_
#define PROTOPAGE_DATA_LOADER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/mutex.h"
#include "protopage/data/augment.h"
#include "protopage/data/image_source.h"

namespace protopage {

struct LoaderOptions {
  // All images are converted to this shape.
  int height = 32;
  int width = 32;
  int channels = 3;
  AugmentConfig augment = AugmentConfig::None();
  uint64_t seed = 0;
  int threads = 1;
  // The most batches that are being filled or wait for Next(). Submit() may run further ahead; that
  // costs memory for the record numbers only.
  int max_batches = 4;
};

struct ImageBatch {
  int64_t step = 0;
  int64_t size = 0;             // B
  std::vector<uint8_t> pixels;  // [B, height, width, channels]
};

// One thread calls Next(); the other methods may be called from any.
class Loader {
 public:
  // `source` must outlive the loader.
  Loader(const ImageSource* source, const LoaderOptions& options);
  // Finishes the images being loaded; batches that were not fetched are dropped.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const LoaderOptions& options() const { return options_; }

  // Queues the batch of `step`. Never blocks. Record numbers must be in [0, source.size()), else
  // Next() returns OutOfRange.
  void Submit(int64_t step, std::vector<int64_t> records);

  // The next batch in the order of Submit; waits until it is complete. Errors: that of the first
  // image of the batch that failed, which names its file; later batches are not affected.
  // FailedPrecondition when no batch is pending; ResourceExhausted when a thread could not be
  // started.
  absl::StatusOr<ImageBatch> Next();
  // Whether Next() would not wait. Must not be called while another thread is in Next().
  bool ready() const;

  // Returns the memory of a batch for reuse.
  void Recycle(ImageBatch batch);

  // Batches submitted and not yet fetched.
  int64_t pending() const;
  // The time that all calls of Next() have spent waiting.
  double seconds_waited() const;

 private:
  struct Job;
  struct Scratch;

  void WorkerLoop();
  // The first of the next max_batches jobs that has unclaimed images, or null.
  std::shared_ptr<Job> NextJob() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Claims a few images of `job` and loads them with the mutex released.
  void LoadBlock(Job& job, Scratch& scratch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ImageSource* const source_;
  const LoaderOptions options_;
  mutable Mutex mutex_;
  CondVar work_;  // Work was added, or the loader is stopping.
  CondVar done_;  // A batch is complete.
  // In the order of Submit; the front is next.
  std::deque<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::vector<uint8_t>> spare_ ABSL_GUARDED_BY(mutex_);
  double seconds_waited_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> workers_;
  absl::Status started_;  // Whether all threads could be started.
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_LOADER_H_
