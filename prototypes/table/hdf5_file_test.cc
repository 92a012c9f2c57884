#include "protopage/prototypes/table/hdf5_file.h"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/hdf5_file_test_", getpid(), "_", name);
}

Hdf5Layout Example() {
  Hdf5Layout layout;
  layout.integers = {{"dim", 512}, {"seed", -3}};
  layout.texts = {{"kind", "example"}, {"dtype", ""}};
  layout.datasets = {{"wide", CellType::kFloat32, {1000000000, 512}},
                     {"bytes", CellType::kUint8, {7}},
                     {"steps", CellType::kInt64, {1000}},
                     {"words", CellType::kUint64, {5, 2}},
                     {"ids", CellType::kInt32, {3, 4}},
                     {"halves", CellType::kFloat16, {9, 3}}};
  return layout;
}

TEST(Hdf5FileTest, TheExampleOfTheHeader) {
  const std::string path = TempPath("example");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(path, OpenMode::kCreate));
  const std::string text(512 * 4, 'x');
  const char* const row = text.data();
  const int64_t row_bytes = 512 * 4, id = 999999;
  const auto example = [&]() -> absl::Status {
    Hdf5Layout layout;
    layout.integers["dim"] = 512;
    layout.datasets.push_back({"prototypes", CellType::kFloat32, {1000000, 512}});
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file.get(), path, &layout));
    const int64_t begin = layout.datasets[0].offset;
    PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(begin + id * row_bytes, row, row_bytes));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout read, ReadHdf5Layout(file.get(), path));
  std::string last(row_bytes, 0);
  PROTOPAGE_ASSERT_OK(file->ReadAt(read.datasets[0].offset + id * row_bytes, &last[0], row_bytes));
  EXPECT_EQ(last, text);
}

TEST(Hdf5FileTest, WhatWasCreatedIsRead) {
  const std::string path = TempPath("round_trip");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(path, OpenMode::kCreate));
  Hdf5Layout layout = Example();
  PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout read, ReadHdf5Layout(file.get(), path));
  EXPECT_EQ(read.integers, layout.integers);
  EXPECT_EQ(read.texts, layout.texts);
  ASSERT_EQ(read.datasets.size(), layout.datasets.size());
  for (const Hdf5Dataset& want : layout.datasets) {
    const Hdf5Dataset* dataset = read.Find(want.name);
    ASSERT_NE(dataset, nullptr) << want.name;
    EXPECT_EQ(dataset->type, want.type) << want.name;
    EXPECT_EQ(dataset->dims, want.dims) << want.name;
    EXPECT_EQ(dataset->offset, want.offset) << want.name;
    EXPECT_GT(dataset->offset, 0) << want.name;
  }
  EXPECT_EQ(read.Find("wide")->offset % 4096, 0);
  // 2 TB of rows that were never written take no room, and read as zeros.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ByteRange data,
                                 file->NextData(read.Find("wide")->offset + 4096));
  EXPECT_GT(data.begin, int64_t{2048} * 1000 * 1000 * 1000);
  char byte = 1;
  PROTOPAGE_ASSERT_OK(file->ReadAt(read.Find("wide")->offset + (int64_t{1000} << 30), &byte, 1));
  EXPECT_EQ(byte, 0);
}

TEST(Hdf5FileTest, AFlippedBitOfTheSkeletonIsFound) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("flipped");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kCreate));
  Hdf5Layout layout = Example();
  layout.datasets[0].dims = {3, 512};
  PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  int64_t found = 0;
  for (int64_t at = 0; at < size; ++at) {
    bool data = false;
    for (const Hdf5Dataset& dataset : layout.datasets) {
      data |= at >= dataset.offset && at < dataset.offset + dataset.bytes();
    }
    // Without its magic it is no seal, and a file without a seal is not damaged.
    if (data || (at >= size - 32 && at < size - 24)) continue;
    char byte;
    PROTOPAGE_ASSERT_OK(file->ReadAt(at, &byte, 1));
    const char flipped = static_cast<char>(byte ^ 1 << at % 8);
    PROTOPAGE_ASSERT_OK(file->WriteAt(at, &flipped, 1));
    ASSERT_THAT(ReadHdf5Layout(file.get(), path),
                StatusIs(absl::StatusCode::kDataLoss, "does not match its checksum"))
        << "byte " << at;
    PROTOPAGE_ASSERT_OK(file->WriteAt(at, &byte, 1));
    ++found;
  }
  EXPECT_GT(found, 3000);
  // As an earlier program wrote it.
  PROTOPAGE_ASSERT_OK(file->WriteAt(size - 32, "\0", 1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout read, ReadHdf5Layout(file.get(), path));
  EXPECT_EQ(read.integers, layout.integers);
}

TEST(Hdf5FileTest, AnAttributeChangesInPlaceWhateverFails) {
  FaultyFileSystem fs;
  const std::string path = TempPath("attribute");
  Hdf5Layout layout = Example();
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open(path, OpenMode::kCreate));
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
    PROTOPAGE_ASSERT_OK(SetHdf5Integer(file.get(), path, "dim", 513));
    EXPECT_THAT(SetHdf5Integer(file.get(), path, "dimension", 1),
                StatusIs(absl::StatusCode::kNotFound, "'dimension' is missing"));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout read, ReadHdf5Layout(file.get(), path));
    EXPECT_EQ(read.integers.at("dim"), 513);
    EXPECT_EQ(read.integers.at("seed"), -3);
    EXPECT_EQ(read.Find("wide")->offset, layout.Find("wide")->offset);
    // Sealed again.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size_again, file->Size());
    EXPECT_EQ(size_again, size);
    PROTOPAGE_ASSERT_OK(file->WriteAt(100, "x", 1));
    EXPECT_THAT(ReadHdf5Layout(file.get(), path), StatusIs(absl::StatusCode::kDataLoss, path));
    PROTOPAGE_ASSERT_OK(fs.Remove(path));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open(path, OpenMode::kCreate));
  PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  // The call-th call fails: the old value or the new one is there.
  int64_t value = 512, failed = 0;
  for (int64_t call = 1;; ++call) {
    fs.FailAt(call);
    const absl::Status status = SetHdf5Integer(file.get(), path, "dim", value + 1);
    fs.FailAt(0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout read, ReadHdf5Layout(file.get(), path));
    EXPECT_GE(read.integers.at("dim"), value) << call;
    EXPECT_LE(read.integers.at("dim"), value + 1) << call;
    value = read.integers.at("dim");
    if (status.ok()) break;
    ++failed;
  }
  EXPECT_GT(failed, 5);
}

TEST(Hdf5FileTest, ForeignAndTruncatedFilesAreDataLoss) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("damaged");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, "no HDF5 file at all"));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kRead));
    EXPECT_THAT(ReadHdf5Layout(file.get(), path), StatusIs(absl::StatusCode::kDataLoss, path));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kCreate));
  EXPECT_THAT(ReadHdf5Layout(file.get(), path), StatusIs(absl::StatusCode::kDataLoss, path));
  Hdf5Layout layout = Example();
  PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  int64_t end = 0;
  for (const Hdf5Dataset& dataset : layout.datasets) {
    end = std::max(end, dataset.offset + dataset.bytes());
  }
  for (const int64_t cut : {end - 1, size / 2, int64_t{3000}, int64_t{100}, int64_t{0}}) {
    PROTOPAGE_ASSERT_OK(file->Truncate(cut));
    EXPECT_THAT(ReadHdf5Layout(file.get(), path), StatusIs(absl::StatusCode::kDataLoss, path));
  }
}

TEST(Hdf5FileTest, WhenThePowerGoesInCreateThereIsAWholeFileOrNone) {
  const std::string path = "/whole.h5";
  constexpr int64_t kWriteEvery = 1;
  Hdf5Layout example = Example();
  example.datasets = {{"rows", CellType::kFloat32, {10, 4}}, {"steps", CellType::kInt64, {10}}};
  int whole = 0, none = 0;
  for (int64_t event = 1;; ++event) {
    bool created = false;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      CrashFileSystem fs;
      fs.CrashAt(event, kWriteEvery);
      {
        auto file = fs.Open(path, OpenMode::kCreate);
        PROTOPAGE_ASSERT_OK(file);
        if (!fs.SyncDirectory("/").ok()) continue;
        Hdf5Layout layout = example;
        created = CreateHdf5Layout(file->get(), path, &layout).ok() && (*file)->Sync().ok();
        if (created) break;
      }
      fs.Restart(CrashFileSystem::kMix, seed);
      const auto file = fs.Open(path, OpenMode::kRead);
      if (!file.ok()) continue;
      const auto layout = ReadHdf5Layout(file->get(), path);
      if (layout.ok()) {
        ++whole;
        EXPECT_EQ(layout->integers, example.integers) << event << ", " << seed;
        EXPECT_EQ(layout->datasets.size(), example.datasets.size()) << event << ", " << seed;
      } else {
        ++none;
        EXPECT_THAT(layout, StatusIs(absl::StatusCode::kDataLoss, path)) << event << ", " << seed;
      }
    }
    if (created) break;
  }
  EXPECT_GT(whole, 0);
  EXPECT_GT(none, 0);
}

TEST(Hdf5FileTest, AFailureOfTheFileIsReportedAsItIs) {
  FaultyFileSystem fs;
  const std::string path = TempPath("faults");
  int failures = 0;
  for (int64_t call = 1;; ++call) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs.Open(path, OpenMode::kCreate));
    Hdf5Layout layout = Example();
    fs.FailAt(call);
    absl::Status status = CreateHdf5Layout(file.get(), path, &layout);
    if (status.ok()) status = ReadHdf5Layout(file.get(), path).status();
    fs.FailAt(0);
    if (status.ok()) break;
    ++failures;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
  }
  EXPECT_GT(failures, 3);
}

// HDF5's own calls, as those of another program.
TEST(Hdf5FileTest, LinksToDataElsewhereAreRefused) {
  const std::string path = TempPath("links"), target = TempPath("links_target");
  Hdf5Layout layout = Example();
  for (const std::string& created : {path, target}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(created, OpenMode::kCreate));
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), created, &layout));
  }
  for (const bool external : {true, false}) {
    {
      const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
      ASSERT_TRUE(file.ok());
      ASSERT_GE(H5Ldelete(file, "steps", H5P_DEFAULT), 0);
      ASSERT_GE(external ? H5Lcreate_external(target.c_str(), "/steps", file, "steps", H5P_DEFAULT,
                                              H5P_DEFAULT)
                         : H5Lcreate_soft("/ids", file, "steps", H5P_DEFAULT, H5P_DEFAULT),
                0);
    }
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kRead));
    EXPECT_THAT(ReadHdf5Layout(file.get(), path),
                StatusIs(absl::StatusCode::kDataLoss, "'steps' is a link to data elsewhere"));
  }
}

TEST(Hdf5FileTest, AFileOfVersion2WithoutItsSealIsDamaged) {
  const std::string path = TempPath("unsealed");
  for (const int64_t version : {1, 2}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kCreate));
    Hdf5Layout layout = Example();
    layout.integers["format_version"] = version;
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
    PROTOPAGE_EXPECT_OK(ReadHdf5Layout(file.get(), path));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
    PROTOPAGE_ASSERT_OK(file->Truncate(size - 32));
    if (version == 1) {
      PROTOPAGE_EXPECT_OK(ReadHdf5Layout(file.get(), path));
    } else {
      EXPECT_THAT(ReadHdf5Layout(file.get(), path),
                  StatusIs(absl::StatusCode::kDataLoss, "format version 2 without its seal"));
      // HDF5, which may crash on damaged bytes, is not asked.
      PROTOPAGE_ASSERT_OK(file->WriteAt(13, "damage", 6));
      EXPECT_THAT(ReadHdf5Layout(file.get(), path),
                  StatusIs(absl::StatusCode::kDataLoss, "format version 2 without its seal"));
    }
  }
}

TEST(Hdf5FileTest, AByteThatIsMissingOrTooManyInADatasetIsFound) {
  const std::string path = TempPath("shifted");
  Hdf5Layout layout;
  layout.datasets = {{"bytes", CellType::kUint8, {7}}};
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kCreate));
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadFile(DefaultFileSystem(), path));
  std::string missing = whole, more = whole;
  missing.erase(layout.datasets[0].offset, 1);
  more.insert(layout.datasets[0].offset, 1, 'x');
  for (const std::string& bytes : {missing, more}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(DefaultFileSystem(), path, bytes));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kRead));
    EXPECT_THAT(ReadHdf5Layout(file.get(), path), StatusIs(absl::StatusCode::kDataLoss, ""));
  }
}

// A damaged type of an attribute in a file without a seal: HDF5 reads some value of it.
TEST(Hdf5FileTest, AnAttributeOfAnotherTypeIsNoneOfOurs) {
  const std::string path = TempPath("types");
  {
    const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                          H5Fclose);
    const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Hdf5Handle shifted(H5Tcopy(H5T_STD_I64LE), H5Tclose);
    ASSERT_GE(H5Tset_precision(shifted, 56), 0);
    ASSERT_GE(H5Tset_offset(shifted, 8), 0);
    const int64_t value = 7;
    const Hdf5Handle odd(H5Acreate2(file, "odd", shifted, space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
    ASSERT_GE(H5Awrite(odd, H5T_NATIVE_INT64, &value), 0);
    const Hdf5Handle good(H5Acreate2(file, "good", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT),
                          H5Aclose);
    ASSERT_GE(H5Awrite(good, H5T_NATIVE_INT64, &value), 0);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, DefaultFileSystem()->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  EXPECT_EQ(layout.integers, (std::map<std::string, int64_t>{{"good", 7}}));
}

TEST(Hdf5FileTest, CreatedDatasetsHaveTheirContent) {
  const std::string path = TempPath("content");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                 DefaultFileSystem()->Open(path, OpenMode::kCreate));
  Hdf5Layout layout;
  layout.datasets.push_back({"words", CellType::kUint64, {2}, 0, "abcdefgh"});
  PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  char read[16];
  PROTOPAGE_ASSERT_OK(file->ReadAt(layout.datasets[0].offset, read, sizeof(read)));
  EXPECT_EQ(std::string(read, sizeof(read)), std::string("abcdefgh\0\0\0\0\0\0\0\0", 16));
}

}  // namespace
}  // namespace protopage
