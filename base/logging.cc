#include "protopage/base/logging.h"

#include <unistd.h>

#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"

namespace protopage {
namespace {

constexpr char kClearLine[] = "\r\x1b[2K";

std::mutex& Mutex() {
  static std::mutex* mutex = new std::mutex;
  return *mutex;
}

// The text of the progress line on the terminal; guarded by Mutex().
std::string& Drawn() {
  static std::string* drawn = new std::string;
  return *drawn;
}

void WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // Nowhere to say that stderr is gone.
    text.remove_prefix(written);
  }
}

}  // namespace

bool StderrIsTerminal() {
  static const bool is_terminal = isatty(STDERR_FILENO) == 1;
  return is_terminal;
}

void Log(LogLevel level, absl::string_view message) {
  const absl::string_view tag = level == LogLevel::kWarning ? "warning: "
                                : level == LogLevel::kError ? "error: "
                                                            : "";
  const std::lock_guard<std::mutex> lock(Mutex());
  const std::string& drawn = Drawn();
  WriteAll(absl::StrCat(drawn.empty() ? "" : kClearLine, "protopage: ", tag, message, "\n", drawn));
}

void DrawProgress(absl::string_view text) {
  const std::lock_guard<std::mutex> lock(Mutex());
  if (StderrIsTerminal()) {
    WriteAll(absl::StrCat(kClearLine, text));
    Drawn() = std::string(text);
  } else if (!text.empty()) {
    WriteAll(absl::StrCat(text, "\n"));
  }
}

}  // namespace protopage
