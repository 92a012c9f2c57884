#include "protopage/trainer/verbs/export.h"

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/run/run_prototypes.h"
#include "protopage/trainer/verbs/embedding_writer.h"
#include "protopage/trainer/verbs/output_path.h"

namespace protopage {
namespace {

absl::Status WriteNpy(PrototypeStore& store, FileSystem* fs, const std::string& path,
                      const ExportOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto writer, EmbeddingWriter::CreateNpy(fs, path, store.dim()));
  RowMatrixXf rows;
  for (ClassId first = 0; first < store.num_classes(); first += options.block_rows) {
    if (options.progress) options.progress(first, store.num_classes());
    rows.resize(std::min(options.block_rows, store.num_classes() - first), store.dim());
    PROTOPAGE_RETURN_IF_ERROR(store.ReadRange(first, rows));
    PROTOPAGE_RETURN_IF_ERROR(writer->Append(rows, {}, {}));
  }
  return writer->Finish();
}

}  // namespace

absl::StatusOr<ExportFormat> ChooseExportFormat(absl::string_view name, absl::string_view path) {
  if (name == "npy") return ExportFormat::kNpy;
  if (name == "hdf5") return ExportFormat::kHdf5;
  const bool by_ending = name.empty();
  if (by_ending && absl::EndsWith(path, ".npy")) return ExportFormat::kNpy;
  if (by_ending && (absl::EndsWith(path, ".h5") || absl::EndsWith(path, ".hdf5"))) {
    return ExportFormat::kHdf5;
  }
  if (name == "onnx" || (by_ending && absl::EndsWith(path, ".onnx"))) {
    return absl::InvalidArgumentError(
        "--format: onnx is not there yet; the formats are npy and hdf5");
  }
  if (by_ending) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--output: ", path, ": expected a name that ends in .npy, .h5 or .hdf5, or --format"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--format: found \"", name, "\", expected npy or hdf5"));
}

absl::StatusOr<ExportStats> ExportPrototypes(FileSystem* fs, const std::string& directory,
                                             const std::string& path, ExportFormat format,
                                             const ExportOptions& options, ThreadPool* pool) {
  PROTOPAGE_RETURN_IF_ERROR(WithContext(CheckOutput(fs, path), "--output"));
  ExportStats stats;
  PROTOPAGE_RETURN_IF_ERROR(ReadRunPrototypes(
      fs, directory, options.checkpoint, pool, [&](const RunPrototypes& run) -> absl::Status {
        PrototypeStore& store = run.set->store();
        stats = {run.checkpoint, store.num_classes(), store.dim()};
        return format == ExportFormat::kNpy ? WriteNpy(store, fs, path, options)
                                            : store.SaveCopy(path);
      }));
  return stats;
}

}  // namespace protopage
