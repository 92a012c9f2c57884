#include "protopage/trainer/verbs/store_classes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/fake_source.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 5, kDim = 512;

class StoreClassesTest : public testing::Test {
 protected:
  void SetUp() override {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(backend_, NewCpuBackend(&pool_));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(net_, Net::Create({}, {20, 20, 3}, 1, backend_.get()));
    path_ = absl::StrCat(testing::TempDir(), "/store_classes_test_", getpid(), "_",
                         testing::UnitTest::GetInstance()->current_test_info()->name(), ".h5");
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.capacity = 20;
    spec.dim = kDim;
    PROTOPAGE_ASSERT_OK(PrototypeStore::Create(path_, spec, {}).status());
  }

  absl::StatusOr<std::vector<AddedClass>> Add(const ImageSource& source,
                                              const ImprintOptions& options = {},
                                              FileSystem* fs = DefaultFileSystem()) {
    Embedder embedder(net_.get(), backend_.get(), {});
    return AddClasses(fs, path_, embedder, kDim, source, options);
  }

  std::unique_ptr<PrototypeStore> Look() {
    PrototypeStoreOptions options;
    options.read_only = true;
    auto store = PrototypeStore::Open(path_, options);
    PROTOPAGE_EXPECT_OK(store);
    return std::move(store).value();
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Net> net_;
  std::string path_;
};

TEST_F(StoreClassesTest, AnAddThatFailsInTheMiddleLeavesAGoodStore) {
  FakeSource source({0, 1, 2, 3, 4}, 5, 20, 20);
  source.damaged = {4};
  // Four rows are written by then.
  EXPECT_THAT(Add(source, {.block_rows = 2}), StatusIs(absl::StatusCode::kDataLoss, "fake-4"));
  {
    const auto store = Look();
    EXPECT_TRUE(store->clean_when_opened());
    EXPECT_EQ(store->num_classes(), kClasses);
  }
  source.damaged = {};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto added, Add(source, {.block_rows = 2}));
  ASSERT_EQ(added.size(), 5u);
  EXPECT_EQ(added[4].id, kClasses + 4);
  const auto store = Look();
  EXPECT_TRUE(store->clean_when_opened());
  EXPECT_EQ(store->num_classes(), kClasses + 5);
  RowMatrixXf rows(5, kDim);
  PROTOPAGE_ASSERT_OK(store->ReadRange(kClasses, rows));
  EXPECT_TRUE(rows.rowwise().norm().isOnes(1e-5f));
}

// Something happens before the first open for writing of a file.
class BeforeWriting : public ForwardingFileSystem {
 public:
  BeforeWriting(std::string path, std::function<void()> call)
      : path_(std::move(path)), call_(std::move(call)) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (call_ && path == path_ && mode == OpenMode::kReadWrite) std::exchange(call_, nullptr)();
    return base()->Open(path, mode);
  }

 private:
  const std::string path_;
  std::function<void()> call_;
};

TEST_F(StoreClassesTest, IdsAreThoseAtTheTimeOfWriting) {
  BeforeWriting fs(path_, [&] {
    FakeSource other({0, 1}, 2, 20, 20);
    other.class_names = {"other 0", "other 1"};
    PROTOPAGE_EXPECT_OK(Add(other).status());
  });
  const FakeSource source({0, 1, 2}, 3, 20, 20);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto added, Add(source, {}, &fs));
  ASSERT_EQ(added.size(), 3u);
  EXPECT_EQ(added[0].id, kClasses + 2);
  EXPECT_EQ(added[2].id, kClasses + 4);
  const auto store = Look();
  ASSERT_EQ(store->num_classes(), kClasses + 5);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, store->ReadNames(kClasses, 5));
  EXPECT_EQ(names,
            (std::vector<std::string>{"other 0", "other 1", "class 0", "class 1", "class 2"}));
}

TEST_F(StoreClassesTest, ANameThatExistsIsRefusedAndNothingChanges) {
  FakeSource source({0, 1}, 2, 20, 20);
  source.class_names = {"a", "b"};
  PROTOPAGE_ASSERT_OK(Add(source).status());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string before, ReadFile(DefaultFileSystem(), path_));
  source.class_names = {"c", "b"};
  EXPECT_THAT(Add(source),
              StatusIs(absl::StatusCode::kInvalidArgument, "class \"b\" is class 6 of"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string after, ReadFile(DefaultFileSystem(), path_));
  EXPECT_TRUE(before == after);
  // Also when another program adds it in the meantime.
  BeforeWriting fs(path_, [&] {
    FakeSource other({0}, 1, 20, 20);
    other.class_names = {"d"};
    PROTOPAGE_EXPECT_OK(Add(other).status());
  });
  source.class_names = {"c", "d"};
  EXPECT_THAT(Add(source, {}, &fs),
              StatusIs(absl::StatusCode::kInvalidArgument, "class \"d\" is class 7 of"));
  EXPECT_EQ(Look()->num_classes(), kClasses + 3);
  // The name of a dropped class is free.
  PROTOPAGE_ASSERT_OK(DropClasses(DefaultFileSystem(), path_, {6}).status());
  source.class_names = {"c", "b"};
  PROTOPAGE_ASSERT_OK(Add(source).status());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto found, FindStoreClasses(DefaultFileSystem(), path_, {"b", "a", "c", "d"}));
  EXPECT_EQ(found, (std::vector<ClassId>{9, 5, 8, 7}));
  EXPECT_THAT(FindStoreClasses(DefaultFileSystem(), path_, {"a", "e"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "found \"e\", expected the name"));
}

TEST_F(StoreClassesTest, AStoreThatWasNotClosedIsLeftAsItIs) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path_, {}));
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, RowMatrixXf::Ones(1, kDim)));  // Not flushed.
  }
  FileSystem* fs = DefaultFileSystem();
  const auto refused =
      StatusIs(absl::StatusCode::kInvalidArgument, "its rows may be of several steps, expected");
  EXPECT_THAT(Add(FakeSource({0}, 1, 20, 20)), refused);
  EXPECT_THAT(DropClasses(fs, path_, {1}), refused);
  EXPECT_THAT(MergeClasses(fs, path_, 1, {2}), refused);
  const auto store = Look();
  EXPECT_FALSE(store->clean_when_opened());
  EXPECT_EQ(store->num_classes(), kClasses);
  EXPECT_EQ(store->num_dropped(), 0);
}

}  // namespace
}  // namespace protopage
