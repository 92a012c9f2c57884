// EmbeddingWriter: embeddings [M, D] float32 to a file that other tools read, in blocks of rows,
// never all in memory. The path's ending decides:
//
//   .npy         one array [M, D] (numpy.load); labels and names are left out
//   .h5, .hdf5   datasets `embeddings` [M, D] float32 and, when given, `labels`
//                [M] int64 and `names` [M] UTF-8 strings
//
// Rows are added in blocks [m, D]:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto writer, EmbeddingWriter::Create(fs, "faces.h5", 512));
//   PROTOPAGE_RETURN_IF_ERROR(writer->Append(rows, labels, names));
//   PROTOPAGE_RETURN_IF_ERROR(writer->Finish());
//
// The file is written as PATH.PROCESS.tmp and renamed by Finish: PATH is never half written.
// Without a Finish the temporary file is removed. Used by one thread at a time.
#ifndef PROTOPAGE_TRAINER_VERBS_EMBEDDING_WRITER_H_
#define PROTOPAGE_TRAINER_VERBS_EMBEDDING_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/types.h"

namespace protopage {

class EmbeddingWriter {
 public:
  // Removes the temporary file when there was no Finish.
  virtual ~EmbeddingWriter();
  EmbeddingWriter(const EmbeddingWriter&) = delete;
  EmbeddingWriter& operator=(const EmbeddingWriter&) = delete;

  // Errors: InvalidArgument (an ending that is none of the above, dim < 1), those of
  // FileSystem::Open.
  static absl::StatusOr<std::unique_ptr<EmbeddingWriter>> Create(FileSystem* fs,
                                                                 const std::string& path,
                                                                 int64_t dim);
  // A .npy whatever the ending.
  static absl::StatusOr<std::unique_ptr<EmbeddingWriter>> CreateNpy(FileSystem* fs,
                                                                    const std::string& path,
                                                                    int64_t dim);

  // Adds rows [m, dim]. `labels` and `names` have m elements or none; the first rows decide whether
  // the file has them. Errors: InvalidArgument (shapes), those of the disk, FailedPrecondition
  // after any error or a Finish.
  absl::Status Append(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                      absl::Span<const std::string> names);
  // Completes the file, makes it durable and gives it its name. Errors: as Append.
  absl::Status Finish();

  // Rows so far.
  int64_t count() const { return count_; }

 protected:
  EmbeddingWriter(FileSystem* fs, const std::string& path, int64_t dim);

  // Creates temporary_path() by OpenTemporaryFile.
  virtual absl::Status Open() = 0;
  // Writes rows [count(), count() + m), whose shapes are right; m > 0.
  virtual absl::Status Write(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                             absl::Span<const std::string> names) = 0;
  // Completes and syncs the temporary file.
  virtual absl::Status Close() = 0;

  absl::StatusOr<std::unique_ptr<File>> OpenTemporaryFile();
  FileSystem* fs() const { return fs_; }
  const std::string& path() const { return path_; }
  const std::string& temporary_path() const { return temporary_path_; }
  int64_t dim() const { return dim_; }

 private:
  absl::Status CheckRows(ConstRowMatrixRef rows, absl::Span<const int64_t> labels,
                         absl::Span<const std::string> names) const;
  absl::Status CheckUsable() const;

  enum class State { kOpen, kFailed, kFinished };

  FileSystem* const fs_;
  const std::string path_;
  std::string temporary_path_;  // "" before it was made.
  const int64_t dim_;
  int64_t count_ = 0;
  bool has_labels_ = false;
  bool has_names_ = false;
  State state_ = State::kOpen;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_EMBEDDING_WRITER_H_
