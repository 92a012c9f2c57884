#include "protopage/trainer/session/embedder.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/fake_source.h"
#include "protopage/model/cpu/cpu_backend.h"

namespace protopage {
namespace {

class EmbedderTest : public testing::Test {
 protected:
  void SetUp() override {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(backend_, NewCpuBackend(&pool_));
    NetOptions options;
    options.embedding_dim = 8;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(net_, Net::Create(options, {20, 20, 3}, 1, backend_.get()));
  }

  // The net's features of one image, by nothing but the net.
  std::vector<float> Feature(int64_t record) {
    Image image;
    PROTOPAGE_EXPECT_OK(source_.Read(record, &image));
    const absl::StatusOr<Tensor> input = backend_->Allocate(DType::kUint8, {1, 20, 20, 3});
    PROTOPAGE_EXPECT_OK(input);
    PROTOPAGE_EXPECT_OK(backend_->CopyToDevice(image.pixels.data(), *input));
    Tensor output;
    PROTOPAGE_EXPECT_OK(net_->Forward(*input, {}, &output));
    std::vector<float> feature(8);
    PROTOPAGE_EXPECT_OK(backend_->CopyToHost(output, feature.data()));
    return feature;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Net> net_;
  FakeSource source_{{3, 1, 4, 1, 5, 0, 2, 2, 4, 3}, 6, 20, 20};
};

TEST_F(EmbedderTest, TheExampleOfTheHeader) {
  Net* const net = net_.get();
  Backend* const backend = backend_.get();
  const ImageSource& source = source_;
  const std::vector<int64_t> records = {1, 2, 3};
  int64_t rows = 0;
  const auto example = [&]() -> absl::Status {
    Embedder embedder(net, backend, {.batch_size = 256});
    PROTOPAGE_RETURN_IF_ERROR(embedder.Run(
        source, records, [&](absl::Span<const int64_t> piece, ConstRowMatrixRef features) {
          EXPECT_EQ(static_cast<int64_t>(piece.size()), features.rows());
          rows += features.rows();
          return absl::OkStatus();
        }));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(rows, 3);
}

TEST_F(EmbedderTest, RunGivesThePiecesInOrder) {
  Embedder embedder(net_.get(), backend_.get(), {.batch_size = 3, .loader_threads = 2});
  const std::vector<int64_t> records = {9, 0, 4, 4, 2, 7, 1};
  std::vector<int64_t> seen;
  std::vector<int64_t> sizes;
  PROTOPAGE_ASSERT_OK(embedder.Run(
      source_, records, [&](absl::Span<const int64_t> piece, ConstRowMatrixRef features) {
        sizes.push_back(static_cast<int64_t>(piece.size()));
        EXPECT_EQ(features.rows(), sizes.back());
        seen.insert(seen.end(), piece.begin(), piece.end());
        return absl::OkStatus();
      }));
  EXPECT_EQ(seen, records);
  EXPECT_EQ(sizes, (std::vector<int64_t>{3, 3, 1}));
}

TEST_F(EmbedderTest, FeaturesAreTheNetsWhateverTheBatch) {
  std::vector<int> domains(source_.size(), 0);
  domains[2] = domains[7] = 1;
  source_.set_domains(domains);
  const std::vector<int64_t> records = {7, 2, 0, 9, 3};
  for (const int64_t batch_size : {1, 2, 256}) {
    Embedder embedder(net_.get(), backend_.get(), {.batch_size = batch_size});
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EmbeddedImages images, embedder.RunAll(source_, records));
    ASSERT_EQ(images.features.rows(), 5);
    for (size_t i = 0; i < records.size(); ++i) {
      const std::vector<float> expected = Feature(records[i]);
      for (int d = 0; d < 8; ++d) {
        // Sums over some hundred terms in another order: 1e-5 of the feature's size.
        EXPECT_NEAR(images.features(i, d), expected[d], 1e-5 * (1 + std::abs(expected[d])));
      }
    }
    EXPECT_EQ(images.labels, (std::vector<ClassId>{2, 4, 3, 3, 1}));
    EXPECT_EQ(images.domains, (std::vector<int32_t>{1, 1, 0, 0, 0}));
  }
}

TEST_F(EmbedderTest, NoRecordsAreNoPieces) {
  Embedder embedder(net_.get(), backend_.get(), {});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EmbeddedImages images, embedder.RunAll(source_, {}));
  EXPECT_EQ(images.features.rows(), 0);
  EXPECT_EQ(images.features.cols(), 8);
}

TEST_F(EmbedderTest, ErrorsOfSourceAndSinkStopIt) {
  Embedder embedder(net_.get(), backend_.get(), {.batch_size = 2});
  int pieces = 0;
  const auto count = [&](absl::Span<const int64_t>, ConstRowMatrixRef) {
    ++pieces;
    return absl::OkStatus();
  };
  source_.damaged = {5};
  EXPECT_THAT(embedder.Run(source_, AllRecords(source_), count),
              StatusIs(absl::StatusCode::kDataLoss, "fake-5"));
  EXPECT_EQ(pieces, 2);  // Records 0 to 3.
  const auto full = [](absl::Span<const int64_t>, ConstRowMatrixRef) {
    return absl::ResourceExhaustedError("the disk is full");
  };
  source_.damaged.clear();
  EXPECT_THAT(embedder.Run(source_, AllRecords(source_), full),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk is full"));
}

}  // namespace
}  // namespace protopage
