#include "protopage/base/logging.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/mutex.h"

namespace protopage {
namespace {

constexpr char kClearLine[] = "\r\x1b[2K";

// The mutex is held while writing to stderr, so that `drawn` is the end of the output.
struct Console {
  Mutex mutex;
  // The progress line on the terminal; "" when there is none.
  std::string drawn ABSL_GUARDED_BY(mutex);
};

Console& TheConsole() {
  static Console* const console = new Console;
  return *console;
}

void WriteAll(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // There is no other place to report that stderr is gone.
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
  Console& console = TheConsole();
  const MutexLock lock(console.mutex);
  WriteAll(absl::StrCat(console.drawn.empty() ? "" : kClearLine, "protopage: ", tag, message, "\n",
                        console.drawn));
}

void DrawProgress(absl::string_view text) {
  Console& console = TheConsole();
  const MutexLock lock(console.mutex);
  if (StderrIsTerminal()) {
    WriteAll(absl::StrCat(kClearLine, text));
    console.drawn = std::string(text);
  } else if (!text.empty()) {
    WriteAll(absl::StrCat(text, "\n"));
  }
}

}  // namespace protopage
