// The manifest of a checkpoint, the file DONE of its folder, which is written last. It lists the
// checkpoint's files:
//
//   protopage checkpoint 2
//   run 8899aabbccddeeff
//   number 5202
//   file 81200 0f1e2d3c4b5a6978 model.h5
//   file 2154 8796a5b4c3d2e1f0 state.json
//   file 40960 ~1122334455667788 index.bin
//   xxh3 00112233aabbccdd
//
// The run is the run_id of its config.json. A line has the size of a file in bytes, the XXH3 (64
// bits, no seed) of its bytes and its name; "~" marks a checksum of samples (SampledFileChecksum),
// of files of an index, which may be large and have checksums inside for who reads them. The last
// line has the XXH3 of all lines before it. Checkpoints of format 1 have only their number in DONE,
// and no list. The first programs that wrote this format left out the run, and wrote "-" for
// samples.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(CheckpointManifest manifest, MakeManifest(fs, folder, 5202, run));
//   PROTOPAGE_RETURN_IF_ERROR(WriteManifest(fs, folder, manifest));
//   PROTOPAGE_ASSIGN_OR_RETURN(manifest, ReadManifest(fs, folder));
//   PROTOPAGE_RETURN_IF_ERROR(CheckFiles(fs, folder, manifest, CheckDepth::kAll));
#ifndef PROTOPAGE_TRAINER_RUN_CHECKPOINT_MANIFEST_H_
#define PROTOPAGE_TRAINER_RUN_CHECKPOINT_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"

namespace protopage {

inline constexpr char kManifestFile[] = "DONE";

struct ManifestFile {
  std::string name;
  int64_t bytes = 0;
  std::optional<uint64_t> xxh3;
  bool sampled = false;
};

struct CheckpointManifest {
  int format = 2;
  int64_t number = 0;
  std::string run;                  // "" where DONE names none.
  std::vector<ManifestFile> files;  // Empty in format 1.
};

// The name of a checkpoint's folder: the number in decimal, ten digits or more.
std::string CheckpointName(int64_t number);
// The number of a folder of that name; none for any other name.
std::optional<int64_t> ParseCheckpointName(absl::string_view name);
// Whether a checkpoint may have a file of that name, the temporary files of its making included.
// All others in its folder are somebody else's.
bool IsCheckpointFile(absl::string_view name);

// The manifest of the files that are in the folder now. Errors: those of the file system.
absl::StatusOr<CheckpointManifest> MakeManifest(FileSystem* fs, const std::string& folder,
                                                int64_t number, const std::string& run);
// Writes DONE, durably. Errors: those of the file system.
absl::Status WriteManifest(FileSystem* fs, const std::string& folder,
                           const CheckpointManifest& manifest);
// Errors: NotFound (no DONE: no complete checkpoint), DataLoss (damaged), those of the file system.
absl::StatusOr<CheckpointManifest> ReadManifest(FileSystem* fs, const std::string& folder);

// Which checksums to compare.
enum class CheckDepth {
  kSmall,  // Those of files up to a MiB, and of samples: fast.
  kAll,
};
// Compares the sizes of all files, and checksums. Errors: DataLoss, naming the file.
absl::Status CheckFiles(FileSystem* fs, const std::string& folder,
                        const CheckpointManifest& manifest, CheckDepth depth);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_CHECKPOINT_MANIFEST_H_
