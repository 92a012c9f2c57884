#include "protopage/trainer/session/embedder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/loader.h"

namespace protopage {
namespace {

absl::Status CheckFinite(const ImageSource& source, absl::Span<const int64_t> records,
                         const RowMatrixXf& features) {
  if (features.allFinite()) return absl::OkStatus();
  for (int64_t i = 0; i < features.rows(); ++i) {
    if (features.row(i).allFinite()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the embedding of ", source.RecordName(records[i]),
                     " is not finite: the net has diverged, or its input is scaled wrongly"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Embedder::Run(const ImageSource& source, absl::Span<const int64_t> records,
                           Sink sink) {
  const ImageShape& shape = net_->image();
  LoaderOptions loader_options;
  loader_options.height = static_cast<int>(shape.height);
  loader_options.width = static_cast<int>(shape.width);
  loader_options.channels = static_cast<int>(shape.channels);
  loader_options.threads = options_.loader_threads;
  Loader loader(&source, loader_options);
  const int64_t total = static_cast<int64_t>(records.size());
  const auto piece = [&](int64_t first) {
    return records.subspan(first, std::min(options_.batch_size, total - first));
  };
  int64_t submitted = 0;
  RowMatrixXf features;
  for (int64_t first = 0; first < total; first += options_.batch_size) {
    if (options_.check_stop) PROTOPAGE_RETURN_IF_ERROR(options_.check_stop());
    // The next batches are read while one is embedded.
    while (submitted < total && loader.pending() < loader_options.max_batches) {
      const absl::Span<const int64_t> next = piece(submitted);
      loader.Submit(submitted / options_.batch_size, {next.begin(), next.end()});
      submitted += static_cast<int64_t>(next.size());
    }
    PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader.Next());
    PROTOPAGE_ASSIGN_OR_RETURN(
        const Tensor images, images_.Get(backend_, DType::kUint8,
                                         {batch.size, shape.height, shape.width, shape.channels}));
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(batch.pixels.data(), images));
    loader.Recycle(std::move(batch));
    Tensor output;
    PROTOPAGE_RETURN_IF_ERROR(net_->Forward(images, {.training = false}, &output));
    features.resize(output.shape()[0], output.shape()[1]);
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToHost(output, features.data()));
    PROTOPAGE_RETURN_IF_ERROR(CheckFinite(source, piece(first), features));
    PROTOPAGE_RETURN_IF_ERROR(sink(piece(first), features));
  }
  return absl::OkStatus();
}

absl::StatusOr<EmbeddedImages> Embedder::RunAll(const ImageSource& source,
                                                absl::Span<const int64_t> records) {
  EmbeddedImages all;
  all.features.resize(records.size(), net_->embedding_dim());
  int64_t row = 0;
  PROTOPAGE_RETURN_IF_ERROR(
      Run(source, records, [&](absl::Span<const int64_t> piece, ConstRowMatrixRef features) {
        all.features.middleRows(row, features.rows()) = features;
        row += features.rows();
        for (const int64_t record : piece) {
          all.labels.push_back(source.Label(record));
          all.domains.push_back(source.Domain(record));
        }
        return absl::OkStatus();
      }));
  return all;
}

std::vector<int64_t> AllRecords(const ImageSource& source) {
  std::vector<int64_t> records(source.size());
  std::iota(records.begin(), records.end(), 0);
  return records;
}

}  // namespace protopage
