#include "protopage/prototypes/testing/crash_scenario.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/testing/lax_file_system.h"

namespace protopage {
namespace {

absl::Status With(const absl::Status& status, absl::string_view when) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(when, ": ", status.message()));
}

// Works without a failure, and looks at the outcome, also after a loss of all that was not synced.
absl::Status WorkToTheEnd(CrashScenario* scenario, CrashFileSystem* disk, LaxFileSystem* fs) {
  disk->CrashAt(0);
  PROTOPAGE_RETURN_IF_ERROR(With(scenario->Work(fs), "going on"));
  PROTOPAGE_RETURN_IF_ERROR(With(scenario->CheckOutcome(fs), "outcome"));
  disk->Restart(CrashFileSystem::kDropAll, 0);
  PROTOPAGE_RETURN_IF_ERROR(With(scenario->Check(fs), "after the end"));
  return With(scenario->CheckOutcome(fs), "outcome after the end");
}

}  // namespace

absl::Status RunThroughPowerFailures(const MakeCrashScenario& make,
                                     const std::vector<PowerFailure>& failures,
                                     const PowerFailureOptions& options) {
  CrashFileSystem disk;
  int64_t left_out = 0;
  PowerFailure failure;
  // Outlive the scenario, which has files open.
  LaxFileSystem fs(&disk, [&] {
    if (++left_out == failure.left_out) disk.CrashAt(failure.event, options.write_every);
  });
  fs.LeaveOut(options.left_out);
  const std::unique_ptr<CrashScenario> scenario = make();
  PROTOPAGE_RETURN_IF_ERROR(With(scenario->SetUp(&disk), "set-up"));
  const auto note = [&] {
    if (options.calls != nullptr) *options.calls = fs.calls();
    if (options.events != nullptr) *options.events = disk.events();
  };
  for (const PowerFailure& next : failures) {
    failure = next;
    left_out = 0;
    fs.ForgetCalls();
    disk.CrashAt(failure.left_out == 0 ? failure.event : 0, options.write_every);
    const absl::Status status = scenario->Work(&fs);
    note();
    if (disk.crashed() && status.ok()) return absl::InternalError("work without power succeeded");
    if (!disk.crashed()) PROTOPAGE_RETURN_IF_ERROR(With(status, "work"));
    disk.Restart(failure.loss, failure.seed);
    PROTOPAGE_RETURN_IF_ERROR(With(scenario->Check(&fs), "after the failure"));
  }
  failure = {};
  disk.CrashAt(0, options.write_every);
  if (failures.empty()) {
    PROTOPAGE_RETURN_IF_ERROR(With(scenario->Work(&fs), "work"));
    note();
  }
  return WorkToTheEnd(scenario.get(), &disk, &fs);
}

absl::Status RunThroughFailedSync(const MakeCrashScenario& make, int64_t sync, bool* came,
                                  const PowerFailureOptions& options) {
  CrashFileSystem disk;
  LaxFileSystem fs(&disk);
  fs.LeaveOut(options.left_out);
  const std::unique_ptr<CrashScenario> scenario = make();
  PROTOPAGE_RETURN_IF_ERROR(With(scenario->SetUp(&disk), "set-up"));
  disk.FailSyncAt(sync);
  const absl::Status status = scenario->Work(&fs);
  *came = disk.sync_failed();
  disk.FailSyncAt(0);
  if (!status.ok() && !(*came && absl::StrContains(status.message(), "injected failure"))) {
    return With(status, "work");
  }
  if (!status.ok()) PROTOPAGE_RETURN_IF_ERROR(With(scenario->Check(&fs), "after the failed sync"));
  return WorkToTheEnd(scenario.get(), &disk, &fs);
}

}  // namespace protopage
