#include "protopage/prototypes/class_names.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/fuzz/table_file.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

FileSystem* Fs() { return DefaultFileSystem(); }

std::string TempPath(const std::string& name) {
  return JoinPath(testing::TempDir(), absl::StrCat("class_names_test_", name, ".h5"));
}

absl::Status CreateFrom(const std::string& path, const std::vector<std::string>& names,
                        FileSystem* fs = Fs()) {
  return ClassNames::Create(fs, path, static_cast<int64_t>(names.size()),
                            [&](ClassId c) -> absl::StatusOr<std::string> { return names[c]; });
}

absl::StatusOr<std::unique_ptr<ClassNames>> OpenNew(const std::string& path,
                                                    const std::vector<std::string>& names) {
  PROTOPAGE_RETURN_IF_ERROR(CreateFrom(path, names));
  return ClassNames::Open(Fs(), path);
}

// Enough for several blocks of the index and for several pieces of a MiB.
std::vector<std::string> ManyNames(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) {
    RandomStream random(1, RandomPurpose::kTest, i);
    names.push_back(absl::StrCat("name-", random.Next64(), "-", i));
  }
  return names;
}

TEST(ClassNamesTest, HeaderExample) {
  FileSystem* const fs = Fs();
  const std::string path = TempPath("example");
  const std::vector<std::string> folders = {"pear", "apple"};
  const int64_t num_folders = 2;
  const auto example = [&]() -> absl::Status {
    const auto name = [&](ClassId c) -> absl::StatusOr<std::string> { return folders[c]; };
    PROTOPAGE_RETURN_IF_ERROR(ClassNames::Create(fs, path, num_folders, name));
    PROTOPAGE_ASSIGN_OR_RETURN(const auto names, ClassNames::Open(fs, path));
    PROTOPAGE_ASSIGN_OR_RETURN(const ClassId apple, names->Find("apple"));  // Or kNoClass.
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, names->Name(apple));
    EXPECT_EQ(apple, 1);
    EXPECT_EQ(text, "apple");
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

TEST(ClassNamesTest, FindsEveryNameAndNoOther) {
  for (const int64_t count : {1, 2, 510, 511, 512, 1022, 1023, 30000}) {
    const std::vector<std::string> all = ManyNames(count);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, OpenNew(TempPath("many"), all));
    ASSERT_EQ(names->num_classes(), count);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> found, names->FindAll(all));
    for (int64_t c = 0; c < count; ++c) ASSERT_EQ(found[c], c);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> read, names->Names(0, count));
    EXPECT_EQ(read, all);
    for (int64_t c = 0; c < 100; ++c) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId id, names->Find(absl::StrCat("other ", c)));
      EXPECT_EQ(id, kNoClass);
    }
    PROTOPAGE_EXPECT_OK(names->Check());
  }
}

TEST(ClassNamesTest, NamesMayBePrefixesAndOfAnyBytes) {
  const std::vector<std::string> all = {
      "a",       "aa",       "aaa",
      "aaaaaaa", "aaaaaaaa", "aaaaaaaaa",
      " a",      "a\xff",    "\xe4\xb8\x80",
      "3",       "0",        "003",
      "",        "",         std::string(ClassNames::kMostNameBytes, 'x')};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, OpenNew(TempPath("bytes"), all));
  for (size_t c = 0; c < all.size(); ++c) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string name, names->Name(static_cast<ClassId>(c)));
    EXPECT_EQ(name, all[c]);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId id, names->Find(all[c]));
    // Classes without a name are not found.
    EXPECT_EQ(id, all[c].empty() ? kNoClass : static_cast<ClassId>(c)) << all[c];
  }
}

TEST(ClassNamesTest, NamesArePrintedWithEscapes) {
  EXPECT_EQ(ClassNames::Quoted("Zoë"), "\"Zoë\"");
  EXPECT_EQ(ClassNames::Printable("a\nb\x1b\""), "a\\nb\\x1b\\\"");
}

TEST(ClassNamesTest, RefusesWhatIsNoName) {
  const std::string path = TempPath("refused");
  Fs()->Remove(path).IgnoreError();
  const absl::Status twice = CreateFrom(path, {"a", "b", "c", "b"});
  EXPECT_EQ(twice.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(twice.message(), "classes 1 and 3 have the same name, \"b\""))
      << twice;
  EXPECT_EQ(CreateFrom(path, {std::string("a\0b", 3)}).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status longer = CreateFrom(path, {std::string(256, 'x')});
  EXPECT_EQ(longer.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(longer.message(), "found 256 bytes, expected at most 255"))
      << longer;
  EXPECT_FALSE(Fs()->Exists(path));
}

TEST(ClassNamesTest, NumberedClassesTakeNoRoom) {
  constexpr int64_t kClasses = 100'000'000;
  const std::string path = TempPath("numbered");
  PROTOPAGE_ASSERT_OK(ClassNames::CreateNumbered(Fs(), path, kClasses));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, Fs()->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
  EXPECT_LT(size, 16384);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::Open(Fs(), path));
  EXPECT_TRUE(names->all_numbered());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string name, names->Name(kClasses - 1));
  EXPECT_EQ(name, "99999999");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const std::vector<ClassId> ids,
      names->FindAll({"0", "99999999", "100000000", "007", "-1", "+5", "x", ""}));
  EXPECT_EQ(ids, (std::vector<ClassId>{0, 99999999, kNoClass, kNoClass, kNoClass, kNoClass,
                                       kNoClass, kNoClass}));
  EXPECT_EQ(names->Name(kClasses).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ClassNamesTest, EqualIsTheSameNamesInTheSameOrder) {
  const auto plan = [](const std::vector<std::string>& names) {
    return ClassNames::Plan(static_cast<int64_t>(names.size()),
                            [&](ClassId c) -> absl::StatusOr<std::string> { return names[c]; })
        .value();
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, OpenNew(TempPath("equal"), {"0", "1", "bc"}));
  EXPECT_TRUE(names->IsEqual(plan({"0", "1", "bc"})));
  EXPECT_FALSE(names->IsEqual(plan({"1", "0", "bc"})));
  EXPECT_FALSE(names->IsEqual(plan({"0", "1b", "c"})));
  EXPECT_FALSE(names->IsEqual(plan({"0", "1"})));
  EXPECT_FALSE(names->IsEqual(plan({"0", "1", "bc", "d"})));
  EXPECT_FALSE(names->IsEqual(ClassNames::PlanNumbered(3)));
  const std::string path = TempPath("equal_numbered");
  PROTOPAGE_ASSERT_OK(ClassNames::CreateNumbered(Fs(), path, 3));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto numbered, ClassNames::Open(Fs(), path));
  EXPECT_TRUE(numbered->IsEqual(ClassNames::PlanNumbered(3)));
  EXPECT_FALSE(numbered->IsEqual(ClassNames::PlanNumbered(4)));
  EXPECT_FALSE(numbered->IsEqual(plan({"0", "1", "2"})));
}

TEST(ClassNamesTest, LeftOutClassesAreNotFound) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, OpenNew(TempPath("left_out"), {"a", "b"}));
  const auto first = [](ClassId c) { return c == 0; };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> ids, names->FindAll({"a", "b"}, first));
  EXPECT_EQ(ids, (std::vector<ClassId>{kNoClass, 1}));
}

TEST(ClassNamesTest, AFlippedBitIsFoundByTheCallsThatUseIt) {
  const std::vector<std::string> all = ManyNames(600);
  const std::string path = TempPath("flipped");
  PROTOPAGE_ASSERT_OK(CreateFrom(path, all));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string intact, ReadFile(Fs(), path));
  int64_t harmless = 0, found = 0;
  RandomStream random(7, RandomPurpose::kTest, 0);
  // Every byte of a short file would take long; these are spread over all of it.
  for (size_t at = 0; at < intact.size(); at += 1 + random.Below(40)) {
    std::string flipped = intact;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random.Below(8)));
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, Fs()->Open(path, OpenMode::kCreate));
      PROTOPAGE_ASSERT_OK(file->WriteAt(0, flipped.data(), static_cast<int64_t>(flipped.size())));
    }
    const auto names = ClassNames::Open(Fs(), path);
    if (!names.ok()) {
      EXPECT_EQ(names.status().code(), absl::StatusCode::kDataLoss) << at;
      ++found;
      continue;
    }
    const absl::Status checked = (*names)->Check();
    const auto ids = (*names)->FindAll(all);
    const auto read = (*names)->Names(0, 600);
    if (ids.ok()) {
      for (int64_t c = 0; c < 600; ++c) ASSERT_EQ((*ids)[c], c) << at;
    }
    if (read.ok()) {
      EXPECT_EQ(*read, all) << at;
    }
    // What Find or Names find, Check finds.
    if (!ids.ok() || !read.ok()) {
      EXPECT_FALSE(checked.ok()) << at;
    }
    checked.ok() ? ++harmless : ++found;
  }
  // The room after the last block of the index, up to a page, is not used.
  EXPECT_GT(found, 100 * harmless / 20);
}

TEST(ClassNamesTest, ACellOfAnotherClassIsFound) {
  const std::string path = TempPath("moved");
  PROTOPAGE_ASSERT_OK(CreateFrom(path, {"a", "b"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, Fs()->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
  const Hdf5Dataset& cells = *layout.Find("class_names");
  std::vector<char> cell(cells.dims[1]);
  const auto bytes = static_cast<int64_t>(cell.size());
  PROTOPAGE_ASSERT_OK(file->ReadAt(cells.offset, cell.data(), bytes));
  PROTOPAGE_ASSERT_OK(file->WriteAt(cells.offset + bytes, cell.data(), bytes));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::Open(Fs(), path));
  PROTOPAGE_EXPECT_OK(names->Name(0).status());
  const absl::Status moved = names->Name(1).status();
  EXPECT_EQ(moved.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(moved.message(), "the name of class 1 does not match")) << moved;
  // A cell that was lost.
  cell.assign(cell.size(), 0);
  PROTOPAGE_ASSERT_OK(file->WriteAt(cells.offset, cell.data(), bytes));
  EXPECT_EQ(names->Name(0).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(names->Find("a").status().code(), absl::StatusCode::kDataLoss);
}

TEST(ClassNamesTest, AFileThatHoldsNoNamesIsNotFound) {
  const std::string path = TempPath("without");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, Fs()->Open(path, OpenMode::kCreate));
    Hdf5Layout layout;
    layout.integers["num_classes"] = 3;
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
  }
  EXPECT_EQ(ClassNames::Open(Fs(), path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ClassNames::Open(Fs(), TempPath("missing")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(ClassNamesTest, AnyFailedCallLeavesTheOldFileOrTheNew) {
  const std::string path = TempPath("faulty");
  FaultyFileSystem fs;
  int64_t failed = 0;
  for (int64_t call = 1;; ++call) {
    PROTOPAGE_ASSERT_OK(CreateFrom(path, {"old"}, &fs));
    const int64_t before = fs.calls();
    fs.FailAt(call);
    const absl::Status status = CreateFrom(path, {"new", "newer"}, &fs);
    fs.FailAt(0);
    const bool had_its_turn = fs.calls() - before >= call;
    failed += status.ok() ? 0 : 1;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::Open(&fs, path));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string name, names->Name(0));
    EXPECT_EQ(names->num_classes(), name == "old" ? 1 : 2);
    if (status.ok()) {
      EXPECT_EQ(name, "new");
    }
    if (!had_its_turn) break;
  }
  EXPECT_GT(failed, 5);
}

// A store that names are added to: first a file with room, then one without an index.
class AddedNamesTest : public testing::TestWithParam<bool> {
 protected:
  // 3 classes, numbered or named a, b, c, with room for `capacity`.
  static absl::Status CreateStore(const std::string& path, bool numbered, int64_t capacity) {
    const auto name = [](ClassId c) -> absl::StatusOr<std::string> {
      return std::string(1, static_cast<char>('a' + c));
    };
    PROTOPAGE_ASSIGN_OR_RETURN(const auto file, Fs()->Open(path, OpenMode::kCreate));
    Hdf5Layout layout;
    ClassNamesPlan plan = ClassNames::PlanNumbered(3);
    if (!numbered) {
      PROTOPAGE_ASSIGN_OR_RETURN(plan, ClassNames::Plan(3, name));
    }
    ClassNames::AddTo(plan, capacity, &layout);
    if (numbered)
      layout.datasets.push_back({ClassNames::kDataset, CellType::kUint8, {capacity, 32}});
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(file.get(), path, &layout));
    return ClassNames::Write(Fs(), path + ".sort", file.get(), path, layout, plan, name);
  }
};

TEST_P(AddedNamesTest, AreFoundWithTheOthers) {
  const bool numbered = GetParam();
  const std::string path = TempPath(absl::StrCat("added_", numbered));
  PROTOPAGE_ASSERT_OK(CreateStore(path, numbered, /*capacity=*/100006));
  PROTOPAGE_ASSERT_OK(ClassNames::WriteAdded(Fs(), path, 100003, {"x", "100000"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::OpenInStore(Fs(), path, 100005));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const std::vector<ClassId> ids,
      names->FindAll({"x", "a", "2", "100000", "100003", "100002", "y"}));
  EXPECT_EQ(ids[0], 100003);
  EXPECT_EQ(ids[1], numbered ? kNoClass : 0);
  EXPECT_EQ(ids[2], numbered ? 2 : kNoClass);
  // The class that is numbered so comes before the one that is called so.
  EXPECT_EQ(ids[3], numbered ? 100000 : 100004);
  EXPECT_EQ(ids[4], kNoClass);  // It is called x.
  EXPECT_EQ(ids[5], numbered ? 100002 : kNoClass);
  EXPECT_EQ(ids[6], kNoClass);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> read, names->Names(100002, 3));
  EXPECT_EQ(read, (std::vector<std::string>{numbered ? "100002" : "", "x", "100000"}));
  EXPECT_FALSE(names->all_numbered());
  PROTOPAGE_EXPECT_OK(names->Check());
}

TEST_P(AddedNamesTest, RefusesWhatDoesNotFit) {
  const bool numbered = GetParam();
  const std::string path = TempPath(absl::StrCat("room_", numbered));
  PROTOPAGE_ASSERT_OK(CreateStore(path, numbered, 4));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::OpenInStore(Fs(), path, 3));
  EXPECT_EQ(names->most_name_bytes(), numbered ? 24 : 8);
  const auto add = [&](const std::vector<std::string>& more) {
    return ClassNames::WriteAdded(Fs(), path, 3, more).code();
  };
  EXPECT_EQ(add({std::string(25, 'x')}), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(add({"x", "y"}), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(add({std::string("\0", 1)}), absl::StatusCode::kInvalidArgument);
  PROTOPAGE_EXPECT_OK(names->Check());
}

TEST_P(AddedNamesTest, KeepTheirNamesInLongerCells) {
  const bool numbered = GetParam();
  const std::string path = TempPath(absl::StrCat("short_", numbered));
  const std::string longer = TempPath(absl::StrCat("longer_", numbered));
  PROTOPAGE_ASSERT_OK(CreateStore(path, numbered, /*capacity=*/10));
  PROTOPAGE_ASSERT_OK(ClassNames::WriteAdded(Fs(), path, 3, {"x", "y"}));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto from, Fs()->Open(path, OpenMode::kRead));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(Hdf5Layout layout, ReadHdf5Layout(from.get(), path));
    const Hdf5Layout old = layout;
    for (Hdf5Dataset& dataset : layout.datasets) {
      if (dataset.name == ClassNames::kDataset) dataset.dims = {20, ClassNames::CellBytes(255)};
    }
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto to, Fs()->Open(longer, OpenMode::kCreate));
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(to.get(), longer, &layout));
    if (const Hdf5Dataset* const order = old.Find("class_name_order"); order != nullptr) {
      PROTOPAGE_ASSERT_OK(CopyData(from.get(), {order->offset, order->offset + order->bytes()},
                                   to.get(), layout.Find("class_name_order")->offset));
    }
    PROTOPAGE_ASSERT_OK(ClassNames::CopyLonger(Fs(), path, 5, to.get(), layout));
  }
  const std::string longest(255, 'z');
  PROTOPAGE_ASSERT_OK(ClassNames::WriteAdded(Fs(), longer, 5, {longest}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::OpenInStore(Fs(), longer, 6));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> ids,
                                 names->FindAll({"y", longest, numbered ? "2" : "c"}));
  EXPECT_EQ(ids, (std::vector<ClassId>{4, 5, 2}));
  PROTOPAGE_EXPECT_OK(names->Check());
}

TEST(ClassNamesTest, ReadsNamesOfFormatVersion1) {
  const std::string path = TempPath("version_1"), longer = TempPath("version_2");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, Fs()->Open(path, OpenMode::kCreate));
    Hdf5Layout layout;
    layout.datasets.push_back({ClassNames::kOldDataset, CellType::kUint8, {4, 128}});
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(file.get(), path, &layout));
    const std::string name(128, 'n');
    PROTOPAGE_ASSERT_OK(file->WriteAt(layout.datasets[0].offset + 2 * 128, name.data(), 128));
    PROTOPAGE_ASSERT_OK(file->WriteAt(layout.datasets[0].offset + 128, "b", 1));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto to, Fs()->Open(longer, OpenMode::kCreate));
    Hdf5Layout larger;
    larger.datasets.push_back({ClassNames::kDataset, CellType::kUint8, {4, 264}});
    PROTOPAGE_ASSERT_OK(CreateHdf5Layout(to.get(), longer, &larger));
    PROTOPAGE_ASSERT_OK(ClassNames::CopyLonger(Fs(), path, 3, to.get(), larger));
  }
  for (const std::string& store : {path, longer}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::OpenInStore(Fs(), store, 3));
    EXPECT_EQ(names->most_name_bytes(), store == path ? 0 : 255);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> read, names->Names(0, 3));
    EXPECT_EQ(read, (std::vector<std::string>{"", "b", std::string(128, 'n')}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId found, names->Find("b"));
    EXPECT_EQ(found, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(NumberedOrNot, AddedNamesTest, testing::Bool());

// A block that matches its checksum may be that of other names.
TEST(ClassNamesTest, AnIndexOfOtherNamesIsFoundByTheCheck) {
  const std::string path = TempPath("other_index");
  PROTOPAGE_ASSERT_OK(CreateFrom(path, {"apple", "pear", "plum"}));
  TableFile file = ReadTableFile(path);
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "class_name_order") dataset.content.replace(0, 8, 8, '\0');
  }
  SetChecksums(&file);
  ASSERT_TRUE(WriteTableFile(path, file));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, ClassNames::Open(Fs(), path));
  EXPECT_THAT(names->Check(), StatusIs(absl::StatusCode::kDataLoss, "'class_name_order'"));
}

}  // namespace
}  // namespace protopage
