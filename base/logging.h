// Log lines on stderr: "protopage: message", "protopage: warning: message".
// Libraries return a Status and statistics; only programs and observers log.
#ifndef PROTOPAGE_BASE_LOGGING_H_
#define PROTOPAGE_BASE_LOGGING_H_

#include "absl/strings/string_view.h"

namespace protopage {

enum class LogLevel { kInfo, kWarning, kError };

// One line, written by one write(2), so that lines of several threads or processes do not mix. A
// progress line on the terminal is cleared before and drawn again after it.
void Log(LogLevel level, absl::string_view message);
inline void LogInfo(absl::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(absl::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(absl::string_view message) { Log(LogLevel::kError, message); }

// True when stderr was a terminal at the first call.
bool StderrIsTerminal();

// Redraws the progress line on a terminal; elsewhere writes it as a line of its own. An empty text
// clears it. Thread-safe, as is Log.
void DrawProgress(absl::string_view text);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_LOGGING_H_
