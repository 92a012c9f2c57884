#include "trainer/imprint.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/class_images.h"

namespace protopage {

absl::StatusOr<ImprintStats> Imprint(Embedder& embedder, const ImageSource& source,
                                     const ImprintOptions& options, PrototypeStore& store) {
  const int64_t num_classes = source.num_classes();
  if (num_classes > store.num_classes()) {
    return absl::InvalidArgumentError(absl::StrCat(source.Description(), " has ", num_classes,
                                                   " classes, the prototype table ",
                                                   store.num_classes()));
  }
  const ClassImages images(source, options.domain);
  ImprintStats stats;
  for (ClassId first = 0; first < num_classes; first += options.block_rows) {
    const int64_t count = std::min(options.block_rows, num_classes - first);
    RowMatrixXf block(count, store.dim());
    RETURN_IF_ERROR(store.ReadRange(first, block));  // Classes without images keep their rows.
    std::vector<int64_t> records;
    for (ClassId c = first; c < first + count; ++c) {
      for (int64_t i = 0; i < images.Count(c); ++i) records.push_back(images.Record(c, i));
    }
    // Records come class after class, so one sum is open at a time.
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(store.dim());
    ClassId open = kNoClass;
    const auto close = [&] {
      const double norm = sum.norm();
      if (open != kNoClass && norm > 0) {
        block.row(open - first) = (sum / norm).cast<float>();
        ++stats.classes;
      }
      sum.setZero();
    };
    RETURN_IF_ERROR(embedder.Run(
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
    RETURN_IF_ERROR(store.WriteRange(first, block));
  }
  stats.imageless = num_classes - stats.classes;
  return stats;
}

}  // namespace protopage
