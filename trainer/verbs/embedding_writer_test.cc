#include "protopage/trainer/verbs/embedding_writer.h"

#include <hdf5.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EmbeddingWriterTest : public testing::Test {
 protected:
  EmbeddingWriterTest() {
    directory_ = JoinPath(
        testing::TempDir(),
        absl::StrCat(testing::UnitTest::GetInstance()->current_test_info()->name(), ".", getpid()));
    PROTOPAGE_EXPECT_OK(fs_->CreateDirectories(directory_));
  }

  std::string Path(const std::string& name) { return JoinPath(directory_, name); }
  std::vector<std::string> Files() {
    const auto names = fs_->List(directory_);
    PROTOPAGE_EXPECT_OK(names);
    return names.value_or(std::vector<std::string>());
  }

  // Rows first, first + 1, ... of a table whose element (i, j) is i + j / 10.
  static RowMatrixXf Rows(int64_t first, int64_t count, int64_t dim) {
    RowMatrixXf rows(count, dim);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < dim; ++j) {
        rows(i, j) = static_cast<float>(first + i) + 0.1f * j;
      }
    }
    return rows;
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string directory_;
};

TEST_F(EmbeddingWriterTest, NpyIsByteForByteWhatNumpyWrites) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.npy"), 2));
  PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, 1, 2), {}, {}));
  PROTOPAGE_ASSERT_OK(writer->Append(Rows(1, 0, 2), {}, {}));
  // A block of a wider matrix: its rows lie apart.
  const RowMatrixXf wide = Rows(1, 2, 5);
  PROTOPAGE_ASSERT_OK(writer->Append(wide.leftCols(2), {}, {}));
  EXPECT_EQ(writer->count(), 3);
  PROTOPAGE_ASSERT_OK(writer->Finish());

  // numpy.save of a float32 array of shape (3, 2).
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
  expected += std::string(127 - expected.size(), ' ') + "\n";
  const RowMatrixXf rows = Rows(0, 3, 2);
  expected.append(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs_, Path("a.npy")));
  EXPECT_EQ(content, expected);
  EXPECT_THAT(Files(), ElementsAre("a.npy"));
}

TEST_F(EmbeddingWriterTest, NpyWithoutRowsIsAnEmptyArray) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.npy"), 512));
  PROTOPAGE_ASSERT_OK(writer->Finish());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs_, Path("a.npy")));
  EXPECT_EQ(content.size(), 128);
  EXPECT_THAT(content, testing::HasSubstr("'shape': (0, 512), }"));
}

// A dataset's shape, and its content as `T`.
template <typename T>
std::vector<T> ReadDataset(hid_t file, const char* name, hid_t memory_type,
                           std::vector<hsize_t>* shape) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  EXPECT_GE(dataset, 0) << name;
  if (dataset < 0) return {};
  const hid_t space = H5Dget_space(dataset);
  shape->resize(H5Sget_simple_extent_ndims(space));
  H5Sget_simple_extent_dims(space, shape->data(), nullptr);
  std::vector<T> data(H5Sget_simple_extent_npoints(space));
  EXPECT_GE(H5Dread(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()), 0);
  H5Sclose(space);
  H5Dclose(dataset);
  return data;
}

TEST_F(EmbeddingWriterTest, Hdf5HoldsEmbeddingsLabelsAndNames) {
  const std::vector<int64_t> labels = {7, int64_t{1} << 40, -1};
  const std::vector<std::string> names = {"a.jpg", "\xe5\xad\x97.png", ""};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.h5"), 2));
  PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, 2, 2), {labels.data(), 2}, {names.data(), 2}));
  const RowMatrixXf wide = Rows(2, 1, 5);
  PROTOPAGE_ASSERT_OK(writer->Append(wide.leftCols(2), {&labels[2], 1}, {&names[2], 1}));
  EXPECT_THAT(Files(), ElementsAre(absl::StrCat("a.h5.", getpid(), ".tmp")));
  PROTOPAGE_ASSERT_OK(writer->Finish());
  EXPECT_THAT(Files(), ElementsAre("a.h5"));

  const hid_t file = H5Fopen(Path("a.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  std::vector<hsize_t> shape;
  EXPECT_THAT(ReadDataset<float>(file, "embeddings", H5T_NATIVE_FLOAT, &shape),
              ElementsAre(0, 0.1f, 1, 1.1f, 2, 2.1f));
  EXPECT_THAT(shape, ElementsAre(3, 2));
  EXPECT_EQ(ReadDataset<int64_t>(file, "labels", H5T_NATIVE_INT64, &shape), labels);
  EXPECT_THAT(shape, ElementsAre(3));
  const hid_t text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, H5T_VARIABLE);
  H5Tset_cset(text, H5T_CSET_UTF8);
  std::vector<std::string> read_names;
  for (char* name : ReadDataset<char*>(file, "names", text, &shape)) {
    read_names.emplace_back(name == nullptr ? "" : name);
    H5free_memory(name);
  }
  EXPECT_EQ(read_names, names);
  H5Tclose(text);
  H5Fclose(file);
}

TEST_F(EmbeddingWriterTest, Hdf5HasOnlyWhatIsGiven) {
  for (const int64_t count : {0, 3}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.hdf5"), 4));
    PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, count, 4), {}, {}));
    PROTOPAGE_ASSERT_OK(writer->Finish());
    const hid_t file = H5Fopen(Path("a.hdf5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    ASSERT_GE(file, 0);
    std::vector<hsize_t> shape;
    ReadDataset<float>(file, "embeddings", H5T_NATIVE_FLOAT, &shape);
    EXPECT_THAT(shape, ElementsAre(count, 4));
    EXPECT_EQ(H5Lexists(file, "labels", H5P_DEFAULT), 0);
    EXPECT_EQ(H5Lexists(file, "names", H5P_DEFAULT), 0);
    H5Fclose(file);
  }
}

TEST_F(EmbeddingWriterTest, AFileThatIsNotFinishedLeavesNothing) {
  for (const char* name : {"a.npy", "a.h5"}) {
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path(name), 2));
      PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, 3, 2), {}, {}));
    }
    EXPECT_THAT(Files(), IsEmpty()) << name;
  }
}

TEST_F(EmbeddingWriterTest, AnOlderFileStaysUntilTheNewOneIsFinished) {
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("a.npy"), "old"));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.npy"), 2));
    PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, 3, 2), {}, {}));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(fs_, Path("a.npy")));
  EXPECT_EQ(content, "old");
}

TEST_F(EmbeddingWriterTest, WrongShapesAreRejectedAndEndTheFile) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const std::vector<int64_t> labels = {1, 2};
  const std::vector<std::string> names = {"a"};
  for (const char* name : {"a.npy", "a.h5"}) {
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path(name), 2));
      EXPECT_THAT(writer->Append(Rows(0, 1, 3), {}, {}),
                  StatusIs(invalid, "rows have 3 columns, expected 2"));
      EXPECT_THAT(writer->Append(Rows(0, 1, 2), {}, {}),
                  StatusIs(absl::StatusCode::kFailedPrecondition, name));
      EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, name));
    }
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path(name), 2));
      EXPECT_THAT(writer->Append(Rows(0, 1, 2), labels, {}),
                  StatusIs(invalid, "found 2 labels for 1 rows"));
    }
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path(name), 2));
      EXPECT_THAT(writer->Append(Rows(0, 2, 2), labels, names),
                  StatusIs(invalid, "found 1 names for 2 rows"));
    }
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path(name), 2));
      PROTOPAGE_ASSERT_OK(writer->Append(Rows(0, 2, 2), labels, {}));
      EXPECT_THAT(writer->Append(Rows(0, 2, 2), {}, {}),
                  StatusIs(invalid, "found 0 labels for 2 rows after 2 rows with labels"));
    }
    EXPECT_THAT(Files(), IsEmpty());
  }
}

TEST_F(EmbeddingWriterTest, BadPathsAreNamed) {
  EXPECT_THAT(EmbeddingWriter::Create(fs_, Path("a.csv"), 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "a.csv: expected a name that ends in .npy, .h5"));
  EXPECT_THAT(EmbeddingWriter::Create(fs_, Path("a.npy"), 0),
              StatusIs(absl::StatusCode::kInvalidArgument, "found 0"));
  for (const char* name : {"missing/a.npy", "missing/a.h5"}) {
    EXPECT_THAT(EmbeddingWriter::Create(fs_, Path(name), 2),
                StatusIs(absl::StatusCode::kNotFound, name));
  }
}

TEST_F(EmbeddingWriterTest, AFullDiskIsAnErrorAndLeavesNothing) {
  // Files may grow to 4096 bytes.
  std::signal(SIGXFSZ, SIG_IGN);
  testing::internal::CaptureStderr();
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  for (const char* name : {"a.npy", "a.h5"}) {
    rlimit limit = old;
    limit.rlim_cur = 4096;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    // HDF5 may keep what it writes until the file is closed.
    absl::Status status;
    {
      absl::StatusOr<std::unique_ptr<EmbeddingWriter>> writer =
          EmbeddingWriter::Create(fs_, Path(name), 512);
      status = writer.status();
      if (status.ok()) status = (*writer)->Append(Rows(0, 1000, 512), {}, {});
      if (status.ok()) status = (*writer)->Finish();
    }
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status, StatusIs(status.code(), name));
    EXPECT_THAT(Files(), IsEmpty());
  }
  // HDF5 has nothing left that it failed to write, and would write when the program ends.
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

TEST_F(EmbeddingWriterTest, WhateverCallFailsIsToldAndLeavesNothing) {
  FaultyFileSystem fs;
  const std::vector<int64_t> labels(1000, 3);
  for (const char* name : {"a.npy", "a.h5"}) {
    int failures = 0;
    for (int64_t call = 1;; ++call) {
      const int64_t calls = fs.calls();
      fs.FailAt(call);
      absl::Status status;
      {
        absl::StatusOr<std::unique_ptr<EmbeddingWriter>> writer =
            EmbeddingWriter::Create(&fs, Path(name), 512);
        status = writer.status();
        if (status.ok()) status = (*writer)->Append(Rows(0, 1000, 512), labels, {});
        if (status.ok()) status = (*writer)->Finish();
        fs.FailAt(0);
      }
      if (fs.calls() - calls < call) break;
      if (status.ok()) {
        EXPECT_EQ(call, 1);  // It failed to look for what other writers left.
        continue;
      }
      ++failures;
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
      EXPECT_EQ(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
      // Only the sync of the folder comes after the file has its name.
      for (const std::string& file : Files()) {
        EXPECT_EQ(file, name);
        PROTOPAGE_EXPECT_OK(fs_->Remove(Path(file)));
      }
    }
    EXPECT_GT(failures, 4) << name;
    PROTOPAGE_EXPECT_OK(fs_->Remove(Path(name)));
  }
}

TEST_F(EmbeddingWriterTest, AFinishedFileTakesNoMoreRows) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, EmbeddingWriter::Create(fs_, Path("a.npy"), 2));
  PROTOPAGE_ASSERT_OK(writer->Finish());
  EXPECT_THAT(writer->Append(Rows(0, 1, 2), {}, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "finished"));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, "finished"));
}

}  // namespace
}  // namespace protopage
