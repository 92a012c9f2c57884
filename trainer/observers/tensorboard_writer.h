// TensorBoardWriter: scalar curves for TensorBoard, as an event file
// `events.out.tfevents.<seconds>.<host>.<pid>.<n>` in `directory`.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto board, TensorBoardWriter::Create(fs, "run", 0));
//   PROTOPAGE_RETURN_IF_ERROR(board->OnStep({.stage = "source", .step = 100}));
//   // tensorboard --logdir=run
//
// Tags are train/<figure> for steps and the evaluations' own names. A resumed run writes a second
// file, which makes TensorBoard drop the points of the first one after the resume point.
#ifndef PROTOPAGE_TRAINER_OBSERVERS_TENSORBOARD_WRITER_H_
#define PROTOPAGE_TRAINER_OBSERVERS_TENSORBOARD_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/trainer/observers/observer.h"

namespace protopage {

class TensorBoardWriter : public TrainObserver {
 public:
  // `done_steps`: steps of the run that are done already, 0 for a new run. `clock` gives seconds
  // since 1970. Errors: those of FileSystem::Open.
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Create(FileSystem* fs,
                                                                   const std::string& directory,
                                                                   int64_t done_steps);
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Create(FileSystem* fs,
                                                                   const std::string& directory,
                                                                   int64_t done_steps,
                                                                   std::function<double()> clock);

  // Adds one point to the curve of each (tag, value).
  absl::Status AddScalars(int64_t step, absl::Span<const std::pair<std::string, double>> scalars);

  absl::Status OnStep(const StepReport& report) override;
  absl::Status OnEvaluation(const EvaluationReport& report) override;

 private:
  TensorBoardWriter(std::unique_ptr<File> file, std::function<double()> clock)
      : file_(std::move(file)), clock_(std::move(clock)) {}
  // `fields` are the encoded fields of an Event except for its time.
  absl::Status AppendEvent(absl::string_view fields);

  const std::unique_ptr<File> file_;
  const std::function<double()> clock_;
  int64_t size_ = 0;
};

// CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected), as in RFC 3720.
uint32_t Crc32c(absl::string_view data);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_TENSORBOARD_WRITER_H_
