#include "protopage/prototypes/table/paged_table.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/table/table_copy.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

std::string TempPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/paged_table_test_", getpid(), "_", name);
}

TableSpec Spec(int64_t rows) {
  TableSpec spec;
  spec.kind = "test";
  spec.num_rows = rows;
  spec.capacity = rows + 3;
  spec.columns = {{"wide", CellType::kFloat32, 40}, {"narrow", CellType::kInt64, 1}};
  spec.raw_datasets = {{"dropped", CellType::kUint8, {spec.capacity}}};
  return spec;
}

absl::StatusOr<std::unique_ptr<PagedTable>> OpenTest(FileSystem* fs, const std::string& path,
                                                     const TableOptions& options) {
  return PagedTable::Open(fs, path, "test", options, [](const Hdf5Layout&) {
    return std::vector<std::string>{"wide", "narrow"};
  });
}

// The record of a row as written for the n-th time.
std::vector<char> Record(const PagedTable& table, int64_t row, int64_t n) {
  std::vector<char> record(table.record_bytes());
  RandomStream random(n, RandomPurpose::kTest, row);
  for (char& c : record) c = static_cast<char>(random.Next());
  return record;
}

absl::Status Write(PagedTable* table, const std::vector<int64_t>& rows, int64_t n) {
  std::vector<std::vector<char>> records;
  std::vector<const char*> pointers;
  for (int64_t row : rows) records.push_back(Record(*table, row, n));
  for (const auto& record : records) pointers.push_back(record.data());
  return table->WriteRows(rows, pointers);
}

absl::StatusOr<std::vector<std::vector<char>>> Read(PagedTable* table,
                                                    const std::vector<int64_t>& rows) {
  std::vector<std::vector<char>> records(rows.size(), std::vector<char>(table->record_bytes()));
  std::vector<char*> pointers;
  for (auto& record : records) pointers.push_back(record.data());
  PROTOPAGE_RETURN_IF_ERROR(table->ReadRows(rows, pointers));
  return records;
}

TEST(PagedTableTest, TheExampleOfTheHeader) {
  FileSystem* const fs = DefaultFileSystem();
  const std::string path = TempPath("example");
  const int64_t n = 10;
  const auto example = [&]() -> absl::Status {
    TableSpec spec;
    spec.kind = "prototypes";
    spec.num_rows = spec.capacity = n;
    spec.columns = {{"prototypes", CellType::kFloat32, 512}};
    PROTOPAGE_ASSIGN_OR_RETURN(auto table, PagedTable::Create(fs, path, spec, {}));
    std::vector<char> record(table->record_bytes());
    PROTOPAGE_RETURN_IF_ERROR(table->ReadRows({7}, {record.data()}));
    EXPECT_EQ(record, std::vector<char>(512 * 4));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

// Of table_copy.h.
TEST(PagedTableTest, TheExampleOfTheHeaderOfTableCopy) {
  FileSystem* const fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table,
                                 PagedTable::Create(fs, TempPath("to_copy"), Spec(1000), {}));
  PROTOPAGE_ASSERT_OK(Write(table.get(), {7}, 1));
  PROTOPAGE_ASSERT_OK(table->Flush());
  const std::string path = TempPath("export");
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(CopyTable(table.get(), path));
    PROTOPAGE_RETURN_IF_ERROR(CopyTableLarger(fs, path, path, /*capacity=*/2000));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto larger, OpenTest(fs, path, {}));
  EXPECT_EQ(larger->spec().capacity, 2000);
  EXPECT_EQ(larger->spec().num_rows, 1000);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto records, Read(larger.get(), {7}));
  EXPECT_EQ(records[0], Record(*table, 7, 1));
}

TEST(PagedTableTest, RowsSurviveFlushAndReopening) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("reopen");
  // Rows far apart, adjacent rows, the last row, and many more blocks than the cache holds.
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < 100000; row += row < 300 ? 1 : 97) rows.push_back(row);
  rows.push_back(100002);
  TableOptions options;
  options.block_cache_bytes = 0;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table,
                                   PagedTable::Create(fs, path, Spec(100003), options));
    EXPECT_TRUE(table->clean_when_opened());
    PROTOPAGE_ASSERT_OK(Write(table.get(), rows, 1));
    PROTOPAGE_ASSERT_OK(Write(table.get(), {5, 97, 100002}, 2));
    PROTOPAGE_ASSERT_OK(table->Flush());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, OpenTest(fs, path, options));
  EXPECT_TRUE(table->clean_when_opened());
  EXPECT_EQ(table->spec().num_rows, 100003);
  EXPECT_EQ(table->spec().capacity, 100006);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto records, Read(table.get(), rows));
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool twice = rows[i] == 5 || rows[i] == 97 || rows[i] == 100002;
    EXPECT_EQ(records[i], Record(*table, rows[i], twice ? 2 : 1)) << rows[i];
  }
}

TEST(PagedTableTest, RowsNeverWrittenHaveTheDefaultValue) {
  TableOptions options;
  options.default_cell = [](int64_t row, void* cell) {
    for (int i = 0; i < 40; ++i) static_cast<float*>(cell)[i] = static_cast<float>(row) + i;
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto table,
      PagedTable::Create(DefaultFileSystem(), TempPath("default"), Spec(50), options));
  PROTOPAGE_ASSERT_OK(Write(table.get(), {7}, 1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto records, Read(table.get(), {7, 8}));
  EXPECT_EQ(records[0], Record(*table, 7, 1));
  float wide[40];
  std::memcpy(wide, records[1].data(), sizeof(wide));
  EXPECT_EQ(wide[0], 8.0f);
  EXPECT_EQ(wide[39], 47.0f);
  int64_t narrow = 1;
  std::memcpy(&narrow, records[1].data() + table->record_offset(1), 8);
  EXPECT_EQ(narrow, 0);
  // Only the second column was cleared.
  PROTOPAGE_ASSERT_OK(table->ClearColumn(1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto cleared, Read(table.get(), {7}));
  EXPECT_EQ(std::string(cleared[0].data(), 160), std::string(records[0].data(), 160));
  std::memcpy(&narrow, cleared[0].data() + table->record_offset(1), 8);
  EXPECT_EQ(narrow, 0);
}

TEST(PagedTableTest, ColumnsAreReadAndWrittenInRanges) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto table,
      PagedTable::Create(DefaultFileSystem(), TempPath("ranges"), Spec(1000), {}));
  PROTOPAGE_ASSERT_OK(Write(table.get(), {3, 500}, 1));
  std::vector<float> cells(300 * 40);
  for (size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<float>(i);
  PROTOPAGE_ASSERT_OK(table->WriteColumn(0, 400, 300, cells.data()));
  std::vector<float> read(1000 * 40, -1.0f);
  PROTOPAGE_ASSERT_OK(table->ReadColumn(0, 0, 1000, read.data()));
  EXPECT_EQ(std::vector<float>(read.begin() + 400 * 40, read.begin() + 700 * 40), cells);
  EXPECT_EQ(read[10 * 40], 0.0f);
  EXPECT_EQ(std::memcmp(&read[3 * 40], Record(*table, 3, 1).data(), 160), 0);
  std::vector<int64_t> steps(1000);
  PROTOPAGE_ASSERT_OK(table->ReadColumn(1, 0, 1000, steps.data()));
  EXPECT_EQ(std::memcmp(&steps[500], Record(*table, 500, 1).data() + table->record_offset(1), 8),
            0);  // Untouched by the write of the other column.
}

TEST(PagedTableTest, CellsOfMoreBlocksThanTheCacheOfBlocksHolds) {
  constexpr int64_t kRows = 20000;
  TableOptions options;
  options.block_cache_bytes = 1;  // As few blocks as possible.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto table,
      PagedTable::Create(DefaultFileSystem(), TempPath("blocks"), Spec(kRows), options));
  std::vector<int64_t> rows, written;
  for (int64_t row = 5; row < kRows; row += 61) rows.push_back(row);
  for (size_t i = 0; i < rows.size(); i += 2) written.push_back(rows[i]);
  PROTOPAGE_ASSERT_OK(Write(table.get(), written, 1));
  std::vector<float> wide(rows.size() * 40, -1.0f);
  std::vector<int64_t> narrow(rows.size(), -1);
  PROTOPAGE_ASSERT_OK(table->ReadCells(0, rows, wide.data()));
  PROTOPAGE_ASSERT_OK(table->ReadCells(1, rows, narrow.data()));
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto record = i % 2 == 0 ? Record(*table, rows[i], 1) : std::vector<char>(168);
    EXPECT_EQ(std::memcmp(&wide[i * 40], record.data(), 160), 0) << rows[i];
    EXPECT_EQ(std::memcmp(&narrow[i], record.data() + table->record_offset(1), 8), 0) << rows[i];
  }
}

TEST(PagedTableTest, AFlippedByteIsFoundAndNamed) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("flipped");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, PagedTable::Create(fs, path, Spec(1000), {}));
    PROTOPAGE_ASSERT_OK(Write(table.get(), {17, 18}, 1));
    PROTOPAGE_ASSERT_OK(table->Flush());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  const struct {
    int64_t offset;
    const char* named;
  } flips[] = {{layout.Find("wide")->offset + 17 * 160 + 31, "row 17 of 'wide'"},
               {layout.Find("narrow")->offset + 17 * 8 + 2, "row 17 of 'narrow'"},
               {layout.Find("checksums")->offset + 17 * 16 + 1, "row 17 of 'wide'"},
               {layout.Find("checksums")->offset + 17 * 16 + 9, "row 17 of 'narrow'"}};
  for (const auto& flip : flips) {
    char byte;
    PROTOPAGE_ASSERT_OK(file->ReadAt(flip.offset, &byte, 1));
    byte ^= 4;
    PROTOPAGE_ASSERT_OK(file->WriteAt(flip.offset, &byte, 1));
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, OpenTest(fs, path, {}));
      const auto read = Read(table.get(), {17});
      EXPECT_THAT(read, StatusIs(absl::StatusCode::kDataLoss, path));
      EXPECT_THAT(read, StatusIs(absl::StatusCode::kDataLoss, flip.named));
      PROTOPAGE_EXPECT_OK(Read(table.get(), {16, 18}));
    }
    byte ^= 4;
    PROTOPAGE_ASSERT_OK(file->WriteAt(flip.offset, &byte, 1));
  }
}

TEST(PagedTableTest, RefusesWhatItCannotRead) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("refused");
  EXPECT_THAT(OpenTest(fs, path, {}), StatusIs(absl::StatusCode::kNotFound, path));
  EXPECT_THAT(PagedTable::Create(fs, path, Spec(0), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "0 rows"));
  EXPECT_FALSE(fs->Exists(path));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, PagedTable::Create(fs, path, Spec(10), {}));
    EXPECT_THAT(PagedTable::Create(fs, path, Spec(10), {}),
                StatusIs(absl::StatusCode::kAlreadyExists, path));
    EXPECT_THAT(OpenTest(fs, path, {}),
                StatusIs(absl::StatusCode::kFailedPrecondition, "already open for writing"));
    TableOptions read_only;
    read_only.read_only = true;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto reader, OpenTest(fs, path, read_only));
    EXPECT_THAT(Write(reader.get(), {1}, 1),
                StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
  }
  EXPECT_THAT(PagedTable::Open(fs, path, "other", {},
                               [](const Hdf5Layout&) { return std::vector<std::string>{}; }),
              StatusIs(absl::StatusCode::kInvalidArgument, "kind is 'test', expected 'other'"));
  EXPECT_THAT(PagedTable::Open(fs, path, "test", {},
                               [](const Hdf5Layout&) {
                                 return std::vector<std::string>{"wide", "absent"};
                               }),
              StatusIs(absl::StatusCode::kDataLoss, "dataset 'absent'"));

  const auto create = [&](const std::map<std::string, int64_t>& integers) {
    const auto file = fs->Open(path, OpenMode::kCreate);
    Hdf5Layout layout;
    layout.integers = integers;
    layout.texts["kind"] = "test";
    return CreateHdf5Layout(file->get(), path, &layout);
  };
  PROTOPAGE_ASSERT_OK(create({{"format_version", PagedTable::kFormatVersion + 1}}));
  EXPECT_THAT(OpenTest(fs, path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "newer than 2"));
  PROTOPAGE_ASSERT_OK(create({}));
  EXPECT_THAT(OpenTest(fs, path, {}), StatusIs(absl::StatusCode::kDataLoss, "not of protopage"));
}

TEST(PagedTableTest, AFileThatWasNotFlushedIsKnown) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("unclean");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, PagedTable::Create(fs, path, Spec(10), {}));
    PROTOPAGE_ASSERT_OK(Write(table.get(), {1}, 1));
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, OpenTest(fs, path, {}));
    EXPECT_FALSE(table->clean_when_opened());
    PROTOPAGE_ASSERT_OK(table->Flush());
    // A RowCache writes nothing when it finds that its rows are no longer dirty.
    PROTOPAGE_ASSERT_OK(table->WriteRows({}, {}));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, OpenTest(fs, path, {}));
  EXPECT_TRUE(table->clean_when_opened());
}

TEST(PagedTableTest, EveryFaultIsReportedAndRetriedWritesAreRight) {
  FaultyFileSystem fs;
  int failures = 0;
  for (int64_t call = 1;; ++call) {
    const std::string path = TempPath(absl::StrCat("fault", call));
    fs.FailAt(call);
    auto created = PagedTable::Create(&fs, path, Spec(1000), {});
    if (!created.ok()) {
      EXPECT_THAT(created, StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
      EXPECT_FALSE(fs.Exists(path)) << "half a file was left behind";
      ++failures;
      continue;
    }
    const std::vector<int64_t> rows = {1, 2, 3, 300, 900};
    int before = failures;
    for (absl::Status status = absl::UnknownError("");;) {
      status = Write(created->get(), rows, 1);
      if (status.ok()) status = (*created)->Flush();
      if (status.ok()) break;
      ++failures;
      if (absl::StrContains(status.message(), "takes no more writes")) {
        created->reset();
        created = OpenTest(&fs, path, {});
        PROTOPAGE_ASSERT_OK(created);
      }
    }
    absl::StatusOr<std::vector<std::vector<char>>> read = Read(created->get(), rows);
    if (!read.ok()) {
      ++failures;
      read = Read(created->get(), rows);
    }
    PROTOPAGE_ASSERT_OK(read);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ((*read)[i], Record(**created, rows[i], 1));
    }
    EXPECT_LE(failures, before + 1);
    if (failures == before) break;  // All calls have had their turn.
  }
  EXPECT_GT(failures, 10);
}

TEST(PagedTableTest, ACopyHasTheSameRowsAndStaysSparse) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempPath("original"), copy = TempPath("copy");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto table, PagedTable::Create(fs, path, Spec(1000000), {}));
  PROTOPAGE_ASSERT_OK(Write(table.get(), {5, 999999}, 1));
  PROTOPAGE_ASSERT_OK(table->Flush());
  PROTOPAGE_ASSERT_OK(CopyTable(table.get(), copy));
  PROTOPAGE_ASSERT_OK(Write(table.get(), {5}, 2));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto copied, OpenTest(fs, copy, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto records, Read(copied.get(), {5, 999999}));
  EXPECT_EQ(records[0], Record(*table, 5, 1));
  EXPECT_EQ(records[1], Record(*table, 999999, 1));
  struct stat info;
  ASSERT_EQ(stat(copy.c_str(), &info), 0);
  EXPECT_GT(info.st_size, 160000000);
  EXPECT_LT(info.st_blocks * 512, 2000000);
}

}  // namespace
}  // namespace protopage
