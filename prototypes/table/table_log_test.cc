#include "protopage/prototypes/table/table_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 300, kDim = 20, kRowsPerStep = 24;

// The content of a store.
struct Content {
  RowMatrixXf rows;
  RowMatrixXf momentum;
  std::vector<int64_t> last_step;

  friend bool operator==(const Content& a, const Content& b) {
    return a.rows == b.rows && a.momentum == b.momentum && a.last_step == b.last_step;
  }
};

Content ContentOf(PrototypeStore* store) {
  Content content{RowMatrixXf(kClasses, kDim), RowMatrixXf(kClasses, kDim), {}};
  StepRows step;
  for (ClassId first = 0; first < kClasses; first += 25) {
    std::vector<ClassId> ids;
    for (ClassId id = first; id < first + 25; ++id) ids.push_back(id);
    PROTOPAGE_EXPECT_OK(store->GatherStep(ids, &step));
    content.rows.middleRows(first, 25) = step.rows;
    content.momentum.middleRows(first, 25) = step.state;
    content.last_step.insert(content.last_step.end(), step.last_step.begin(), step.last_step.end());
  }
  RowMatrixXf range(kClasses, kDim);
  PROTOPAGE_EXPECT_OK(store->ReadRange(0, range));
  EXPECT_EQ(range, content.rows);
  return content;
}

// A store and its log in a folder.
class LoggedStore {
 public:
  explicit LoggedStore(const std::string& name, FileSystem* fs = DefaultFileSystem())
      : fs_(fs),
        directory_(absl::StrCat(testing::TempDir(), "/table_log_test_", getpid(), "_", name)) {
    log_options.background = false;
    log_options.merge_bytes = 0;
    PROTOPAGE_EXPECT_OK(fs->CreateDirectories(directory_));
  }
  std::string LogPath() const { return JoinPath(directory_, "log"); }
  std::string StorePath() const { return JoinPath(directory_, "prototypes.h5"); }
  std::string SegmentPath(int sequence) const {
    return JoinPath(LogPath(), absl::StrCat("000000000", sequence, ".segment"));
  }

  absl::Status Create() {
    Close();
    PROTOPAGE_ASSIGN_OR_RETURN(log, TableLog::Create(fs_, LogPath(), log_options));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    spec.seed = 5;
    PROTOPAGE_ASSIGN_OR_RETURN(store, PrototypeStore::Create(StorePath(), spec, Options(false)));
    return absl::OkStatus();
  }
  absl::Status Open(int64_t checkpoint) {
    Close();
    PROTOPAGE_ASSIGN_OR_RETURN(log, TableLog::Open(fs_, LogPath(), checkpoint, log_options));
    PROTOPAGE_ASSIGN_OR_RETURN(store, PrototypeStore::Open(StorePath(), Options(false)));
    return absl::OkStatus();
  }
  absl::Status OpenReadOnly(int64_t checkpoint) {
    Close();
    PROTOPAGE_ASSIGN_OR_RETURN(log, TableLog::OpenReadOnly(fs_, LogPath(), checkpoint));
    PROTOPAGE_ASSIGN_OR_RETURN(store, PrototypeStore::Open(StorePath(), Options(true)));
    return absl::OkStatus();
  }
  // Nothing is flushed.
  void Close() {
    store.reset();
    log.reset();
  }
  absl::Status Commit(int64_t checkpoint) {
    PROTOPAGE_RETURN_IF_ERROR(store->Flush());
    return log->Commit(checkpoint);
  }
  absl::Status Step(int64_t step) {
    RandomStream random(1, RandomPurpose::kTest, step);
    const std::vector<ClassId> ids = SampleWithoutReplacement(random, kClasses, kRowsPerStep);
    StepRows rows;
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
    for (int64_t i = 0; i < kRowsPerStep; ++i) {
      for (int64_t j = 0; j < kDim; ++j) {
        rows.state(i, j) = 0.5f * rows.state(i, j) + random.Uniform();
        rows.rows(i, j) -= rows.state(i, j);
      }
    }
    return store->ScatterStep(ids, rows, step);
  }
  absl::Status Steps(int64_t begin, int64_t end) {
    for (int64_t step = begin; step < end; ++step) PROTOPAGE_RETURN_IF_ERROR(Step(step));
    return absl::OkStatus();
  }

  TableLogOptions log_options;
  // Room for some 60 rows: most rows are only in the file or in the log.
  int64_t cache_bytes = 24000;
  std::unique_ptr<TableLog> log;
  std::unique_ptr<PrototypeStore> store;

 private:
  PrototypeStoreOptions Options(bool read_only) const {
    PrototypeStoreOptions options;
    options.cache_bytes = cache_bytes;
    options.read_only = read_only;
    options.log = log.get();
    options.file_system = fs_;
    return options;
  }

  FileSystem* const fs_;
  const std::string directory_;
};

// The content of the main file alone.
Content MainFile(const LoggedStore& logged) {
  PrototypeStoreOptions options;
  options.read_only = true;
  auto store = PrototypeStore::Open(logged.StorePath(), options);
  PROTOPAGE_EXPECT_OK(store);
  EXPECT_TRUE((*store)->clean_when_opened());
  return ContentOf(store->get());
}

TEST(TableLogTest, TheExampleOfTheHeader) {
  FileSystem* const fs = DefaultFileSystem();
  const std::string directory = absl::StrCat(testing::TempDir(), "/table_log_example_", getpid());
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(directory));
  PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.dim = kDim;
  const RowMatrixXf row = RowMatrixXf::Constant(1, kDim, 2.0f);
  const auto run = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto log, TableLog::Create(fs, directory + "/log", {}));
    PrototypeStoreOptions options;
    options.log = log.get();
    PROTOPAGE_ASSIGN_OR_RETURN(auto store,
                               PrototypeStore::Create(directory + "/prototypes.h5", spec, options));
    PROTOPAGE_RETURN_IF_ERROR(store->Scatter({7}, row));
    PROTOPAGE_RETURN_IF_ERROR(store->Flush());            // Dirty rows are in the segment.
    PROTOPAGE_RETURN_IF_ERROR(log->Commit(120));          // And durable.
    PROTOPAGE_RETURN_IF_ERROR(store->Scatter({8}, row));  // Lost.
    PROTOPAGE_RETURN_IF_ERROR(log->Retire(100));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(run());
  RowMatrixXf read(2, kDim);
  const auto resume = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto log,
                               TableLog::Open(fs, directory + "/log", /*checkpoint=*/120, {}));
    PrototypeStoreOptions options;
    options.log = log.get();
    PROTOPAGE_ASSIGN_OR_RETURN(auto store,
                               PrototypeStore::Open(directory + "/prototypes.h5", options));
    return store->Gather({7, 8}, read);
  };
  PROTOPAGE_ASSERT_OK(resume());
  EXPECT_EQ(read.row(0), row.row(0));
  EXPECT_NE(read.row(1), row.row(0));
}

TEST(TableLogTest, EveryKeptCheckpointOpensAndTheMainFileIsTheOldest) {
  LoggedStore s("kept");
  PROTOPAGE_ASSERT_OK(s.Create());
  std::map<int64_t, Content> contents;
  for (int64_t c = 1; c <= 6; ++c) {
    PROTOPAGE_ASSERT_OK(s.Steps(20 * c, 20 * c + 20));
    if (c == 3) {
      PROTOPAGE_ASSERT_OK(s.store->ResetState());
      PROTOPAGE_ASSERT_OK(s.Steps(500, 502));
    }
    if (c == 4) {
      PROTOPAGE_ASSERT_OK(s.store->WriteRange(70, RowMatrixXf::Constant(90, kDim, 0.25f)));
      PROTOPAGE_ASSERT_OK(s.store->Scatter({3, 2}, RowMatrixXf::Constant(2, kDim, 0.5f)));
    }
    PROTOPAGE_ASSERT_OK(s.Commit(c * 100));
    contents[c * 100] = ContentOf(s.store.get());
    if (c == 2) {
      EXPECT_TRUE(MainFile(s) == contents[100]) << "written in place";
    }
    if (c >= 5) {
      PROTOPAGE_ASSERT_OK(s.log->Retire(c * 100 - 300));
      EXPECT_TRUE(MainFile(s) == contents[c * 100 - 300]);
      EXPECT_TRUE(ContentOf(s.store.get()) == contents[c * 100]);
    }
  }
  EXPECT_EQ(s.log->stats().segments, 4);
  EXPECT_GT(s.log->stats().rows_merged, 200);
  // From the newest to the oldest, as opening a checkpoint removes the later ones. The steps after
  // each are lost.
  for (int64_t c = 6; c >= 3; --c) {
    PROTOPAGE_ASSERT_OK(s.Open(c * 100));
    EXPECT_EQ(s.log->head().checkpoint, c * 100);
    EXPECT_TRUE(ContentOf(s.store.get()) == contents[c * 100]) << c;
    PROTOPAGE_ASSERT_OK(s.Steps(900, 930));
  }
  EXPECT_THAT(s.Open(400), StatusIs(absl::StatusCode::kDataLoss, "checkpoint 400"));
  EXPECT_THAT(s.Open(200), StatusIs(absl::StatusCode::kNotFound, "checkpoint 200"));
  // Training resumes from there, to the same content as before.
  PROTOPAGE_ASSERT_OK(s.Open(300));
  PROTOPAGE_ASSERT_OK(s.Steps(80, 100));
  PROTOPAGE_ASSERT_OK(s.store->WriteRange(70, RowMatrixXf::Constant(90, kDim, 0.25f)));
  PROTOPAGE_ASSERT_OK(s.store->Scatter({3, 2}, RowMatrixXf::Constant(2, kDim, 0.5f)));
  PROTOPAGE_ASSERT_OK(s.Commit(400));
  PROTOPAGE_ASSERT_OK(s.log->RetireNow(400));
  EXPECT_TRUE(MainFile(s) == contents[400]);
  PROTOPAGE_ASSERT_OK(s.Open(400));
  EXPECT_TRUE(ContentOf(s.store.get()) == contents[400]);
}

TEST(TableLogTest, SegmentsAreMergedByTheirNumberToo) {
  LoggedStore s("count");
  s.log_options.merge_bytes = int64_t{1} << 30;
  s.log_options.merge_segments = 5;
  PROTOPAGE_ASSERT_OK(s.Create());
  std::map<int64_t, Content> contents;
  int64_t most = 0;
  for (int64_t c = 1; c <= 40; ++c) {
    PROTOPAGE_ASSERT_OK(s.Step(c));
    PROTOPAGE_ASSERT_OK(s.Commit(c));
    PROTOPAGE_ASSERT_OK(s.log->Retire(c - 2));
    most = std::max(most, s.log->stats().segments);
    contents[c] = ContentOf(s.store.get());
  }
  EXPECT_LE(most, 5 + 3);
  EXPECT_GE(most, 5);
  PROTOPAGE_ASSERT_OK(s.Open(38));
  EXPECT_TRUE(ContentOf(s.store.get()) == contents[38]);
}

// Far more checkpoints are kept than segments stay open.
TEST(TableLogTest, KeptCheckpointsNeedNoFilesThatStayOpen) {
  LoggedStore s("many_kept"), reader("many_kept");
  s.log_options.open_segments = 2;
  PROTOPAGE_ASSERT_OK(s.Create());
  std::map<int64_t, Content> contents;
  const auto open_files = [] { return DefaultFileSystem()->List("/proc/self/fd").value().size(); };
  const size_t before = open_files();
  for (int64_t c = 1; c <= 100; ++c) {
    PROTOPAGE_ASSERT_OK(s.Step(c));
    PROTOPAGE_ASSERT_OK(s.Commit(c));
    if (c % 20 == 0) contents[c] = ContentOf(s.store.get());
    ASSERT_LE(open_files(), before + 3);
  }
  EXPECT_EQ(s.log->stats().segments, 101);
  PROTOPAGE_ASSERT_OK(s.store->Flush());
  PROTOPAGE_ASSERT_OK(reader.OpenReadOnly(100));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[100]);
  // A merge removes files that the reader has open, and then others that it needs.
  PROTOPAGE_ASSERT_OK(s.log->Retire(20));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[100]);
  PROTOPAGE_ASSERT_OK(s.log->Retire(80));
  RowMatrixXf rows(kClasses, kDim);
  EXPECT_THAT(reader.store->ReadRange(0, rows),
              StatusIs(absl::StatusCode::kAborted, "checkpoint 100 must be opened again"));
  PROTOPAGE_ASSERT_OK(reader.OpenReadOnly(100));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[100]);
  reader.Close();
  PROTOPAGE_ASSERT_OK(s.Open(80));
  EXPECT_TRUE(ContentOf(s.store.get()) == contents[80]);
  PROTOPAGE_ASSERT_OK(s.log->RetireNow(80));
  EXPECT_TRUE(MainFile(s) == contents[80]);
}

TEST(TableLogTest, ASegmentThatSomebodyRemovedIsNamed) {
  LoggedStore s("removed");
  s.log_options.open_segments = 1;
  PROTOPAGE_ASSERT_OK(s.Create());
  for (int64_t c = 1; c <= 3; ++c) {
    PROTOPAGE_ASSERT_OK(s.Steps(10 * c, 10 * c + 10));
    PROTOPAGE_ASSERT_OK(s.Commit(c));
  }
  PROTOPAGE_ASSERT_OK(DefaultFileSystem()->Remove(s.SegmentPath(2)));
  RowMatrixXf rows(kClasses, kDim);
  EXPECT_THAT(s.store->ReadRange(0, rows),
              StatusIs(absl::StatusCode::kDataLoss, "0000000002.segment"));
}

TEST(TableLogTest, FilesOfOthersAreLeftAlone) {
  LoggedStore s("foreign");
  FileSystem* const fs = DefaultFileSystem();
  const std::string note = JoinPath(s.LogPath(), "note.txt");
  const std::string copy = JoinPath(s.LogPath(), "0000000009.segment.bak");
  const std::string folder = JoinPath(s.LogPath(), "0000000009.segment");
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Commit(1));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, note, "a"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, copy, "b"));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(folder));
  PROTOPAGE_ASSERT_OK(s.Step(1));
  PROTOPAGE_ASSERT_OK(s.Commit(2));
  PROTOPAGE_ASSERT_OK(s.log->RetireNow(2));
  PROTOPAGE_ASSERT_OK(s.Open(2));
  s.Close();
  PROTOPAGE_ASSERT_OK(fs->Remove(s.StorePath()));
  PROTOPAGE_ASSERT_OK(s.Create());
  s.Close();
  PROTOPAGE_ASSERT_OK(TableLog::Remove(fs, s.LogPath()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto left, fs->List(s.LogPath()));
  EXPECT_EQ(left,
            (std::vector<std::string>{"0000000009.segment", "0000000009.segment.bak", "note.txt"}));
  for (const std::string& path : {note, copy}) PROTOPAGE_ASSERT_OK(fs->Remove(path));
  PROTOPAGE_ASSERT_OK(fs->RemoveDirectory(folder));
  PROTOPAGE_ASSERT_OK(TableLog::Remove(fs, s.LogPath()));
  EXPECT_FALSE(fs->Exists(s.LogPath()));
}

TEST(TableLogTest, ANonceMayBeGiven) {
  const auto header = [](const std::string& name, uint64_t nonce) {
    LoggedStore s(name);
    s.log_options.nonce = [nonce] { return nonce; };
    PROTOPAGE_EXPECT_OK(s.Create());
    return ReadFile(DefaultFileSystem(), s.SegmentPath(1)).value();
  };
  EXPECT_EQ(header("nonce1", 5), header("nonce2", 5));
  EXPECT_NE(header("nonce3", 5), header("nonce4", 6));
}

TEST(TableLogTest, AClearedColumnIsClearedWhereverItsRowsAre) {
  LoggedStore s("cleared");
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Steps(0, 10));
  PROTOPAGE_ASSERT_OK(s.Commit(1));  // In the main file,
  PROTOPAGE_ASSERT_OK(s.Steps(10, 14));
  PROTOPAGE_ASSERT_OK(s.Commit(2));  // in a segment,
  PROTOPAGE_ASSERT_OK(s.Steps(14, 16));
  PROTOPAGE_ASSERT_OK(s.store->Flush());  // in the current one,
  PROTOPAGE_ASSERT_OK(s.Steps(16, 17));   // and in the cache.
  const Content before = ContentOf(s.store.get());
  PROTOPAGE_ASSERT_OK(s.store->ResetState());
  Content want = before;
  want.momentum.setZero();
  want.last_step.assign(kClasses, -1);
  EXPECT_TRUE(ContentOf(s.store.get()) == want);
  PROTOPAGE_ASSERT_OK(s.Commit(3));
  EXPECT_TRUE(ContentOf(s.store.get()) == want);
  PROTOPAGE_ASSERT_OK(s.Open(3));
  EXPECT_TRUE(ContentOf(s.store.get()) == want);
  PROTOPAGE_ASSERT_OK(s.Steps(17, 20));
  PROTOPAGE_ASSERT_OK(s.Commit(4));
  const Content later = ContentOf(s.store.get());
  PROTOPAGE_ASSERT_OK(s.log->Retire(3));
  EXPECT_TRUE(MainFile(s) == want);
  EXPECT_TRUE(ContentOf(s.store.get()) == later);
  PROTOPAGE_ASSERT_OK(s.log->Retire(4));
  EXPECT_TRUE(MainFile(s) == later);
  EXPECT_TRUE(ContentOf(s.store.get()) == later);
}

TEST(TableLogTest, QueuesShareTheLogAndMayJoinLater) {
  LoggedStore s("queues");
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Steps(0, 5));
  PROTOPAGE_ASSERT_OK(s.Commit(1));
  EXPECT_FALSE(s.log->HasTable(1));
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 4;
  options.log = s.log.get();
  const std::string path = s.StorePath() + ".queues";
  const auto search = [](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> out) {
    for (size_t i = 0; i < ids.size(); ++i) {
      for (int64_t j = 0; j < k; ++j) out[i * k + j] = (ids[i] + j + 1) % kClasses;
    }
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto queues, ClassQueues::Create(path, kClasses, options));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({5, 6}, 4, search));
  PROTOPAGE_ASSERT_OK(queues->Flush());
  PROTOPAGE_ASSERT_OK(s.Commit(2));
  EXPECT_TRUE(s.log->HasTable(1));
  PROTOPAGE_ASSERT_OK(queues->ApplyMistakes({5, 8}, {0}, {1}));
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 6, search));
  PROTOPAGE_ASSERT_OK(queues->Flush());
  PROTOPAGE_ASSERT_OK(s.Commit(3));
  PROTOPAGE_ASSERT_OK(queues->Reset());
  PROTOPAGE_ASSERT_OK(queues->EnsureBuilt({7}, 9, search));
  PROTOPAGE_ASSERT_OK(queues->Flush());
  PROTOPAGE_ASSERT_OK(s.Commit(4));
  queues.reset();
  const auto dominants = [&](ClassId id) {
    std::vector<ClassId> out(2);
    const absl::Status status = queues->Dominants(id, absl::MakeSpan(out));
    return status.ok() ? out : std::vector<ClassId>{static_cast<ClassId>(status.code())};
  };
  const auto unbuilt =
      std::vector<ClassId>{static_cast<ClassId>(absl::StatusCode::kFailedPrecondition)};
  for (int64_t c = 4; c >= 2; --c) {
    PROTOPAGE_ASSERT_OK(s.Open(c));
    options.log = s.log.get();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(queues, ClassQueues::Open(path, options));
    const bool reset = c == 4;
    EXPECT_EQ(dominants(5), reset    ? unbuilt
                            : c == 3 ? (std::vector<ClassId>{8, 6})
                                     : (std::vector<ClassId>{6, 7}));
    EXPECT_EQ(dominants(7), c == 2 ? unbuilt : (std::vector<ClassId>{8, 9}));
    queues.reset();
  }
  PROTOPAGE_ASSERT_OK(s.Open(1));
  EXPECT_FALSE(s.log->HasTable(1));
  options.log = s.log.get();
  EXPECT_THAT(ClassQueues::Open(path, options),
              StatusIs(absl::StatusCode::kFailedPrecondition, "not of checkpoint 1"));
}

TEST(TableLogTest, AReaderDoesNotDisturbAndLearnsOfRetirement) {
  LoggedStore writer("reader"), reader("reader");
  PROTOPAGE_ASSERT_OK(writer.Create());
  std::map<int64_t, Content> contents;
  for (int64_t c = 1; c <= 4; ++c) {
    PROTOPAGE_ASSERT_OK(writer.Steps(10 * c, 10 * c + 10));
    PROTOPAGE_ASSERT_OK(writer.Commit(c));
    contents[c] = ContentOf(writer.store.get());
  }
  PROTOPAGE_ASSERT_OK(writer.Steps(50, 55));
  PROTOPAGE_ASSERT_OK(reader.OpenReadOnly(3));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[3]);
  EXPECT_THAT(reader.store->Scatter({1}, RowMatrixXf::Zero(1, kDim)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
  // A merge of segments that are older than the reader's checkpoint changes nothing for the reader.
  PROTOPAGE_ASSERT_OK(writer.log->Retire(2));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[3]);
  PROTOPAGE_ASSERT_OK(writer.log->Retire(3));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[3]);
  const std::string copy = reader.StorePath() + ".copy";
  PROTOPAGE_ASSERT_OK(reader.store->SaveCopy(copy));
  PROTOPAGE_ASSERT_OK(writer.log->Retire(4));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(copy, {}));
    EXPECT_TRUE(ContentOf(store.get()) == contents[3]);
  }
  EXPECT_THAT(reader.store->SaveCopy(copy + "2"),
              StatusIs(absl::StatusCode::kAborted, "checkpoint 3 was retired"));
  EXPECT_FALSE(DefaultFileSystem()->Exists(absl::StrCat(copy, "2.", getpid(), ".tmp")));
  RowMatrixXf rows(kClasses, kDim);
  EXPECT_THAT(reader.store->ReadRange(0, rows),
              StatusIs(absl::StatusCode::kAborted, "checkpoint 3 was retired"));
  EXPECT_THAT(reader.OpenReadOnly(3), StatusIs(absl::StatusCode::kNotFound, "checkpoint 3"));
  PROTOPAGE_ASSERT_OK(reader.OpenReadOnly(4));
  EXPECT_TRUE(ContentOf(reader.store.get()) == contents[4]);
  // One writer.
  EXPECT_THAT(reader.Open(4), StatusIs(absl::StatusCode::kFailedPrecondition, "is locked"));
  EXPECT_THAT(reader.Create(), StatusIs(absl::StatusCode::kFailedPrecondition, "is locked"));
  EXPECT_THAT(PrototypeStore::Open(writer.StorePath(), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "prototypes.h5"));
}

TEST(TableLogTest, MergingBesideReadersAndWritersChangesNothingTheySee) {
  LoggedStore plain("plain"), merged("merged");
  merged.log_options.background = true;
  PROTOPAGE_ASSERT_OK(plain.Create());
  PROTOPAGE_ASSERT_OK(merged.Create());
  for (int64_t c = 1; c <= 30; ++c) {
    for (int64_t step = 10 * c; step < 10 * c + 10; ++step) {
      PROTOPAGE_ASSERT_OK(plain.Step(step));
      PROTOPAGE_ASSERT_OK(merged.Step(step));
    }
    if (c % 10 == 0) {
      PROTOPAGE_ASSERT_OK(plain.store->ResetState());
      PROTOPAGE_ASSERT_OK(merged.store->ResetState());
    }
    PROTOPAGE_ASSERT_OK(merged.Commit(c));
    PROTOPAGE_ASSERT_OK(merged.log->Retire(c - 2));
    ASSERT_TRUE(ContentOf(merged.store.get()) == ContentOf(plain.store.get())) << c;
  }
  PROTOPAGE_ASSERT_OK(merged.log->RetireNow(30));
  EXPECT_EQ(merged.log->stats().segments, 1);
  EXPECT_EQ(merged.log->stats().index_rows, 0);
  EXPECT_TRUE(MainFile(merged) == ContentOf(plain.store.get()));
}

TEST(TableLogTest, ACopyHasTheLogsPartToo) {
  LoggedStore s("copy");
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Steps(0, 10));
  PROTOPAGE_ASSERT_OK(s.Commit(1));
  PROTOPAGE_ASSERT_OK(s.store->ResetState());
  PROTOPAGE_ASSERT_OK(s.Steps(10, 13));
  const std::string path = s.StorePath() + ".copy";
  PROTOPAGE_ASSERT_OK(s.store->SaveCopy(path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto copy, PrototypeStore::Open(path, {}));
  EXPECT_TRUE(copy->clean_when_opened());
  EXPECT_TRUE(ContentOf(copy.get()) == ContentOf(s.store.get()));
  PROTOPAGE_EXPECT_OK(copy->Scatter({1}, RowMatrixXf::Zero(1, kDim)));  // It has no log.
}

TEST(TableLogTest, AsksForACheckpointWhenTheIndexOrTheSegmentIsLarge) {
  LoggedStore s("wants");
  s.log_options.index_bytes = 40 * 100;
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Commit(1));
  int64_t steps = 0;
  for (; !s.log->wants_checkpoint(); ++steps) {
    ASSERT_LT(steps, 50);
    PROTOPAGE_ASSERT_OK(s.Step(steps));
    PROTOPAGE_ASSERT_OK(s.store->Flush());
  }
  EXPECT_GE(steps, 4);
  PROTOPAGE_ASSERT_OK(s.Commit(2));
  EXPECT_FALSE(s.log->wants_checkpoint());
  LoggedStore bytes("wants_bytes");
  bytes.log_options.segment_bytes = 30000;
  PROTOPAGE_ASSERT_OK(bytes.Create());
  PROTOPAGE_ASSERT_OK(bytes.Commit(1));
  for (steps = 0; !bytes.log->wants_checkpoint(); ++steps) {
    ASSERT_LT(steps, 50);
    PROTOPAGE_ASSERT_OK(bytes.Step(0));  // The same rows.
    PROTOPAGE_ASSERT_OK(bytes.store->Flush());
  }
  EXPECT_EQ(steps, 30000 / (24 * (32 + 8 + 8 * kDim)) + 1);
  PROTOPAGE_ASSERT_OK(bytes.Commit(2));
  EXPECT_FALSE(bytes.log->wants_checkpoint());
}

TEST(TableLogTest, DamageIsFoundAndNamed) {
  LoggedStore s("damage");
  PROTOPAGE_ASSERT_OK(s.Create());
  PROTOPAGE_ASSERT_OK(s.Steps(0, 10));
  PROTOPAGE_ASSERT_OK(s.Commit(1));  // Segment 1; the rows are in the main file.
  PROTOPAGE_ASSERT_OK(s.Steps(10, 13));
  PROTOPAGE_ASSERT_OK(s.Commit(2));  // Segment 2.
  PROTOPAGE_ASSERT_OK(s.Steps(13, 14));
  PROTOPAGE_ASSERT_OK(s.Commit(3));
  const Content want = ContentOf(s.store.get());
  s.Close();
  FileSystem* fs = DefaultFileSystem();
  const std::string path = s.SegmentPath(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadFile(fs, path));
  const auto size = static_cast<int64_t>(whole.size());
  int64_t directory_offset;
  std::memcpy(&directory_offset, whole.data() + size - 32, 8);
  // The newest record of a row that has none in segment 3.
  int64_t record = 0;
  for (int64_t at = directory_offset; record == 0; at += 24) {
    ASSERT_LT(at, size - 64);
    int64_t row;
    std::memcpy(&row, whole.data() + at + 8, 8);
    if (want.last_step[row] < 13) std::memcpy(&record, whole.data() + at + 16, 8);
  }
  const std::string record_name = absl::StrCat("record at byte ", record, ",");
  const struct {
    int64_t offset;
    std::string named;
  } flips[] = {{0, "segment's header is damaged"},
               {24, "segment's header is damaged"},  // The checkpoint before.
               {record + 1, record_name},            // A record's header,
               {record + 8, record_name},            // its row,
               {record + 32 + 3, record_name},       // its payload.
               {directory_offset + 9, "directory"},
               {size - 64, "the commit record"},
               {size - 50, "the commit record"},
               {size - 1, "the commit record"}};
  const auto all = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(s.Open(3));
    RowMatrixXf rows(kClasses, kDim);
    return s.store->ReadRange(0, rows);
  };
  for (const auto& flip : flips) {
    std::string damaged = whole;
    damaged[flip.offset] ^= 16;
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, damaged));
    const absl::Status status = all();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, path)) << flip.offset;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, flip.named)) << flip.offset;
    s.Close();
  }
  for (const int64_t length : {int64_t{10}, int64_t{500}, size - 1}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, whole.substr(0, length)));
    EXPECT_THAT(all(), StatusIs(absl::StatusCode::kDataLoss, path)) << length;
    s.Close();
  }
  PROTOPAGE_ASSERT_OK(fs->Remove(path));
  EXPECT_THAT(all(), StatusIs(absl::StatusCode::kDataLoss, path));
  s.Close();
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, whole));
  // The main file: a cell that the log does not replace.
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs->Open(s.StorePath(), OpenMode::kReadWrite));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Hdf5Layout layout,
                                   ReadHdf5Layout(file.get(), s.StorePath()));
    RowMatrixXf before(kClasses, kDim);
    const int64_t cells = layout.Find("prototypes")->offset;
    PROTOPAGE_ASSERT_OK(file->ReadAt(cells, before.data(), before.size() * 4));
    for (int64_t row = 0; row < kClasses; ++row) {
      if (before.row(row) != want.rows.row(row) || before.row(row).isZero(0)) continue;
      PROTOPAGE_ASSERT_OK(file->WriteAt(cells + row * kDim * 4 + 5, "x", 1));
      EXPECT_THAT(all(), StatusIs(absl::StatusCode::kDataLoss,
                                  absl::StrCat("row ", row, " of 'prototypes'")));
      s.Close();
      PROTOPAGE_ASSERT_OK(file->WriteAt(cells, before.data(), before.size() * 4));
      break;
    }
  }
  PROTOPAGE_ASSERT_OK(s.Open(3));
  EXPECT_TRUE(ContentOf(s.store.get()) == want);
  EXPECT_THAT(s.Commit(3), StatusIs(absl::StatusCode::kInvalidArgument, "checkpoint 3"));
}

// Each call of a run in turn fails once, or every write from then on. The run ends with an error or
// recovers. Reopened at its newest checkpoint, it has the rows of that checkpoint.
TEST(TableLogTest, EveryFaultIsAnErrorOrRecoveredFrom) {
  LoggedStore clean("fault_free");
  std::map<int64_t, Content> contents;
  const auto run = [&](LoggedStore* s, int64_t* done, bool keep) -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(s->Create());
    for (int64_t c = 1; c <= 4; ++c) {
      PROTOPAGE_RETURN_IF_ERROR(s->Steps(4 * c, 4 * c + 4));
      if (c == 3) PROTOPAGE_RETURN_IF_ERROR(s->store->ResetState());
      PROTOPAGE_RETURN_IF_ERROR(s->Commit(c));
      *done = c;
      if (keep) contents[c] = ContentOf(s->store.get());
      PROTOPAGE_RETURN_IF_ERROR(s->log->Retire(c - 1));
    }
    return absl::OkStatus();
  };
  int64_t done = 0;
  PROTOPAGE_ASSERT_OK(run(&clean, &done, true));
  FaultyFileSystem fs;
  int errors = 0;
  for (const bool full : {false, true}) {
    for (int64_t call = 1;; call += full ? 5 : 1) {
      LoggedStore s(absl::StrCat("fault", call, full ? "_full" : ""), &fs);
      done = 0;
      const int64_t before = fs.calls();
      if (full) {
        fs.FailWritesFrom(call);
      } else {
        fs.FailAt(call);
      }
      const absl::Status status = run(&s, &done, false);
      fs.FailAt(0);
      fs.FailWritesFrom(0);
      const bool hit = fs.calls() - before >= call;
      errors += status.ok() ? 0 : 1;
      if (done > 0) {
        PROTOPAGE_ASSERT_OK(s.Open(done));
        ASSERT_TRUE(ContentOf(s.store.get()) == contents[done]) << call;
      }
      if (status.ok()) {
        ASSERT_EQ(done, 4);
      }
      if (!hit) break;
    }
  }
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace protopage
