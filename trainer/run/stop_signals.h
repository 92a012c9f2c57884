// StopSignals: catches SIGINT, SIGTERM, SIGHUP and SIGXCPU (the limit on CPU time) while it lives,
// so that a run ends between two steps.
//
//   const StopSignals signals;
//   while (!StopSignals::requested()) TrainOneStep();
//
// The first signal sets requested(). When the run does not come to save within a limit, as it waits
// for a long search or for a device that does not answer, the process ends with status 3. A second
// signal ends the process at once. SIGHUP stays ignored where it is, as under nohup. One at a time.
#ifndef PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_
#define PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_

#include <array>

namespace protopage {

class StopSignals {
 public:
  // Schedulers of jobs commonly wait 30 s after SIGTERM before they kill.
  static constexpr int kLimitSeconds = 25;

  // Nothing is requested any more.
  explicit StopSignals(int limit_seconds = kLimitSeconds);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Whether a signal has arrived since the newest StopSignals was made.
  static bool requested();
  // The run is being saved, however long that takes: the limit does not hold from here.
  static void Saving();

 private:
  using Handler = void (*)(int);

  std::array<Handler, 5> old_;  // Of the signals that it catches.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_
