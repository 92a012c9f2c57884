#include "protopage/model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// A component with state of every kind.
struct Component {
  Component(TestBackend& backend, uint64_t stream, int64_t channels = 3)
      : kernel(backend.Random({3, 3, channels, 4}, stream)),
        bias(backend.Random({4}, stream + 1)),
        steps(static_cast<int64_t>(stream) << 40),
        best(stream + 0.1) {
    auto allocated = backend->Allocate(DType::kInt32, {2});
    counts = *allocated;
    const int32_t values[] = {static_cast<int32_t>(stream), -7};
    PROTOPAGE_EXPECT_OK(backend->CopyToDevice(values, counts));
  }

  void State(StateVisitor& v) {
    v.Array("conv/kernel", kernel);
    v.Array("conv/bias", bias);
    v.Array("counts", counts);
    v.Integer("steps", &steps);
    v.Number("best", &best);
  }
  CheckpointSection Section(const std::string& name) {
    return {name, [this](StateVisitor& v) { State(v); }};
  }
  // All of it, as bytes.
  std::string Bytes(TestBackend& backend) {
    std::string bytes;
    for (const Tensor& tensor : {kernel, bias, counts}) {
      std::string part(tensor.bytes(), '\0');
      PROTOPAGE_EXPECT_OK(backend->CopyToHost(tensor, part.data()));
      bytes += part;
    }
    bytes.append(reinterpret_cast<const char*>(&steps), sizeof(steps));
    bytes.append(reinterpret_cast<const char*>(&best), sizeof(best));
    return bytes;
  }

  Tensor kernel, bias, counts;
  int64_t steps;
  double best;
};

class CheckpointTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) { return JoinPath(::testing::TempDir(), name); }

  TestBackend backend_{1};
  FileSystem* fs_ = DefaultFileSystem();
};

TEST_F(CheckpointTest, GivesBackTheSameBits) {
  Component net(backend_, 1), optimizer(backend_, 5);
  optimizer.best = -std::numeric_limits<double>::infinity();
  const std::string path = Path("bits.h5");
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(
      fs_, path, {net.Section("net"), optimizer.Section("optimizer")}, backend_.get()));
  Component net2(backend_, 11), optimizer2(backend_, 12);
  ASSERT_NE(net2.Bytes(backend_), net.Bytes(backend_));
  // Order of the sections does not matter, nor sections that nobody asks for.
  PROTOPAGE_ASSERT_OK(LoadCheckpoint(
      fs_, path, {optimizer2.Section("optimizer"), net2.Section("net")}, backend_.get()));
  EXPECT_EQ(net2.Bytes(backend_), net.Bytes(backend_));
  EXPECT_EQ(optimizer2.Bytes(backend_), optimizer.Bytes(backend_));
  Component net3(backend_, 13);
  PROTOPAGE_ASSERT_OK(LoadCheckpoint(fs_, path, {net3.Section("net")}, backend_.get()));
  EXPECT_EQ(net3.Bytes(backend_), net.Bytes(backend_));
}

TEST_F(CheckpointTest, EqualStatesMakeEqualFiles) {
  Component net(backend_, 1);
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, Path("a.h5"), {net.Section("net")}, backend_.get()));
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, Path("b.h5"), {net.Section("net")}, backend_.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string a, ReadFile(fs_, Path("a.h5")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string b, ReadFile(fs_, Path("b.h5")));
  EXPECT_TRUE(a == b);
}

TEST_F(CheckpointTest, NamesThatDoNotFitAreListedAndNothingIsChanged) {
  Component net(backend_, 1);
  const std::string path = Path("names.h5");
  const CheckpointSection more = {"net", [&](StateVisitor& v) {
                                    net.State(v);
                                    v.Array("head/kernel", net.bias);
                                  }};
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, path, {more}, backend_.get()));
  Component here(backend_, 2, /*channels=*/1);
  const std::string before = here.Bytes(backend_);
  const CheckpointSection section = {"net", [&](StateVisitor& v) {
                                       here.State(v);
                                       v.Array("bn/gamma", here.bias);
                                       v.Integer("best", &here.steps);
                                     }};
  const absl::Status status = LoadCheckpoint(fs_, path, {section}, backend_.get());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "names.h5: section net"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "missing: bn/gamma"));
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "conv/kernel is float32 [3, 3, 3, 4], must be float32 [3, 3, 1, 4]"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               "best is a number, must be an integer"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "not expected: head/kernel"));
  EXPECT_EQ(here.Bytes(backend_), before);
  EXPECT_THAT(LoadCheckpoint(fs_, path, {here.Section("loss")}, backend_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "section loss is missing"));
}

TEST_F(CheckpointTest, LoadsByNameForFineTuning) {
  Component net(backend_, 1);
  const std::string path = Path("by_name.h5");
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, path, {net.Section("net")}, backend_.get()));
  Component here(backend_, 2, /*channels=*/1);  // conv/kernel has another shape.
  Tensor head = backend_.Random({5}, 9);
  const CheckpointSection section = {"net", [&](StateVisitor& v) {
                                       v.Array("conv/kernel", here.kernel);
                                       v.Array("conv/bias", here.bias);
                                       v.Array("head/kernel", head);
                                     }};
  const std::string before = here.Bytes(backend_);
  EXPECT_THAT(LoadByName(fs_, path, section, {.optional_prefixes = {"head/"}}, backend_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "other shape or type: conv/kernel"));
  EXPECT_EQ(here.Bytes(backend_), before);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const LoadByNameResult result,
      LoadByName(fs_, path, section, {.optional_prefixes = {"head/", "conv/kernel"}},
                 backend_.get()));
  EXPECT_THAT(result.loaded, ElementsAre("conv/bias"));
  EXPECT_THAT(result.skipped, UnorderedElementsAre("conv/kernel", "head/kernel"));
  EXPECT_THAT(result.unused, ElementsAre("best", "counts", "steps"));
  EXPECT_EQ(backend_.ToHost(here.bias), backend_.ToHost(net.bias));
}

TEST_F(CheckpointTest, DoubleNamesAreErrors) {
  Component net(backend_, 1);
  EXPECT_THAT(SaveCheckpoint(fs_, Path("double.h5"), {net.Section("net"), net.Section("net")},
                             backend_.get()),
              StatusIs(absl::StatusCode::kAlreadyExists, "two sections are named net"));
  const CheckpointSection twice = {"net", [&](StateVisitor& v) {
                                     net.State(v);
                                     v.Array("conv/bias", net.bias);
                                   }};
  EXPECT_THAT(SaveCheckpoint(fs_, Path("double.h5"), {twice}, backend_.get()),
              StatusIs(absl::StatusCode::kAlreadyExists, "conv/bias"));
  EXPECT_FALSE(fs_->Exists(Path("double.h5")));
}

TEST_F(CheckpointTest, FilesThatAreNoCheckpointsAreNamedQuietly) {
  Component net(backend_, 1);
  const std::vector<CheckpointSection> sections = {net.Section("net")};
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(LoadCheckpoint(fs_, Path("nowhere.h5"), sections, backend_.get()),
              StatusIs(absl::StatusCode::kNotFound, "nowhere.h5"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("text.h5"), "this is not HDF5"));
  EXPECT_THAT(LoadCheckpoint(fs_, Path("text.h5"), sections, backend_.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "text.h5 is not a model checkpoint"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("empty.h5"), ""));
  EXPECT_THAT(LoadCheckpoint(fs_, Path("empty.h5"), sections, backend_.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "empty.h5"));
  EXPECT_THAT(SaveCheckpoint(fs_, Path("no/such/folder/a.h5"), sections, backend_.get()),
              StatusIs(absl::StatusCode::kNotFound, "no/such/folder"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(CheckpointTest, TruncatedFilesAreFound) {
  Component net(backend_, 1);
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, Path("whole.h5"), {net.Section("net")}, backend_.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadFile(fs_, Path("whole.h5")));
  for (const size_t size : {size_t{513}, whole.size() / 2, whole.size() - 1}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("cut.h5"), whole.substr(0, size)));
    EXPECT_THAT(LoadCheckpoint(fs_, Path("cut.h5"), {net.Section("net")}, backend_.get()),
                StatusIs(absl::StatusCode::kDataLoss, "cut.h5"));
  }
}

TEST_F(CheckpointTest, AFlippedByteIsFound) {
  Component net(backend_, 1);
  const std::string before = net.Bytes(backend_);
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, Path("good.h5"), {net.Section("net")}, backend_.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(fs_, Path("good.h5")));
  for (size_t i = 0; i < good.size(); i += i < 40 ? 1 : good.size() / 50) {
    if (i >= 40 && i < 512) continue;  // Zeros behind the line of text mean nothing.
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("bad.h5"), bad));
    const absl::Status status =
        LoadCheckpoint(fs_, Path("bad.h5"), {net.Section("net")}, backend_.get());
    EXPECT_FALSE(status.ok()) << "byte " << i;
    EXPECT_TRUE(absl::StrContains(status.message(), "bad.h5")) << status;
  }
  EXPECT_EQ(net.Bytes(backend_), before);
}

TEST_F(CheckpointTest, ANewerFormatIsRefused) {
  Component net(backend_, 1);
  PROTOPAGE_ASSERT_OK(SaveCheckpoint(fs_, Path("newer.h5"), {net.Section("net")}, backend_.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::string content, ReadFile(fs_, Path("newer.h5")));
  ASSERT_EQ(content.substr(0, 18), "protopage-model 1 ");
  content[16] = '2';
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("newer.h5"), content));
  EXPECT_THAT(LoadCheckpoint(fs_, Path("newer.h5"), {net.Section("net")}, backend_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "format version 2"));
}

absl::Status Example(FileSystem* fs, const std::string& path, Component* net, Component* optimizer,
                     int64_t step, Backend* backend) {
  const std::vector<CheckpointSection> sections = {
      {"net", [&](StateVisitor& v) { net->State(v); }},
      {"optimizer", [&](StateVisitor& v) { optimizer->State(v); }},
      {"trainer", [&](StateVisitor& v) { v.Integer("step", &step); }}};
  PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, path, sections, backend));
  PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(fs, path, sections, backend));  // The same bits.
  return absl::OkStatus();
}

TEST(CheckpointHeaderTest, TheExampleOfTheHeader) {
  TestBackend backend;
  Component net(backend, 1), optimizer(backend, 2);
  PROTOPAGE_EXPECT_OK(Example(DefaultFileSystem(), JoinPath(::testing::TempDir(), "example.h5"),
                              &net, &optimizer, 7, backend.get()));
}

// The example of state.h.
class Counter {
 public:
  explicit Counter(const Tensor& sums) : sums_(sums) {}
  void State(StateVisitor& v);

 private:
  int64_t updates_ = 0;
  Tensor sums_;
};
void Counter::State(StateVisitor& v) {
  v.Integer("updates", &updates_);
  v.Array("sums", sums_);  // A device tensor, saved from or loaded into.
}

TEST(StateTest, TheExampleOfTheHeader) {
  class Names : public StateVisitor {
   public:
    void Array(absl::string_view name, const Tensor&) override { all.emplace_back(name); }
    void Integer(absl::string_view name, int64_t*) override { all.emplace_back(name); }
    void Number(absl::string_view name, double*) override { all.emplace_back(name); }
    std::vector<std::string> all;
  };
  TestBackend backend;
  Counter counter(backend.Random({2}, 1));
  Names names;
  counter.State(names);
  EXPECT_THAT(names.all, ElementsAre("updates", "sums"));
}

}  // namespace
}  // namespace protopage
