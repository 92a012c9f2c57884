#include "protopage/trainer/stages/imprint.h"

#include <algorithm>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/class_images.h"

namespace protopage {

namespace {

// Called with a block of rows of classes from `first` on, and whether each was imprinted. Rows that
// were not are zeros.
using BlockCall = absl::FunctionRef<absl::Status(ClassId first, const std::vector<bool>& imprinted,
                                                 RowMatrixRef block)>;

absl::StatusOr<ImprintStats> ImprintBlocks(Embedder& embedder, const ImageSource& source,
                                           const ImprintOptions& options, int64_t dim,
                                           absl::FunctionRef<bool(ClassId)> is_left_out,
                                           BlockCall end) {
  const int64_t num_classes = source.num_classes();
  const ClassImages images(source, options.domain);
  ImprintStats stats;
  int64_t left_out = 0;
  for (ClassId first = 0; first < num_classes; first += options.block_rows) {
    const int64_t count = std::min(options.block_rows, num_classes - first);
    RowMatrixXf block = RowMatrixXf::Zero(count, dim);
    std::vector<bool> imprinted(count);
    std::vector<int64_t> records;
    for (ClassId c = first; c < first + count; ++c) {
      if (is_left_out(c)) {
        ++left_out;
        continue;
      }
      for (int64_t i = 0; i < images.Count(c); ++i) records.push_back(images.Record(c, i));
    }
    // Records are ordered by class, so one sum suffices.
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(dim);
    ClassId open = kNoClass;
    const auto close = [&] {
      const double norm = sum.norm();
      if (open != kNoClass && norm > 0) {
        block.row(open - first) = (sum / norm).cast<float>();
        imprinted[open - first] = true;
        ++stats.classes;
      }
      sum.setZero();
    };
    PROTOPAGE_RETURN_IF_ERROR(embedder.Run(
        source, records, [&](absl::Span<const int64_t> piece, ConstRowMatrixRef features) {
          for (size_t i = 0; i < piece.size(); ++i) {
            const ClassId label = source.Label(piece[i]);
            if (label != open) {
              close();
              open = label;
            }
            const Eigen::RowVectorXd feature = features.row(i).cast<double>();
            const double norm = feature.norm();
            if (norm > 0) sum += feature / norm;
          }
          stats.images += static_cast<int64_t>(piece.size());
          if (options.progress) options.progress(stats.images, images.size());
          return absl::OkStatus();
        }));
    close();
    PROTOPAGE_RETURN_IF_ERROR(end(first, imprinted, block));
  }
  stats.imageless = num_classes - left_out - stats.classes;
  return stats;
}

}  // namespace

absl::StatusOr<ImprintStats> Imprint(Embedder& embedder, const ImageSource& source,
                                     const ImprintOptions& options, PrototypeStore& store) {
  if (source.num_classes() > store.num_classes()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.Description(), " has ", source.num_classes(),
                     " classes, the prototype table ", store.num_classes()));
  }
  return ImprintBlocks(
      embedder, source, options, store.dim(), [&](ClassId id) { return store.is_dropped(id); },
      // Classes without images keep their rows, and those that were never written stay so.
      [&](ClassId first, const std::vector<bool>& imprinted, RowMatrixRef block) {
        const auto count = static_cast<int64_t>(imprinted.size());
        for (int64_t begin = 0, end = 0; begin < count; begin = end) {
          while (end < count && imprinted[end] == imprinted[begin]) ++end;
          if (!imprinted[begin]) continue;
          PROTOPAGE_RETURN_IF_ERROR(
              store.WriteRange(first + begin, block.middleRows(begin, end - begin)));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<ImprintStats> AppendImprinted(Embedder& embedder, const ImageSource& source,
                                             const ImprintOptions& options, PrototypeStore& store) {
  return ImprintBlocks(
      embedder, source, options, store.dim(), [](ClassId) { return false; },
      [&](ClassId first, const std::vector<bool>& imprinted, RowMatrixRef block) -> absl::Status {
        for (int64_t i = 0; i < block.rows(); ++i) {
          if (imprinted[i]) continue;
          return absl::InvalidArgumentError(
              absl::StrCat(source.Description(), ": class ", source.ClassName(first + i),
                           " has no image, or none with features that are not zero"));
        }
        return store.AppendRows(block);
      });
}

}  // namespace protopage
