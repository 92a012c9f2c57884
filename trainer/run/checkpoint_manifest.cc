#include "protopage/trainer/run/checkpoint_manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protopage/base/file_checksum.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr absl::string_view kFirstLine = "protopage checkpoint 2";
constexpr absl::string_view kFiles[] = {"index-changes.bin", "index.bin",  "model.h5",
                                        "prototypes.json",   "state.json", kManifestFile};
constexpr int64_t kSmallBytes = int64_t{1} << 20;

bool IsSampled(absl::string_view name) { return absl::StartsWith(name, "index"); }

std::string Hex(uint64_t checksum) { return absl::StrFormat("%016x", checksum); }

absl::StatusOr<int64_t> FileBytes(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  return file->Size();
}

// All lines, each with its newline.
std::string Format(const CheckpointManifest& manifest) {
  std::string text = absl::StrCat(kFirstLine, "\n");
  if (!manifest.run.empty()) absl::StrAppend(&text, "run ", manifest.run, "\n");
  absl::StrAppend(&text, "number ", manifest.number, "\n");
  for (const ManifestFile& file : manifest.files) {
    const std::string checksum = file.xxh3.has_value() ? Hex(*file.xxh3) : "-";
    absl::StrAppend(&text, "file ", file.bytes, " ", file.sampled ? "~" : "", checksum, " ",
                    file.name, "\n");
  }
  absl::StrAppend(&text, "xxh3 ", Hex(XXH3_64bits(text.data(), text.size())), "\n");
  return text;
}

// None when it is malformed.
std::optional<CheckpointManifest> Parse(absl::string_view text) {
  CheckpointManifest manifest;
  absl::string_view rest = text;
  if (!absl::ConsumeSuffix(&rest, "\n")) return std::nullopt;
  if (absl::SimpleAtoi(rest, &manifest.number)) {
    manifest.format = 1;
    if (manifest.number < 0 || absl::StrCat(manifest.number, "\n") != text) return std::nullopt;
    return manifest;
  }
  const std::vector<absl::string_view> lines = absl::StrSplit(rest, '\n');
  for (const absl::string_view line : lines) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words[0] == "run" && words.size() == 2) {
      manifest.run = std::string(words[1]);
    } else if (words[0] == "number" && words.size() == 2) {
      if (!absl::SimpleAtoi(words[1], &manifest.number)) return std::nullopt;
    } else if (words[0] == "file" && words.size() == 4) {
      ManifestFile file;
      file.name = std::string(words[3]);
      uint64_t xxh3 = 0;
      absl::string_view checksum = words[2];
      file.sampled = absl::ConsumePrefix(&checksum, "~");
      if (!absl::SimpleAtoi(words[1], &file.bytes)) return std::nullopt;
      if (absl::SimpleHexAtoi(checksum, &xxh3)) file.xxh3 = xxh3;
      manifest.files.push_back(std::move(file));
    }
  }
  // Every byte is what this program would have written, the checksum included.
  if (Format(manifest) != text) return std::nullopt;
  return manifest;
}

absl::StatusOr<uint64_t> ChecksumOf(FileSystem* fs, const std::string& path, bool sampled) {
  return sampled ? SampledFileChecksum(fs, path) : FileChecksum(fs, path);
}

// Compares the size, and with `checksum` the content.
absl::Status CheckFile(FileSystem* fs, const std::string& path, const ManifestFile& file,
                       bool checksum) {
  const absl::StatusOr<int64_t> bytes = FileBytes(fs, path);
  if (absl::IsNotFound(bytes.status())) {
    return absl::DataLossError(absl::StrCat(path, " is missing: ", kManifestFile, " lists it"));
  }
  PROTOPAGE_RETURN_IF_ERROR(bytes.status());
  if (*bytes != file.bytes) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: it has ", *bytes, " bytes, and ",
                                            file.bytes, " by ", kManifestFile));
  }
  if (!checksum) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t xxh3, ChecksumOf(fs, path, file.sampled));
  if (xxh3 == *file.xxh3) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path,
                                          " is damaged, or another checkpoint's: it does not ",
                                          "match its checksum in ", kManifestFile));
}

}  // namespace

std::string CheckpointName(int64_t number) { return absl::StrFormat("%010d", number); }

std::optional<int64_t> ParseCheckpointName(absl::string_view name) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(name, &number) || number < 0 || CheckpointName(number) != name) {
    return std::nullopt;
  }
  return number;
}

bool IsCheckpointFile(absl::string_view name) {
  return std::any_of(std::begin(kFiles), std::end(kFiles), [&](absl::string_view file) {
    // Earlier programs left the process out of the names of temporary files.
    return name == file || IsTemporaryName(name, file) || name == absl::StrCat(file, ".tmp");
  });
}

absl::StatusOr<CheckpointManifest> MakeManifest(FileSystem* fs, const std::string& folder,
                                                int64_t number, const std::string& run) {
  CheckpointManifest manifest;
  manifest.number = number;
  manifest.run = run;
  for (const absl::string_view name : kFiles) {
    const std::string path = JoinPath(folder, name);
    if (name == kManifestFile || !fs->Exists(path)) continue;
    ManifestFile file;
    file.name = std::string(name);
    PROTOPAGE_ASSIGN_OR_RETURN(file.bytes, FileBytes(fs, path));
    file.sampled = IsSampled(name);
    PROTOPAGE_ASSIGN_OR_RETURN(file.xxh3, ChecksumOf(fs, path, file.sampled));
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

absl::Status WriteManifest(FileSystem* fs, const std::string& folder,
                           const CheckpointManifest& manifest) {
  return WriteFileAtomically(fs, JoinPath(folder, kManifestFile), Format(manifest));
}

absl::StatusOr<CheckpointManifest> ReadManifest(FileSystem* fs, const std::string& folder) {
  const std::string path = JoinPath(folder, kManifestFile);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path));
  std::optional<CheckpointManifest> manifest = Parse(text);
  if (!manifest.has_value()) {
    return absl::DataLossError(
        absl::StrCat(path, " is damaged: it is no list of files that matches its checksum"));
  }
  return *std::move(manifest);
}

absl::Status CheckFiles(FileSystem* fs, const std::string& folder,
                        const CheckpointManifest& manifest, CheckDepth depth) {
  for (const ManifestFile& file : manifest.files) {
    const std::string path = JoinPath(folder, file.name);
    const bool compared = depth == CheckDepth::kAll || file.sampled || file.bytes <= kSmallBytes;
    PROTOPAGE_RETURN_IF_ERROR(CheckFile(fs, path, file, compared && file.xxh3.has_value()));
  }
  return absl::OkStatus();
}

}  // namespace protopage
