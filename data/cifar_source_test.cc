#include "protopage/data/cifar_source.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

// One record of the official layout; pixel k of plane p is (label + 64 p + k) % 251.
std::string Record(const std::string& label_bytes) {
  std::string record = label_bytes;
  for (int p = 0; p < 3; ++p) {
    for (int k = 0; k < 1024; ++k) {
      record += static_cast<char>((label_bytes.back() + 64 * p + k) % 251);
    }
  }
  return record;
}

class CifarSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = JoinPath(::testing::TempDir(),
                    ::testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(JoinPath(dir_, "cifar-10-batches-bin")));
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(JoinPath(dir_, "cifar-100-binary")));
    for (int i = 1; i <= 5; ++i) {
      Write(absl::StrCat("cifar-10-batches-bin/data_batch_", i, ".bin"),
            Record(std::string(1, static_cast<char>(i))) + Record(std::string(1, '\x9')));
    }
    Write("cifar-10-batches-bin/test_batch.bin", Record(std::string(1, '\0')));
    Write("cifar-10-batches-bin/batches.meta.txt",
          "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck"
          "\n\n");
    // Coarse label 5, fine label 99.
    Write("cifar-100-binary/train.bin", Record("\x5\x63"));
    Write("cifar-100-binary/test.bin", Record("\x5\x7") + Record("\x6\x8"));
  }

  void Write(const std::string& name, const std::string& content) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, JoinPath(dir_, name), content));
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string dir_;
};

TEST_F(CifarSourceTest, ReadsCifar10TrainingFilesInOrder) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenCifar(fs_, dir_, "cifar10", true));
  EXPECT_EQ(source->size(), 10);
  EXPECT_EQ(source->num_classes(), 10);
  EXPECT_EQ(source->Label(0), 1);
  EXPECT_EQ(source->Label(1), 9);
  EXPECT_EQ(source->Label(4), 3);
  EXPECT_EQ(source->ClassName(3), "cat");
  EXPECT_EQ(source->RecordName(4), "data_batch_3.bin[0]");
  EXPECT_EQ(source->RecordName(9), "data_batch_5.bin[1]");
  EXPECT_EQ(source->Description(), "CIFAR-10 train: 10 images of 10 classes");
}

TEST_F(CifarSourceTest, InterleavesThePlanes) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenCifar(fs_, dir_, "cifar10", false));
  Image image;
  PROTOPAGE_ASSERT_OK(source->Read(0, &image));
  EXPECT_EQ(image.width, 32);
  EXPECT_EQ(image.height, 32);
  ASSERT_EQ(image.channels, 3);
  for (int k = 0; k < 1024; ++k) {
    for (int p = 0; p < 3; ++p) ASSERT_EQ(image.pixels[3 * k + p], (64 * p + k) % 251);
  }
}

TEST_F(CifarSourceTest, Cifar100LabelsAreTheFineOnes) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto train, OpenCifar(fs_, dir_, "cifar100", true));
  EXPECT_EQ(train->num_classes(), 100);
  EXPECT_EQ(train->Label(0), 99);
  EXPECT_EQ(train->ClassName(99), "99");  // There is no file of names.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto test, OpenCifar(fs_, dir_, "cifar100", false));
  EXPECT_EQ(test->size(), 2);
  EXPECT_EQ(test->Label(1), 8);
}

TEST_F(CifarSourceTest, TakesTheInnerFolderToo) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto source, OpenCifar(fs_, JoinPath(dir_, "cifar-100-binary"), "cifar100", true));
  EXPECT_EQ(source->size(), 1);
}

TEST_F(CifarSourceTest, MissingFileSaysWhatIsLookedFor) {
  EXPECT_THAT(OpenCifar(fs_, "/nowhere", "cifar10", true),
              StatusIs(absl::StatusCode::kNotFound,
                       "/nowhere/cifar-10-batches-bin/data_batch_1.bin is missing"));
  EXPECT_THAT(OpenCifar(fs_, "/nowhere", "cifar100", true),
              StatusIs(absl::StatusCode::kNotFound, "cifar-100-binary/train.bin"));
  PROTOPAGE_ASSERT_OK(fs_->Remove(JoinPath(dir_, "cifar-10-batches-bin/data_batch_4.bin")));
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar10", true),
              StatusIs(absl::StatusCode::kNotFound, "data_batch_4.bin is missing"));
}

TEST_F(CifarSourceTest, TruncatedFileIsNamed) {
  Write("cifar-100-binary/test.bin", Record("\x5\x7").substr(0, 3000));
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar100", false),
              StatusIs(absl::StatusCode::kDataLoss, "test.bin: 3000 bytes are not a multiple"));
  Write("cifar-100-binary/test.bin", "");
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar100", false),
              StatusIs(absl::StatusCode::kDataLoss, "0 bytes"));
}

TEST_F(CifarSourceTest, LabelOutOfRangeNamesTheRecord) {
  Write("cifar-100-binary/test.bin", Record("\x5\x7") + Record("\x5\x64"));
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar100", false),
              StatusIs(absl::StatusCode::kDataLoss,
                       "test.bin: record 1 has label 100; CIFAR-100 labels are 0 to 99"));
  Write("cifar-10-batches-bin/test_batch.bin", Record("\xff"));
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar10", false),
              StatusIs(absl::StatusCode::kDataLoss, "record 0 has label 255"));
}

TEST_F(CifarSourceTest, UnknownDataSetIsRefused) {
  EXPECT_THAT(OpenCifar(fs_, dir_, "cifar20", true),
              StatusIs(absl::StatusCode::kInvalidArgument, "\"cifar20\""));
}

absl::Status Example(FileSystem* fs, const std::string& dir) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto source, OpenCifar(fs, dir, "cifar100", /*train=*/false));
  return source->size() == 2 ? absl::OkStatus() : absl::InternalError(source->Description());
}

TEST_F(CifarSourceTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(Example(fs_, dir_)); }

}  // namespace
}  // namespace protopage
