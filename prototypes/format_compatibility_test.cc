// Files that earlier versions of the code wrote can still be opened and changed. testdata/*_1.h5
// have format version 1 and were written by code without a log.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

// A writable copy.
std::string Copy(const std::string& name) {
  FileSystem* fs = DefaultFileSystem();
  const std::string dir = absl::StrCat(testing::TempDir(), "/format_test_", getpid());
  PROTOPAGE_EXPECT_OK(fs->CreateDirectories(dir));
  const std::string path = JoinPath(dir, name);
  PROTOPAGE_EXPECT_OK(CopyFileAtomically(fs, absl::StrCat("prototypes/testdata/", name), path));
  return path;
}

void ExpectContent(PrototypeStore* store) {
  EXPECT_EQ(store->num_classes(), 9);
  EXPECT_EQ(store->spec().capacity, 12);
  EXPECT_EQ(store->dim(), 20);
  EXPECT_EQ(store->spec().seed, 3u);
  StepRows rows;
  PROTOPAGE_ASSERT_OK(store->GatherStep({0, 1, 4, 8, 5, 6}, &rows));
  EXPECT_EQ(rows.last_step, (std::vector<int64_t>{-1, 17, 17, 17, -1, -1}));
  RowMatrixXf initial(1, 20);
  InitialPrototype(3, 0, absl::MakeSpan(initial.data(), 20), store->spec().generator);
  EXPECT_EQ(rows.rows.row(0), initial.row(0));
  const int trained[] = {1, 4, 8};
  for (int j = 0; j < 20; ++j) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(rows.rows(i + 1, j), trained[i] + 0.25f * j);
      EXPECT_EQ(rows.state(i + 1, j), -0.5f * trained[i] - j);
    }
    EXPECT_EQ(rows.rows(4, j), j);
    EXPECT_EQ(rows.rows(5, j), 100 + j);
    EXPECT_EQ(rows.state(4, j), 0);
  }
}

void ExpectQueues(const std::string& name) {
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 4;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto queues, ClassQueues::Open(Copy(name), options));
  std::vector<ClassId> dominants(2), candidates(4);
  PROTOPAGE_ASSERT_OK(queues->Dominants(2, absl::MakeSpan(dominants)));
  EXPECT_EQ(dominants, (std::vector<ClassId>{6, 3}));  // 6 was pushed.
  PROTOPAGE_ASSERT_OK(queues->Dominants(7, absl::MakeSpan(dominants)));
  EXPECT_EQ(dominants, (std::vector<ClassId>{8, 0}));
  PROTOPAGE_ASSERT_OK(queues->Candidates(2, absl::MakeSpan(candidates)));
  EXPECT_EQ(candidates, (std::vector<ClassId>{3, 4, 5, 6}));
  EXPECT_THAT(queues->Dominants(1, absl::MakeSpan(dominants)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "never built"));
}

TEST(FormatCompatibilityTest, AStoreOfVersion1OpensAndJoinsALog) {
  const std::string path = Copy("prototypes_1.h5");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    EXPECT_TRUE(store->clean_when_opened());
    ExpectContent(store.get());
  }
  const std::string log_path = path + ".log";
  PrototypeStoreOptions options;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto log,
                                   TableLog::Create(DefaultFileSystem(), log_path, {}));
    options.log = log.get();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(log->Commit(10));
    PROTOPAGE_ASSERT_OK(store->Scatter({2}, RowMatrixXf::Ones(1, 20)));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(log->Commit(20));
    ExpectContent(store.get());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto log,
                                 TableLog::Open(DefaultFileSystem(), log_path, 20, {}));
  options.log = log.get();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
  ExpectContent(store.get());
  RowMatrixXf row(1, 20);
  PROTOPAGE_ASSERT_OK(store->Gather({2}, row));
  EXPECT_EQ(row, RowMatrixXf::Ones(1, 20));
}

TEST(FormatCompatibilityTest, AStoreOfVersion1DrawsItsRowsAsBefore) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                 PrototypeStore::Open(Copy("prototypes_1.h5"), {}));
  EXPECT_EQ(store->spec().generator, RowGenerator::kLibmNormal);
}

// Classes of a store of version 1 are added and dropped in a copy of the newest version.
TEST(FormatCompatibilityTest, AStoreOfVersion1BecomesTheNewest) {
  const std::string path = Copy("prototypes_1.h5");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    EXPECT_THAT(store->Drop({2}),
                StatusIs(absl::StatusCode::kFailedPrecondition, "format version 1"));
  }
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, /*capacity=*/1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  ExpectContent(store.get());
  EXPECT_EQ(store->spec().generator, RowGenerator::kLibmNormal);
  PROTOPAGE_ASSERT_OK(store->Drop({2, 7}));
  EXPECT_EQ(store->num_dropped(), 2);
}

TEST(FormatCompatibilityTest, DroppedClassesOfVersion1StayDropped) {
  const std::string path = Copy("prototypes_1.h5");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file,
                                   DefaultFileSystem()->Open(path, OpenMode::kReadWrite));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), path));
    const char dropped = 1;
    PROTOPAGE_ASSERT_OK(file->WriteAt(layout.Find("dropped")->offset + 3, &dropped, 1));
  }
  for (const bool newest : {false, true}) {
    if (newest) {
      PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, /*capacity=*/1));
    }
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    EXPECT_TRUE(store->is_dropped(3));
    EXPECT_EQ(store->num_dropped(), 1);
  }
}

TEST(FormatCompatibilityTest, QueuesOfVersion1Open) { ExpectQueues("queues_1.h5"); }

TEST(FormatCompatibilityTest, NamesOfVersion1AreReadAndGetChecksums) {
  const std::string path = Copy("named_1.h5");
  const auto expect_names = [&](const std::string& more) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(0, 5));
    EXPECT_EQ(names, (std::vector<std::string>{"", "", "", "alice", "bob"}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto found, store->FindClasses({"bob", "alice", more}));
    EXPECT_EQ(found, (std::vector<ClassId>{4, 3, more.empty() ? kNoClass : 5}));
  };
  expect_names("");
  // A copy of the newest version has checksums, whether or not names are to be added.
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(path, 6));
  expect_names("");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names,
                                 ClassNames::OpenInStore(DefaultFileSystem(), path, 5));
  EXPECT_TRUE(names->has_checksums());
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
    PROTOPAGE_ASSERT_OK(store->AppendRows(RowMatrixXf::Ones(1, 16)));
    PROTOPAGE_ASSERT_OK(store->WriteAppendedNames({"carol"}));
    PROTOPAGE_ASSERT_OK(store->AddAppended());
  }
  expect_names("carol");
}

TEST(FormatCompatibilityTest, AStoreOfVersion2Opens) {
  const std::string path = Copy("prototypes_2.h5");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, {}));
  EXPECT_TRUE(store->clean_when_opened());
  EXPECT_EQ(store->spec().generator, RowGenerator::kNormal);
  ExpectContent(store.get());
  EXPECT_EQ(store->num_dropped(), 2);
  EXPECT_TRUE(store->is_dropped(3));
  EXPECT_TRUE(store->is_dropped(7));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, store->ReadNames(0, 9));
  EXPECT_EQ(names[0], "class a");
  EXPECT_EQ(names[8], "class i");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> found,
                                 store->FindClasses({"class c", "class x"}));
  EXPECT_EQ(found, (std::vector<ClassId>{2, kNoClass}));
}

TEST(FormatCompatibilityTest, QueuesOfVersion2Open) { ExpectQueues("queues_2.h5"); }

TEST(FormatCompatibilityTest, ClassNamesOfVersion2Open) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names,
                                 ClassNames::Open(DefaultFileSystem(), Copy("class_names_2.h5")));
  EXPECT_EQ(names->num_classes(), 9);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId found, names->Find("class d"));
  EXPECT_EQ(found, 3);
}

}  // namespace
}  // namespace protopage
