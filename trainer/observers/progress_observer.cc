#include "protopage/trainer/observers/progress_observer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/logging.h"
#include "protopage/eval/text_table.h"

namespace protopage {
namespace {

// The time constant after which the pace forgets.
constexpr double kPaceSeconds = 30;

double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "source 1/4": stages are counted from 1 for people.
std::string StageName(const StageReport& stage) {
  return absl::StrCat(stage.stage, " ", stage.stage_index + 1, "/", stage.num_stages);
}

// Rates in three figures: 0.98, 12.3, 1,240.
std::string FormatRate(double rate) {
  if (rate >= 100) return FormatCount(std::llround(rate));
  return absl::StrFormat("%.3g", rate);
}

// A share as a percentage; one decimal below 10 %, where the bar of 5 % lies.
std::string FormatShare(double share) {
  const double percent = 100 * share;
  return share < 0.0995 ? absl::StrFormat("%.1f%%", percent) : absl::StrFormat("%.0f%%", percent);
}

bool IsLastStep(const StepReport& report) {
  return report.stage_steps > 0 && report.stage_step >= report.stage_steps;
}

// The shares of the interval that were spent waiting.
void AppendWaits(const StepReport& report, std::string& line) {
  if (!(report.seconds > 0) || std::isnan(report.wait_images_seconds)) return;
  absl::StrAppend(&line, "  waiting: images ",
                  FormatShare(report.wait_images_seconds / report.seconds));
  if (!std::isnan(report.wait_rows_seconds)) {
    absl::StrAppend(&line, ", rows ", FormatShare(report.wait_rows_seconds / report.seconds),
                    ", plan ", FormatShare(report.wait_plan_seconds / report.seconds));
  }
}

// The rows of prototypes and their index.
void AppendRows(const StepReport& report, std::string& line) {
  if (!std::isnan(report.cache_hit_rate) && report.seconds > 0) {
    absl::StrAppend(&line,
                    "  rows: ", FormatRate(static_cast<double>(report.rows_paged) / report.seconds),
                    "/s read, ", FormatShare(report.cache_hit_rate), " cached, log ",
                    FormatBytes(report.log_bytes));
  }
  if (!std::isnan(report.index_recall)) {
    absl::StrAppendFormat(&line, "  index: recall %.3f", report.index_recall);
    if (!std::isnan(report.queue_age_steps)) {
      absl::StrAppend(&line, ", lists ", FormatRate(report.queue_age_steps), " steps old");
    }
  }
}

}  // namespace

ProgressOptions::ProgressOptions()
    : is_terminal(StderrIsTerminal()),
      clock(MonotonicSeconds),
      draw(DrawProgress),
      log(LogInfo),
      warn(LogWarning) {}

ProgressObserver::ProgressObserver(ProgressOptions options) : options_(std::move(options)) {}

absl::Status ProgressObserver::OnMessage(const MessageReport& report) {
  ClearProgress();
  (report.level == LogLevel::kInfo ? options_.log : options_.warn)(report.text);
  return absl::OkStatus();
}

absl::Status ProgressObserver::OnProgress(const ProgressReport& report) {
  if (!options_.is_terminal) return absl::OkStatus();
  options_.draw(absl::StrCat(report.work, " ", report.done, "/", report.total, " ", report.unit));
  progress_drawn_ = true;
  return absl::OkStatus();
}

void ProgressObserver::ClearProgress() {
  if (progress_drawn_) options_.draw("");
  progress_drawn_ = false;
}

absl::Status ProgressObserver::OnStageStart(const StageReport& report) {
  stage_ = report;
  drawn_in_stage_ = false;
  last_report_time_ = options_.clock();
  last_report_step_ = report.stage_step;
  seconds_per_step_ = kUnknown;
  std::string text = absl::StrCat("stage ", StageName(report));
  if (!report.kind.empty() && report.kind != report.stage) {
    absl::StrAppend(&text, " (", report.kind, ")");
  }
  if (report.stage_steps > 0) {
    absl::StrAppend(&text, ": ", FormatCount(report.stage_steps), " steps");
    if (report.stage_step > 0) {
      absl::StrAppend(&text, ", going on after step ", FormatCount(report.stage_step));
    }
  }
  options_.log(text);
  return absl::OkStatus();
}

double ProgressObserver::SecondsLeft(const StepReport& report) const {
  if (report.stage_steps <= 0) return kUnknown;
  return seconds_per_step_ * static_cast<double>(report.stage_steps - report.stage_step);
}

void ProgressObserver::UpdatePace(double now, int64_t stage_step) {
  const double elapsed = now - last_report_time_;
  const int64_t steps = stage_step - last_report_step_;
  if (steps > 0 && elapsed > 0) {
    const double pace = elapsed / static_cast<double>(steps);
    const double keep = std::isnan(seconds_per_step_) ? 0 : std::exp(-elapsed / kPaceSeconds);
    seconds_per_step_ = keep == 0 ? pace : keep * seconds_per_step_ + (1 - keep) * pace;
  }
  last_report_time_ = now;
  last_report_step_ = stage_step;
}

std::string ProgressObserver::StepLine(const StepReport& report) const {
  std::string line = absl::StrCat(report.stage, " ", report.stage_index + 1);
  if (stage_.num_stages > report.stage_index) {
    absl::StrAppend(&line, "/", stage_.num_stages);
  }
  absl::StrAppend(&line, "  step ", FormatCount(report.stage_step));
  if (report.stage_steps > 0) {
    absl::StrAppend(&line, "/", FormatCount(report.stage_steps), " (",
                    100 * report.stage_step / report.stage_steps, "%)");
  }
  if (report.epoch > 0) absl::StrAppend(&line, "  epoch ", report.epoch);
  if (!std::isnan(report.loss)) absl::StrAppendFormat(&line, "  loss %.4g", report.loss);
  if (!std::isnan(report.accuracy)) absl::StrAppendFormat(&line, "  acc %.3f", report.accuracy);
  if (!std::isnan(report.images_per_second)) {
    absl::StrAppend(&line, "  ", FormatRate(report.images_per_second), " images/s");
  }
  AppendWaits(report, line);
  AppendRows(report, line);
  if (report.skipped_steps > 0) {
    absl::StrAppend(&line, "  skipped ", FormatCount(report.skipped_steps));
  }
  const double left = SecondsLeft(report);
  if (!IsLastStep(report) && !std::isnan(left)) {
    absl::StrAppend(&line, "  ETA ", FormatDuration(left));
  }
  return line;
}

absl::Status ProgressObserver::OnStep(const StepReport& report) {
  const double now = options_.clock();
  UpdatePace(now, report.stage_step);
  const double interval =
      options_.is_terminal ? options_.terminal_interval_seconds : options_.log_interval_seconds;
  if (drawn_in_stage_ && !IsLastStep(report) && now - last_drawn_ < interval) {
    return absl::OkStatus();
  }
  drawn_in_stage_ = true;
  last_drawn_ = now;
  options_.draw(StepLine(report));
  return absl::OkStatus();
}

absl::Status ProgressObserver::OnEvaluation(const EvaluationReport& report) {
  std::string text = absl::StrCat("evaluation (", report.stage, "):");
  for (const auto& scalar : report.scalars) {
    absl::StrAppendFormat(&text, "  %s %.4g", scalar.first, scalar.second);
  }
  options_.log(text);
  return absl::OkStatus();
}

absl::Status ProgressObserver::OnCheckpoint(const CheckpointReport& report) {
  std::string text =
      absl::StrCat("checkpoint at step ", FormatCount(report.step), ": ", report.path);
  if (!std::isnan(report.seconds)) {
    absl::StrAppendFormat(&text, " (%.2f s)", report.seconds);
  }
  options_.log(text);
  return absl::OkStatus();
}

absl::Status ProgressObserver::OnStageEnd(const StageReport& report) {
  // The last line of steps goes away: the line of the stage's end replaces it.
  ClearProgress();
  if (drawn_in_stage_ && options_.is_terminal) options_.draw("");
  std::string text = absl::StrCat("stage ", StageName(report), " done");
  if (!std::isnan(report.seconds)) {
    absl::StrAppend(&text, " in ", FormatDuration(report.seconds));
  }
  options_.log(text);
  return absl::OkStatus();
}

std::string FormatDuration(double seconds) {
  const int64_t whole = std::llround(std::max(seconds, 0.0));
  if (whole < 60) return absl::StrCat(whole, "s");
  if (whole < 3600) {
    return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  }
  const int64_t minutes = whole / 60;
  if (minutes < 24 * 60) {
    return absl::StrFormat("%dh%02dm", minutes / 60, minutes % 60);
  }
  const int64_t hours = minutes / 60;
  return absl::StrFormat("%dd%02dh", hours / 24, hours % 24);
}

}  // namespace protopage
