// Loader: reads, decodes, scales and augments batches of images on its own
// threads, ahead of the step that needs them.
//
//   LoaderOptions options;
//   options.height = options.width = 32;
//   options.augment = AugmentFor(config);
//   options.seed = 1;
//   Loader loader(source.get(), options);
//   loader.Submit(0, {5, 17, 3});                        // Records of step 0.
//   loader.Submit(1, {8, 2, 4});
//   PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader.Next());   // Step 0: uint8 [3,
//   32, 32, 3].
//   ... backend->CopyToDevice(batch.pixels.data(), images) ...
//   loader.Recycle(std::move(batch));                    // Its memory serves a
//   later batch.
//
// What a batch holds is a function of (source, records, step, options but for
// threads and max_batches): image i is augmented by RandomStream(seed,
// kAugment, step, i).
#ifndef PROTOPAGE_DATA_LOADER_H_
#define PROTOPAGE_DATA_LOADER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/data/augment.h"
#include "protopage/data/image_source.h"

namespace protopage {

struct LoaderOptions {
  // All images are brought to this shape.
  int height = 32;
  int width = 32;
  int channels = 3;
  AugmentConfig augment = AugmentConfig::None();
  uint64_t seed = 0;
  int threads = 1;
  // Batches that are being filled or wait for Next(). Submit() may run further
  // ahead; that costs its record numbers only.
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
  // Stops after the images at work; batches not fetched are dropped.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const LoaderOptions& options() const { return options_; }

  // Queues the batch of `step`. Never blocks. Record numbers must be in [0,
  // source.size()).
  void Submit(int64_t step, std::vector<int64_t> records);

  // The next batch in the order of Submit; waits until it is complete. Errors:
  // the error of the batch's first image that failed, which names its file, and
  // the loader goes on with the batches behind it; FailedPrecondition when
  // nothing was submitted.
  absl::StatusOr<ImageBatch> Next();
  // Whether Next would return a batch at once. Not while another thread is in Next.
  bool ready() const;

  // Hands a batch's memory back.
  void Recycle(ImageBatch batch);

  // Batches submitted and not yet fetched.
  int64_t pending() const;
  // The time all calls of Next() have spent waiting.
  double seconds_waited() const;

 private:
  struct Job;

  void WorkerLoop();

  const ImageSource* const source_;
  const LoaderOptions options_;
  mutable std::mutex mutex_;  // Guards what follows.
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<std::shared_ptr<Job>> jobs_;  // In the order of Submit; front is next.
  std::vector<std::vector<uint8_t>> spare_;
  double seconds_waited_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_LOADER_H_
