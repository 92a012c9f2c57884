// JSON that carries its own checksum, for files and lines of files that a damaged byte must not
// change silently.
//
//   const std::string text = SealJson(DumpJson(json));
//   PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, path, text));
//   ...
//   PROTOPAGE_ASSIGN_OR_RETURN(json, ParseSealedJson(text, path, SealRule::kRequired));
//
// The seal is the last field of an object:
//
//   {"step":120,"xxh3":"0123456789abcdef"}
//
// 16 lower-case hexadecimal digits, the XXH3 (64 bits, no seed) of all bytes before them. After
// them come the quote, the brace and the newline, on two lines if the text was indented, and
// nothing else. So the text stays strict JSON, and no bit of it can change unnoticed.
#ifndef PROTOPAGE_BASE_SEALED_JSON_H_
#define PROTOPAGE_BASE_SEALED_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

// The key of the seal.
inline constexpr char kSealKey[] = "xxh3";

// `text` with a seal: an object with at least one key, and none called "xxh3", as DumpJson prints
// it, indented or on one line.
std::string SealJson(absl::string_view text);

// What is expected of a text.
enum class SealRule {
  kRequired,
  // Text without a seal is accepted, as earlier versions wrote it. A seal in which one or two
  // characters are damaged still counts as a seal.
  kOptional,
};

// The text without its seal. `source` names it in errors. Errors: DataLoss (the text does not match
// its seal, or has none).
absl::StatusOr<std::string> Unseal(absl::string_view text, absl::string_view source, SealRule rule);

// The object without its seal. Errors: as Unseal; DataLoss (no JSON).
absl::StatusOr<nlohmann::json> ParseSealedJson(absl::string_view text, absl::string_view source,
                                               SealRule rule);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_SEALED_JSON_H_
