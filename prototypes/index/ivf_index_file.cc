#include "protopage/prototypes/index/ivf_index_file.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/index_common.h"
#include "protopage/prototypes/index/ivf_plan.h"
#include "xxhash.h"

namespace protopage {
namespace {

// Pieces of the file that have a checksum each.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

int64_t NumPieces(const Hdf5Dataset& dataset) { return DivideUp(dataset.bytes(), kPieceBytes); }

// A dataset of the file, and its content in memory.
struct Part {
  Hdf5Dataset dataset;
  const void* data;
};

// The datasets that have checksums, in the order of these.
std::vector<Part> PartsOf(const IvfData& data) {
  const CoarseLists& coarse = data.coarse;
  const int64_t code_bytes = data.codec->code_bytes();
  std::vector<Part> parts;
  parts.push_back(
      {{"groups", CellType::kFloat32, {coarse.num_groups(), data.dim}}, coarse.groups().data()});
  parts.push_back(
      {{"group_begin", CellType::kInt64, {coarse.num_groups() + 1}}, coarse.group_begin().data()});
  parts.push_back({{"centroids", CellType::kFloat32, {coarse.num_lists(), data.dim}},
                   coarse.centroids().data()});
  if (data.kind == kIvfPq) {
    parts.push_back({{"codebook", CellType::kFloat32, {code_bytes, data.dim / code_bytes, 256}},
                     data.codec->codebook().data()});
  }
  parts.push_back({{"list_of", CellType::kInt32, {data.num_classes}}, data.list_of.data()});
  parts.push_back({{"quality", CellType::kUint8, {data.num_classes, 2}}, data.quality.data()});
  parts.push_back({{"codes", CellType::kUint8, {data.num_classes, code_bytes}}, data.codes.data()});
  return parts;
}

class Reader {
 public:
  Reader(File* file, const std::string& path, const Hdf5Layout& layout)
      : file_(file), path_(path), layout_(layout) {}

  absl::StatusOr<IvfData> Read(const ClassIndexOptions& options) {
    PROTOPAGE_RETURN_IF_ERROR(FindDatasets());
    PROTOPAGE_RETURN_IF_ERROR(CheckShapes());
    const int64_t bytes =
        IvfBytes(data_.num_classes, data_.dim, centroids_->dims[0], code_bytes_, IsPq());
    if (bytes > options.index_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path_, ": the index takes ", bytes, " bytes, index_bytes allows ",
                       options.index_bytes, "; raise prototypes.index_bytes"));
    }
    PROTOPAGE_RETURN_IF_ERROR(ReadContent());
    const int64_t probes = options.probes > 0 ? options.probes : layout_.integers.at("probes");
    data_.probes = std::clamp<int64_t>(probes, 1, data_.coarse.num_lists());
    data_.recall = static_cast<double>(layout_.integers.at("recall_ppm")) * 1e-6;
    data_.recall_k = layout_.integers.at("recall_k");
    return std::move(data_);
  }

 private:
  bool IsPq() const { return data_.kind == kIvfPq; }

  absl::Status Damaged(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(path_, ": ", what));
  }

  // Null when there is none of this type and number of dimensions.
  const Hdf5Dataset* Find(const char* name, CellType type, size_t dims) const {
    const Hdf5Dataset* dataset = layout_.Find(name);
    const bool good = dataset != nullptr && dataset->type == type && dataset->dims.size() == dims;
    return good ? dataset : nullptr;
  }

  // Attributes and datasets are there.
  absl::Status FindDatasets() {
    PROTOPAGE_ASSIGN_OR_RETURN(const IndexShape shape, ReadIndexShape(path_, layout_));
    data_.num_classes = shape.num_classes;
    data_.dim = shape.dim;
    data_.kind = layout_.texts.at("index");
    for (const char* name : {"probes", "recall_ppm", "recall_k"}) {
      if (layout_.integers.count(name) == 0) {
        return Damaged(absl::StrCat("attribute '", name, "' is missing"));
      }
    }
    groups_ = Find("groups", CellType::kFloat32, 2);
    group_begin_ = Find("group_begin", CellType::kInt64, 1);
    centroids_ = Find("centroids", CellType::kFloat32, 2);
    codebook_ = Find("codebook", CellType::kFloat32, 3);
    list_of_ = Find("list_of", CellType::kInt32, 1);
    quality_ = Find("quality", CellType::kUint8, 2);
    codes_ = Find("codes", CellType::kUint8, 2);
    checksums_ = Find("checksums", CellType::kUint64, 1);
    std::vector<const Hdf5Dataset*> parts = {groups_,  group_begin_, centroids_,
                                             list_of_, quality_,     codes_};
    if (IsPq()) parts.push_back(codebook_);
    num_pieces_ = 0;
    for (const Hdf5Dataset* part : parts) {
      if (part == nullptr) return Damaged("a dataset of the index is missing or of another type");
      num_pieces_ += NumPieces(*part);
    }
    return absl::OkStatus();
  }

  // The shapes of the datasets fit the attributes and each other.
  absl::Status CheckShapes() {
    const int64_t n = data_.num_classes, dim = data_.dim;
    code_bytes_ = codes_->dims[1];
    bool good = checksums_ != nullptr && checksums_->dims[0] == num_pieces_ &&
                groups_->dims[1] == dim && centroids_->dims[1] == dim && list_of_->dims[0] == n &&
                quality_->dims == std::vector<int64_t>{n, 2} && codes_->dims[0] == n &&
                code_bytes_ >= 1;
    if (good && IsPq()) {
      good = dim % code_bytes_ == 0 &&
             codebook_->dims == std::vector<int64_t>{code_bytes_, dim / code_bytes_, 256};
    } else if (good) {
      good = code_bytes_ == dim + 4;
    }
    if (good) return absl::OkStatus();
    return Damaged("the shapes of the index's datasets are not what the attributes say");
  }

  // In the order of the checksums.
  absl::Status ReadContent() {
    stored_checksums_.resize(num_pieces_);
    PROTOPAGE_RETURN_IF_ERROR(
        file_->ReadAt(checksums_->offset, stored_checksums_.data(), checksums_->bytes()));
    PROTOPAGE_RETURN_IF_ERROR(ReadCoarseLists());
    PROTOPAGE_RETURN_IF_ERROR(ReadCodec());
    return ReadClasses();
  }

  absl::Status ReadCoarseLists() {
    RowMatrixXf groups(groups_->dims[0], data_.dim), centroids(centroids_->dims[0], data_.dim);
    std::vector<int64_t> group_begin(group_begin_->dims[0]);
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*groups_, groups.data()));
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*group_begin_, group_begin.data()));
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*centroids_, centroids.data()));
    absl::StatusOr<CoarseLists> coarse =
        CoarseLists::FromParts(std::move(groups), std::move(group_begin), std::move(centroids));
    if (!coarse.ok()) return Damaged(coarse.status().message());
    data_.coarse = *std::move(coarse);
    return absl::OkStatus();
  }

  absl::Status ReadCodec() {
    if (!IsPq()) {
      data_.codec = RowCodec::MakeSq8(data_.dim);
      return absl::OkStatus();
    }
    std::vector<float> codebook(data_.dim * 256);
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*codebook_, codebook.data()));
    data_.codec = RowCodec::MakePq(data_.dim, code_bytes_, std::move(codebook));
    return absl::OkStatus();
  }

  absl::Status ReadClasses() {
    data_.ResizeClasses();
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*list_of_, data_.list_of.data()));
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*quality_, data_.quality.data()));
    PROTOPAGE_RETURN_IF_ERROR(ReadDataset(*codes_, data_.codes.data()));
    for (int64_t id = 0; id < data_.num_classes; ++id) {
      const int32_t list = data_.list_of[id];
      if (list < 0 || list >= data_.coarse.num_lists()) {
        return Damaged(
            absl::StrCat("class ", id, " is in list ", list, " of ", data_.coarse.num_lists()));
      }
    }
    data_.FillLists();
    return absl::OkStatus();
  }

  // Reads a dataset whole and compares its pieces with the next checksums.
  absl::Status ReadDataset(const Hdf5Dataset& dataset, void* data) {
    for (int64_t at = 0; at < dataset.bytes(); at += kPieceBytes, ++next_piece_) {
      const int64_t count = std::min(kPieceBytes, dataset.bytes() - at);
      char* const to = static_cast<char*>(data) + at;
      PROTOPAGE_RETURN_IF_ERROR(file_->ReadAt(dataset.offset + at, to, count));
      if (XXH3_64bits(to, count) != stored_checksums_[next_piece_]) {
        return Damaged(absl::StrCat("dataset '", dataset.name, "' from byte ", at,
                                    " on does not match its checksum: the file is damaged"));
      }
    }
    return absl::OkStatus();
  }

  File* const file_;
  const std::string& path_;
  const Hdf5Layout& layout_;
  IvfData data_;

  const Hdf5Dataset* groups_ = nullptr;
  const Hdf5Dataset* group_begin_ = nullptr;
  const Hdf5Dataset* centroids_ = nullptr;
  const Hdf5Dataset* codebook_ = nullptr;  // Of ivf_pq only.
  const Hdf5Dataset* list_of_ = nullptr;
  const Hdf5Dataset* quality_ = nullptr;
  const Hdf5Dataset* codes_ = nullptr;
  const Hdf5Dataset* checksums_ = nullptr;
  int64_t code_bytes_ = 0;
  int64_t num_pieces_ = 0;
  std::vector<uint64_t> stored_checksums_;
  size_t next_piece_ = 0;
};

// Into the empty `file`; `path` is for messages.
absl::Status Write(const IvfData& data, File* file, const std::string& path) {
  const std::vector<Part> parts = PartsOf(data);
  int64_t pieces = 0;
  Hdf5Layout layout;
  layout.integers["format_version"] = kIndexFormatVersion;
  layout.integers["num_classes"] = data.num_classes;
  layout.integers["dim"] = data.dim;
  layout.integers["probes"] = data.probes;
  layout.integers["recall_ppm"] = std::lround(data.recall * 1e6);
  layout.integers["recall_k"] = data.recall_k;
  layout.texts["kind"] = kIndexFileKind;
  layout.texts["index"] = data.kind;
  for (const Part& part : parts) {
    layout.datasets.push_back(part.dataset);
    pieces += NumPieces(part.dataset);
  }
  layout.datasets.push_back({"checksums", CellType::kUint64, {pieces}});
  PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file, path, &layout));
  std::vector<uint64_t> checksums;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Hdf5Dataset& dataset = layout.datasets[i];
    const auto* bytes = static_cast<const char*>(parts[i].data);
    for (int64_t at = 0; at < dataset.bytes(); at += kPieceBytes) {
      const int64_t count = std::min(kPieceBytes, dataset.bytes() - at);
      checksums.push_back(XXH3_64bits(bytes + at, count));
      PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(dataset.offset + at, bytes + at, count));
    }
  }
  return file->WriteAt(layout.datasets.back().offset, checksums.data(), pieces * 8);
}

}  // namespace

absl::Status SaveIvfData(const IvfData& data, FileSystem* file_system, const std::string& path) {
  return ReplaceFile(file_system, path, [&](File* file, const std::string& temporary) {
    return Write(data, file, temporary);
  });
}

absl::StatusOr<IvfData> ReadIvfData(File* file, const std::string& path, const Hdf5Layout& layout,
                                    const ClassIndexOptions& options) {
  return Reader(file, path, layout).Read(options);
}

}  // namespace protopage
