#include "protopage/prototypes/index/class_index_factory.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/flat_index.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/ivf_index.h"
#include "protopage/prototypes/index/ivf_plan.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

// The limits of "auto". A flat search of 256 queries at D = 512 takes about a quarter of a second
// at 65536 classes; below 1024 classes there is nothing to gain from lists.
constexpr int64_t kLargestFlat = 65536;
constexpr int64_t kSmallestIvf = 1024;

}  // namespace

absl::StatusOr<ClassIndexPlan> PlanClassIndex(int64_t num_classes, int64_t dim,
                                              const ClassIndexOptions& options) {
  if (num_classes < 1 || dim < 1) {
    return absl::InvalidArgumentError(absl::StrCat("an index of ", num_classes, " classes of dim ",
                                                   dim, "; both must be at least 1"));
  }
  const bool must_be_flat =
      options.kind == kFlat || (options.kind == "auto" && num_classes < kSmallestIvf);
  if (must_be_flat) return PlanFlatIndex(num_classes, dim, options);
  if (options.kind == "auto" && num_classes <= kLargestFlat) {
    absl::StatusOr<ClassIndexPlan> flat = PlanFlatIndex(num_classes, dim, options);
    if (flat.ok()) return flat;
  }
  return PlanIvfIndex(num_classes, dim, options);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildClassIndex(int64_t num_classes, int64_t dim,
                                                            const ClassIndexOptions& options,
                                                            ThreadPool* pool,
                                                            RowBlockReader reader) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassIndexPlan plan, PlanClassIndex(num_classes, dim, options));
  if (plan.kind == kFlat) return BuildFlatIndex(num_classes, dim, options, pool, reader);
  return BuildIvfIndex(num_classes, dim, plan, options, pool, reader);
}

absl::StatusOr<std::unique_ptr<ClassIndex>> LoadClassIndex(FileSystem* file_system,
                                                           const std::string& path,
                                                           const ClassIndexOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                             file_system->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  if (layout.texts["kind"] != kIndexFileKind) {
    return absl::DataLossError(absl::StrCat(path, ": kind is '", layout.texts["kind"],
                                            "', expected '", kIndexFileKind, "'"));
  }
  const std::string& kind = layout.texts["index"];
  if (layout.integers["format_version"] > kIndexFormatVersion ||
      (kind != kFlat && kind != kIvfSq8 && kind != kIvfPq)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": format version ", layout.integers["format_version"], " of index '", kind,
        "'; this program reads 'flat', 'ivf_sq8' and 'ivf_pq' up to ", kIndexFormatVersion));
  }
  if (kind == kFlat) return LoadFlatIndex(file.get(), path, layout, options);
  return LoadIvfIndex(file.get(), path, layout, options);
}

}  // namespace protopage
