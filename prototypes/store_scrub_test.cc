#include "protopage/prototypes/store_scrub.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_queues.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 50, kDim = 8;

class StoreScrubTest : public testing::Test {
 protected:
  // A store with a log of one checkpoint, number 1: half of the rows were trained.
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/store_scrub_", getpid(), "_",
                              testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(directory_));
    TableLogOptions log_options;
    log_options.background = false;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto log, TableLog::Create(fs_, Path("log"), log_options));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    PrototypeStoreOptions options;
    options.log = log.get();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Create(Path("w.h5"), spec, options));
    ClassQueuesOptions queues_options;
    queues_options.dominant_queue = 2;
    queues_options.candidate_queue = 3;
    queues_options.log = log.get();
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        auto queues, ClassQueues::Create(Path("queues.h5"), kClasses, queues_options));
    PROTOPAGE_ASSERT_OK(Train(store.get(), 0));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(queues->Flush());
    PROTOPAGE_ASSERT_OK(log->Commit(0));
    PROTOPAGE_ASSERT_OK(Train(store.get(), 10));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(queues->Flush());
    PROTOPAGE_ASSERT_OK(log->Commit(1));
  }

  static absl::Status Train(PrototypeStore* store, ClassId first) {
    std::vector<ClassId> ids(20);
    std::iota(ids.begin(), ids.end(), first);
    StepRows rows;
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
    rows.rows *= 0.5f;
    rows.state.setConstant(0.25f);
    return store->ScatterStep(ids, rows, 3);
  }

  std::string Path(const std::string& name) { return JoinPath(directory_, name); }

  // The errors of opening and scrubbing checkpoint 1.
  std::vector<absl::Status> Scrub() {
    auto log = TableLog::OpenReadOnly(fs_, Path("log"), 1);
    if (!log.ok()) return {log.status()};
    PrototypeStoreOptions options;
    options.read_only = true;
    options.log = log->get();
    auto store = PrototypeStore::Open(Path("w.h5"), options);
    if (!store.ok()) return {store.status()};
    std::vector<absl::Status> errors = ScrubStore(store->get(), {});
    for (absl::Status& error : ScrubQueues(fs_, Path("queues.h5"), log->get(), /*id=*/0)) {
      errors.push_back(std::move(error));
    }
    return errors;
  }

  void Flip(const std::string& path, int64_t offset) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs_->Open(path, OpenMode::kReadWrite));
    char byte = 0;
    PROTOPAGE_ASSERT_OK(file->ReadAt(offset, &byte, 1));
    byte = static_cast<char>(byte ^ 16);
    PROTOPAGE_ASSERT_OK(file->WriteAt(offset, &byte, 1));
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string directory_;
};

TEST_F(StoreScrubTest, AWholeStoreHasNoDamage) {
  int64_t calls = 0;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto log, TableLog::OpenReadOnly(fs_, Path("log"), 1));
  PrototypeStoreOptions options;
  options.read_only = true;
  options.log = log.get();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto store, PrototypeStore::Open(Path("w.h5"), options));
  EXPECT_TRUE(ScrubStore(store.get(), [&](int64_t, int64_t total) {
                ++calls;
                EXPECT_EQ(total, kClasses);
              }).empty());
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(Scrub().empty());
}

TEST_F(StoreScrubTest, EachDamagedRowOfTheLogIsNamed) {
  const std::string segment = Path("log/0000000002.segment");
  // The payloads of the first and the third record: 32 bytes of head, then the row.
  const int64_t record = 32 + 4 * kDim + 4 * kDim + 8;
  Flip(segment, 64 + 32 + 5);
  Flip(segment, 64 + 2 * record + 32 + 4 * kDim + 1);
  const std::vector<absl::Status> errors = Scrub();
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_THAT(errors[0], StatusIs(absl::StatusCode::kDataLoss, segment));
  EXPECT_THAT(errors[0], StatusIs(absl::StatusCode::kDataLoss, "row 10"));
  EXPECT_THAT(errors[1], StatusIs(absl::StatusCode::kDataLoss, "row 12"));
}

[[maybe_unused]] void TheExampleOfTheHeader(const std::unique_ptr<PrototypeStore>& store) {
  std::vector<absl::Status> damage = ScrubStore(store.get(), /*progress=*/{});
}

}  // namespace
}  // namespace protopage
