#include "protopage/trainer/verbs/embedding_writer.h"

#include <hdf5.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/hdf5_connection.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// An array file of numpy, version 1.0: magic, version, the length of the header
// as two bytes, the header (a Python literal padded by spaces to a multiple of
// 64, with a newline), the rows. The number of rows is known last, so the
// header has a fixed size, which holds the largest shape (two numbers of 19
// digits), and is written last.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
constexpr int64_t kNpyHeaderBytes = 128;

std::string NpyHeader(int64_t rows, int64_t dim) {
  std::string header("\x93NUMPY\x01\x00", 8);
  const int64_t length = kNpyHeaderBytes - 10;
  header += static_cast<char>(length & 0xff);
  header += static_cast<char>(length >> 8);
  absl::StrAppendFormat(&header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }",
                        rows, dim);
  header.resize(kNpyHeaderBytes - 1, ' ');
  return header + "\n";
}

class NpyWriter : public EmbeddingWriter {
 public:
  NpyWriter(FileSystem* fs, const std::string& path, int64_t dim)
      : EmbeddingWriter(fs, path, dim) {}

 private:
  absl::Status Open() override {
    PROTOPAGE_ASSIGN_OR_RETURN(file_, OpenTemporaryFile());
    return absl::OkStatus();
  }

  absl::Status Write(ConstRowMatrixRef rows, absl::Span<const int64_t>,
                     absl::Span<const std::string>) override {
    // A row is contiguous, but rows may lie apart (a block of a wider matrix).
    const int64_t row_bytes = dim() * static_cast<int64_t>(sizeof(float));
    std::vector<WritePiece> pieces;
    pieces.reserve(rows.rows());
    for (int64_t i = 0; i < rows.rows(); ++i) {
      pieces.push_back({kNpyHeaderBytes + (count() + i) * row_bytes,
                        rows.data() + i * rows.outerStride(), row_bytes});
    }
    return file_->WritePieces(pieces);
  }

  absl::Status Close() override {
    const std::string header = NpyHeader(count(), dim());
    PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(0, header.data(), kNpyHeaderBytes));
    PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
    file_.reset();
    return absl::OkStatus();
  }

  std::unique_ptr<File> file_;
};

// Chunks of about this many bytes: few enough for one index, small enough to
// read a part.
constexpr int64_t kChunkBytes = 128 << 10;

class Hdf5Writer : public EmbeddingWriter {
 public:
  Hdf5Writer(FileSystem* fs, const std::string& path, int64_t dim)
      : EmbeddingWriter(fs, path, dim) {}

 private:
  absl::Status Open() override {
    PROTOPAGE_ASSIGN_OR_RETURN(disk_file_, OpenTemporaryFile());
    const QuietHdf5Errors quiet;
    connection_ = std::make_unique<Hdf5Connection>(disk_file_.get());
    file_ = Hdf5Handle(
        H5Fcreate(temporary_path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, connection_->fapl()),
        H5Fclose);
    if (!file_.ok() || !connection_->ok()) return Failed("create the file");
    string_type_ = Hdf5Handle(H5Tcopy(H5T_C_S1), H5Tclose);
    if (!string_type_.ok() || H5Tset_size(string_type_, H5T_VARIABLE) < 0 ||
        H5Tset_cset(string_type_, H5T_CSET_UTF8) < 0) {
      return Failed("make the type of names");
    }
    return absl::OkStatus();
  }

  absl::Status Write(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                     absl::Span<const std::string> names) override {
    const QuietHdf5Errors quiet;
    if (count() == 0) {
      PROTOPAGE_RETURN_IF_ERROR(CreateDataset("embeddings", H5T_IEEE_F32LE, dim(), &embeddings_));
      if (!labels.empty()) {
        PROTOPAGE_RETURN_IF_ERROR(CreateDataset("labels", H5T_STD_I64LE, 0, &labels_));
      }
      if (!names.empty()) {
        PROTOPAGE_RETURN_IF_ERROR(CreateDataset("names", string_type_, 0, &names_));
      }
    }
    const int64_t size = rows.rows();
    // HDF5 takes contiguous memory; rows may lie apart.
    RowMatrixXf packed;
    const bool contiguous = rows.outerStride() == dim();
    if (!contiguous) packed = rows;
    PROTOPAGE_RETURN_IF_ERROR(AppendTo(embeddings_, "embeddings", H5T_NATIVE_FLOAT, dim(), size,
                                       contiguous ? rows.data() : packed.data()));
    if (!labels.empty()) {
      PROTOPAGE_RETURN_IF_ERROR(
          AppendTo(labels_, "labels", H5T_NATIVE_INT64, 0, size, labels.data()));
    }
    if (!names.empty()) {
      std::vector<const char*> texts;
      texts.reserve(names.size());
      for (const std::string& name : names) texts.push_back(name.c_str());
      PROTOPAGE_RETURN_IF_ERROR(AppendTo(names_, "names", string_type_, 0, size, texts.data()));
    }
    return absl::OkStatus();
  }

  absl::Status Close() override {
    const QuietHdf5Errors quiet;
    if (count() == 0) {  // [0, D].
      PROTOPAGE_RETURN_IF_ERROR(CreateDataset("embeddings", H5T_IEEE_F32LE, dim(), &embeddings_));
    }
    bool closed = true;
    for (Hdf5Handle* id : {&embeddings_, &labels_, &names_, &string_type_, &file_}) {
      closed &= id->Close();
    }
    if (!closed || !connection_->ok()) return Failed("close the file");
    PROTOPAGE_RETURN_IF_ERROR(disk_file_->Sync());
    connection_.reset();
    disk_file_.reset();  // Others may lock it.
    return absl::OkStatus();
  }

  absl::Status Failed(absl::string_view what) const {
    return connection_->Failure(absl::StatusCode::kUnavailable, path(),
                                absl::StrCat("HDF5 could not ", what));
  }

  // An empty dataset [0, width], or [0] when width is 0, that grows by rows.
  absl::Status CreateDataset(const char* name, hid_t type, int64_t width, Hdf5Handle* dataset) {
    const int rank = width > 0 ? 2 : 1;
    const auto columns = static_cast<hsize_t>(width);
    const int64_t row_bytes = width > 0 ? width * static_cast<int64_t>(sizeof(float)) : 16;
    const hsize_t size[2] = {0, columns};
    const hsize_t max_size[2] = {H5S_UNLIMITED, columns};
    const hsize_t chunk[2] = {static_cast<hsize_t>(std::max<int64_t>(1, kChunkBytes / row_bytes)),
                              columns};
    const Hdf5Handle space(H5Screate_simple(rank, size, max_size), H5Sclose);
    const Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (!space.ok() || !properties.ok() || H5Pset_chunk(properties, rank, chunk) < 0) {
      return Failed(absl::StrCat("describe dataset ", name));
    }
    *dataset = Hdf5Handle(
        H5Dcreate2(file_, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
    if (!dataset->ok() || !connection_->ok()) return Failed(absl::StrCat("create dataset ", name));
    return absl::OkStatus();
  }

  // Writes rows [count(), count() + size).
  absl::Status AppendTo(const Hdf5Handle& dataset, const char* name, hid_t memory_type,
                        int64_t width, int64_t size, const void* data) {
    const int rank = width > 0 ? 2 : 1;
    const auto columns = static_cast<hsize_t>(width);
    const hsize_t new_size[2] = {static_cast<hsize_t>(count() + size), columns};
    const hsize_t start[2] = {static_cast<hsize_t>(count()), 0};
    const hsize_t block[2] = {static_cast<hsize_t>(size), columns};
    const bool grown = H5Dset_extent(dataset, new_size) >= 0;
    const Hdf5Handle file_space(H5Dget_space(dataset), H5Sclose);
    const Hdf5Handle memory_space(H5Screate_simple(rank, block, nullptr), H5Sclose);
    if (!grown || !file_space.ok() || !memory_space.ok() ||
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, nullptr, block, nullptr) < 0 ||
        H5Dwrite(dataset, memory_type, memory_space, file_space, H5P_DEFAULT, data) < 0 ||
        !connection_->ok()) {
      return Failed(absl::StrCat("write ", size, " rows of dataset ", name, " at row ", count()));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<File> disk_file_;
  std::unique_ptr<Hdf5Connection> connection_;
  Hdf5Handle file_, string_type_, embeddings_, labels_, names_;  // Closed first.
};

}  // namespace

EmbeddingWriter::EmbeddingWriter(FileSystem* fs, const std::string& path, int64_t dim)
    : fs_(fs), path_(fs->FollowLinks(path)), dim_(dim) {}

EmbeddingWriter::~EmbeddingWriter() {
  // Nothing depends on it: a later writer of this path removes it.
  if (state_ != State::kFinished && !temporary_path_.empty()) {
    fs_->Remove(temporary_path_).IgnoreError();
  }
}

absl::StatusOr<std::unique_ptr<EmbeddingWriter>> EmbeddingWriter::Create(FileSystem* fs,
                                                                         const std::string& path,
                                                                         int64_t dim) {
  if (dim < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": embeddings have at least one dimension, found ", dim));
  }
  std::unique_ptr<EmbeddingWriter> writer;
  if (absl::EndsWith(path, ".npy")) return CreateNpy(fs, path, dim);
  if (absl::EndsWith(path, ".h5") || absl::EndsWith(path, ".hdf5")) {
    writer = std::make_unique<Hdf5Writer>(fs, path, dim);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a name that ends in .npy, .h5 or .hdf5"));
  }
  PROTOPAGE_RETURN_IF_ERROR(writer->Open());
  return writer;
}

absl::StatusOr<std::unique_ptr<EmbeddingWriter>> EmbeddingWriter::CreateNpy(FileSystem* fs,
                                                                            const std::string& path,
                                                                            int64_t dim) {
  std::unique_ptr<EmbeddingWriter> writer = std::make_unique<NpyWriter>(fs, path, dim);
  PROTOPAGE_RETURN_IF_ERROR(writer->Open());
  return writer;
}

absl::StatusOr<std::unique_ptr<File>> EmbeddingWriter::OpenTemporaryFile() {
  std::string temporary;
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, OpenTemporary(fs_, path_, &temporary));
  temporary_path_ = temporary;
  return file;
}

absl::Status EmbeddingWriter::CheckUsable() const {
  switch (state_) {
    case State::kOpen:
      return absl::OkStatus();
    case State::kFailed:
      return absl::FailedPreconditionError(absl::StrCat(path_, ": writing it failed before"));
    case State::kFinished:
      break;
  }
  return absl::FailedPreconditionError(absl::StrCat(path_, ": is finished"));
}

absl::Status EmbeddingWriter::CheckRows(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                                        absl::Span<const std::string> names) const {
  if (rows.cols() != dim_) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": rows have ", rows.cols(), " columns, expected ", dim_));
  }
  const auto size = static_cast<size_t>(rows.rows());
  // What the first rows have, all must have.
  const auto right = [&](size_t found, bool wanted) {
    if (count_ > 0) return found == (wanted ? size : 0);
    return found == 0 || found == size;
  };
  if (!right(labels.size(), has_labels_)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": found ", labels.size(), " labels for ",
                                                   size, " rows after ", count_, " rows with",
                                                   has_labels_ ? "" : "out", " labels"));
  }
  if (!right(names.size(), has_names_)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": found ", names.size(), " names for ",
                                                   size, " rows after ", count_, " rows with",
                                                   has_names_ ? "" : "out", " names"));
  }
  return absl::OkStatus();
}

absl::Status EmbeddingWriter::Append(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                                     absl::Span<const std::string> names) {
  PROTOPAGE_RETURN_IF_ERROR(CheckUsable());
  state_ = State::kFailed;
  PROTOPAGE_RETURN_IF_ERROR(CheckRows(rows, labels, names));
  if (rows.rows() > 0) {
    PROTOPAGE_RETURN_IF_ERROR(Write(rows, labels, names));
    has_labels_ = !labels.empty();
    has_names_ = !names.empty();
    count_ += rows.rows();
  }
  state_ = State::kOpen;
  return absl::OkStatus();
}

absl::Status EmbeddingWriter::Finish() {
  PROTOPAGE_RETURN_IF_ERROR(CheckUsable());
  state_ = State::kFailed;
  PROTOPAGE_RETURN_IF_ERROR(Close());
  PROTOPAGE_RETURN_IF_ERROR(fs_->Rename(temporary_path_, path_));
  state_ = State::kFinished;
  return fs_->SyncDirectory(DirectoryOf(path_));
}

}  // namespace protopage
