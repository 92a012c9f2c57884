#include "protopage/trainer/stages/imprint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/fake_source.h"
#include "protopage/model/cpu/cpu_backend.h"

namespace protopage {
namespace {

class ImprintTest : public testing::Test {
 protected:
  void SetUp() override {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(backend_, NewCpuBackend(&pool_));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(net_, Net::Create({}, {20, 20, 3}, 1, backend_.get()));
  }

  std::unique_ptr<PrototypeStore> NewStore(const std::string& name, int64_t classes) {
    PrototypeStoreSpec spec;
    spec.num_classes = classes;
    spec.dim = 512;
    spec.seed = 5;
    absl::StatusOr<std::unique_ptr<PrototypeStore>> store = PrototypeStore::Create(
        absl::StrCat(testing::TempDir(), "/imprint_test_", getpid(), "_", name, ".h5"), spec, {});
    PROTOPAGE_EXPECT_OK(store);
    return std::move(store).value();
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Net> net_;
};

TEST_F(ImprintTest, TheExampleOfTheHeader) {
  const FakeSource source({0, 1, 1}, 2, 20, 20);
  Embedder embedder(net_.get(), backend_.get(), {});
  const std::unique_ptr<PrototypeStore> new_store = NewStore("example", 2);
  PrototypeStore& store = *new_store;
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(ImprintStats stats, Imprint(embedder, source, {}, store));
    EXPECT_EQ(stats.classes, 2);
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

TEST_F(ImprintTest, NormalisesAveragesNormalises) {
  // Class 1 has no image; batches and blocks cut through classes.
  const FakeSource source({3, 0, 2, 3, 0, 3, 3, 3, 2}, 4, 20, 20);
  Embedder embedder(net_.get(), backend_.get(), {.batch_size = 2});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EmbeddedImages images,
                                 embedder.RunAll(source, AllRecords(source)));
  RowMatrixXf expected = RowMatrixXf::Zero(4, 512);
  for (int64_t i = 0; i < source.size(); ++i) {
    expected.row(source.Label(i)) += images.features.row(i).normalized();
  }
  const std::unique_ptr<PrototypeStore> store = NewStore("mean", 4);
  RowMatrixXf before(4, 512), after(4, 512);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, before));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImprintStats stats,
                                 Imprint(embedder, source, {.block_rows = 3}, *store));
  EXPECT_EQ(stats.images, 9);
  EXPECT_EQ(stats.classes, 3);
  EXPECT_EQ(stats.imageless, 1);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, after));
  for (const int64_t c : {0, 2, 3}) {
    // A sum of a few unit vectors in float, against one in double.
    EXPECT_LT((after.row(c) - expected.row(c).normalized()).norm(), 1e-6) << c;
  }
  EXPECT_EQ(after.row(1), before.row(1));
  // The row that nothing was written to counts as such, for inspect.
  std::vector<ClassState> states(4);
  PROTOPAGE_ASSERT_OK(store->ReadStates(0, absl::MakeSpan(states)));
  for (const int64_t c : {0, 1, 2, 3}) EXPECT_EQ(states[c].written, c != 1) << c;
}

TEST_F(ImprintTest, DroppedClassesStayAway) {
  const FakeSource source({0, 1, 2, 1}, 4, 20, 20);
  Embedder embedder(net_.get(), backend_.get(), {});
  const std::unique_ptr<PrototypeStore> store = NewStore("dropped", 4);
  PROTOPAGE_ASSERT_OK(store->Drop({1}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImprintStats stats, Imprint(embedder, source, {}, *store));
  EXPECT_EQ(stats.images, 2);
  EXPECT_EQ(stats.classes, 2);
  EXPECT_EQ(stats.imageless, 1);
  EXPECT_TRUE(store->is_dropped(1));
}

TEST_F(ImprintTest, NewClassesAreAppended) {
  const FakeSource source({1, 0, 1, 2}, 3, 20, 20);
  Embedder embedder(net_.get(), backend_.get(), {});
  const std::unique_ptr<PrototypeStore> fresh = NewStore("fresh", 3), store = NewStore("more", 5);
  PROTOPAGE_ASSERT_OK(Imprint(embedder, source, {}, *fresh));
  PrototypeStoreSpec spec = store->spec();
  EXPECT_THAT(AppendImprinted(embedder, source, {}, *store),
              StatusIs(absl::StatusCode::kOutOfRange, "with room for 5"));
  spec.capacity = 9;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto roomy,
                                 PrototypeStore::Create(store->path() + ".2", spec, {}));
  PROTOPAGE_ASSERT_OK(AppendImprinted(embedder, source, {.block_rows = 2}, *roomy));
  EXPECT_EQ(roomy->num_classes(), 5);
  PROTOPAGE_ASSERT_OK(roomy->AddAppended());
  RowMatrixXf want(3, 512), rows(3, 512);
  PROTOPAGE_ASSERT_OK(fresh->ReadRange(0, want));
  PROTOPAGE_ASSERT_OK(roomy->ReadRange(5, rows));
  EXPECT_EQ(rows, want);
  EXPECT_THAT(AppendImprinted(embedder, FakeSource({0, 2}, 3, 20, 20), {}, *roomy),
              StatusIs(absl::StatusCode::kInvalidArgument, "class 1 has no image"));
}

TEST_F(ImprintTest, OfOneDomainOnly) {
  FakeSource source({0, 0, 1, 1}, 2, 20, 20);
  source.names = {"id", "spot"};
  source.set_domains({0, 1, 0, 1});
  Embedder embedder(net_.get(), backend_.get(), {});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EmbeddedImages images,
                                 embedder.RunAll(source, AllRecords(source)));
  const std::unique_ptr<PrototypeStore> store = NewStore("domain", 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImprintStats stats,
                                 Imprint(embedder, source, {.domain = 0}, *store));
  EXPECT_EQ(stats.images, 2);
  RowMatrixXf rows(2, 512);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
  EXPECT_LT((rows.row(1) - images.features.row(2).normalized()).norm(), 1e-6);
}

TEST_F(ImprintTest, ErrorsAreNamed) {
  FakeSource source({0, 1}, 2, 20, 20);
  Embedder embedder(net_.get(), backend_.get(), {});
  const std::unique_ptr<PrototypeStore> small = NewStore("small", 1);
  EXPECT_THAT(Imprint(embedder, source, {}, *small),
              StatusIs(absl::StatusCode::kInvalidArgument, "has 2 classes"));
  const std::unique_ptr<PrototypeStore> store = NewStore("damaged", 2);
  source.damaged = {1};
  EXPECT_THAT(Imprint(embedder, source, {}, *store),
              StatusIs(absl::StatusCode::kDataLoss, "fake-1"));
}

}  // namespace
}  // namespace protopage
