// StopSignals: catches SIGINT and SIGTERM while it lives, so that a run ends between two steps.
//
//   const StopSignals signals;
//   while (!StopSignals::requested()) TrainOneStep();
//
// The first signal sets requested(); the second one ends the process. One at a time.
#ifndef PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_
#define PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_

namespace protopage {

class StopSignals {
 public:
  StopSignals();  // Nothing is requested any more.
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Whether a signal has arrived since the newest StopSignals was made.
  static bool requested();

 private:
  void (*old_interrupt_)(int);
  void (*old_terminate_)(int);
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_STOP_SIGNALS_H_
