// Checkpoints of a model in HDF5, by layer name, readable by h5py and h5dump.
//
//   const std::vector<CheckpointSection> sections = {
//       {"net", [&](StateVisitor& v) { net->State(v); }},
//       {"optimizer", [&](StateVisitor& v) { optimizer->State(v); }},
//       {"trainer", [&](StateVisitor& v) { v.Integer("step", &step); }}};
//   PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, path, sections, backend));
//   PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(fs, path, sections, backend));  // The same bits.
//
// The file has a group for each section, and in it a dataset for each array, in groups by the
// slashes of its name (/net/conv_1/kernel; little-endian, row-major, shape as in memory); numbers
// are attributes of the section's group (int64 or double). It begins with an HDF5 user block of 512
// bytes: a line of text with the version of the format and a checksum of all that follows. Equal
// states make equal files. The HDF5 image is made in memory and written through the File seam: to a
// temporary file, which is synced and renamed.
//
// Not thread-safe: HDF5 is used from one thread at a time.
#ifndef PROTOPAGE_MODEL_CHECKPOINT_H_
#define PROTOPAGE_MODEL_CHECKPOINT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/model/backend.h"
#include "protopage/model/state.h"

namespace protopage {

struct CheckpointSection {
  std::string name;
  StateFunction state;
};

// Replaces the file atomically. Errors: those of the file system, with the path; AlreadyExists (two
// pieces of state with one name).
absl::Status SaveCheckpoint(FileSystem* fs, const std::string& path,
                            const std::vector<CheckpointSection>& sections, Backend* backend);

// Fills all state of `sections`. Every piece must be in the file with its shape and type, and those
// sections of the file must hold nothing else; its other sections are ignored. Errors name the file
// and the piece: NotFound (no file), DataLoss (damaged), InvalidArgument (not a checkpoint of
// ours), FailedPrecondition (a newer format; missing, unexpected or mismatching names). After an
// error the state is unspecified.
absl::Status LoadCheckpoint(FileSystem* fs, const std::string& path,
                            const std::vector<CheckpointSection>& sections, Backend* backend);

// For fine-tuning.
struct LoadByNameOptions {
  // Prefixes of names that may be missing or mismatch ("embedding/"); matching pieces are loaded.
  std::vector<std::string> optional_prefixes;
};
struct LoadByNameResult {
  std::vector<std::string> loaded;
  // Names of optional_prefixes that are missing in the file, or have another shape.
  std::vector<std::string> skipped;
  std::vector<std::string> unused;  // In the file only.
};
// Fills the state of one section from the pieces of the file with the same names; the file may hold
// more. Errors: as LoadCheckpoint; all missing and mismatching names are listed in one message, and
// nothing is changed.
absl::StatusOr<LoadByNameResult> LoadByName(FileSystem* fs, const std::string& path,
                                            const CheckpointSection& section,
                                            const LoadByNameOptions& options, Backend* backend);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CHECKPOINT_H_
