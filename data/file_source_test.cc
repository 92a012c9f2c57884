#include "protopage/data/file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

class FileSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = JoinPath(::testing::TempDir(),
                    ::testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(dir_));
  }

  void Write(const std::string& name, const std::string& content) {
    const std::string path = JoinPath(dir_, name);
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(DirectoryOf(path)));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path, content));
  }
  // A grey image of one pixel.
  void WriteImage(const std::string& name, uint8_t value) {
    absl::StatusOr<std::string> png = EncodePng(Image{1, 1, 1, {value}});
    PROTOPAGE_ASSERT_OK(png);
    Write(name, *png);
  }
  std::string Path(const std::string& name) { return JoinPath(dir_, name); }
  static int Value(const ImageSource& source, int64_t record) {
    Image image;
    PROTOPAGE_EXPECT_OK(source.Read(record, &image));
    return image.pixels[0];
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string dir_;
};

TEST_F(FileSourceTest, FoldersAreClassesInOrderOfTheirNames) {
  WriteImage("train/pear/2.png", 2);
  WriteImage("train/pear/1.PNG", 1);
  WriteImage("train/apple/z.png", 3);
  Write("train/apple/notes.txt", "");
  Write("train/readme", "");
  WriteImage("train/.hidden/1.png", 9);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFolder(fs_, Path("train"), {}));
  EXPECT_EQ(source->num_classes(), 2);
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(source->ClassName(0), "apple");
  EXPECT_FALSE(source->numbered_classes());
  EXPECT_EQ(source->ClassName(1), "pear");
  EXPECT_EQ(source->Label(0), 0);
  EXPECT_EQ(source->Label(1), 1);
  EXPECT_EQ(source->Label(2), 1);
  EXPECT_EQ(Value(*source, 0), 3);
  EXPECT_EQ(Value(*source, 1), 1);
  EXPECT_EQ(source->RecordName(2), Path("train/pear/2.png"));
  EXPECT_EQ(source->Domain(2), 0);
  EXPECT_EQ(source->Description(),
            Path("train") + ": 3 images of 2 classes, 2 other files left out");
}

// What has an image's name and is no plain file is never opened, and named.
class OddFilesTest : public FileSourceTest {
 protected:
  void MakePipe(const std::string& name) { ASSERT_EQ(mkfifo(Path(name).c_str(), 0600), 0); }
  void MakeLink(const std::string& to, const std::string& name) {
    std::filesystem::create_symlink(to, Path(name));
  }
  void MakeSocket(const std::string& name) {
    ASSERT_EQ(mknod(Path(name).c_str(), S_IFSOCK | 0600, 0), 0);
  }
};

TEST_F(OddFilesTest, AFolderLeavesThemOutAndNamesTheFirst) {
  WriteImage("a/1.png", 1);
  WriteImage("b/1.png", 2);
  EXPECT_EQ(OpenImageFolder(fs_, dir_, {}).value()->LeftOut(), "");
  WriteImage("away/2.png", 3);
  std::filesystem::rename(Path("away"), dir_ + ".away");
  MakePipe("a/2.png");
  MakeSocket("a/3.png");
  MakeLink("/dev/zero", "b/0.jpg");
  PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(Path("b/folder.jpeg")));
  MakeLink(dir_ + ".away/2.png", "b/link.png");  // To a plain file.
  MakeLink("nowhere", "b/README");
  Write("b/.DS_Store", "");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFolder(fs_, dir_, {}));
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(Value(*source, 2), 3);
  EXPECT_EQ(source->LeftOut(),
            absl::StrCat(dir_, ": left out 1 other file (b/README), 1 name that begins with a dot ",
                         "(b/.DS_Store), 4 that are no plain files (first a/2.png)"));
  std::filesystem::remove_all(dir_ + ".away");
}

TEST_F(OddFilesTest, ALinkToNothingThatMayBeAClassOrAnImageIsAnError) {
  WriteImage("a/1.png", 1);
  MakeLink("/mnt/gone/c9", "c9");
  EXPECT_THAT(OpenImageFolder(fs_, dir_, {}),
              StatusIs(absl::StatusCode::kNotFound, Path("c9") + ": a link to something that is"));
  std::filesystem::remove(Path("c9"));
  MakeLink("gone.png", "a/2.png");
  const std::string message = Path("a/2.png") + ": a link to something that is not there";
  EXPECT_THAT(OpenImageFolder(fs_, dir_, {}), StatusIs(absl::StatusCode::kNotFound, message));
  EXPECT_THAT(OpenImageFiles(fs_, dir_, {}), StatusIs(absl::StatusCode::kNotFound, message));
  std::filesystem::remove(Path("a/2.png"));
  MakeLink("2.png", "a/2.png");  // To itself.
  EXPECT_THAT(OpenImageFolder(fs_, dir_, {}),
              StatusIs(absl::StatusCode::kUnavailable, Path("a/2.png")));
}

TEST_F(OddFilesTest, LinksToFoldersAboveAreNotFollowed) {
  WriteImage("a/1.png", 1);
  WriteImage("a/b/2.png", 2);
  WriteImage("c/3.png", 3);
  MakeLink("..", "a/up");
  MakeLink("../..", "a/b/top");
  MakeLink(".", "here");
  MakeLink("../c", "a/side");  // Another folder: it is followed, each time.
  MakeLink("nothing", "a/stale");
  MakePipe("c/x.png");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFiles(fs_, dir_, {}));
  std::vector<std::string> names;
  for (int64_t i = 0; i < source->size(); ++i) names.push_back(source->RecordName(i));
  EXPECT_THAT(names, ElementsAre(Path("a/1.png"), Path("a/b/2.png"), Path("a/side/3.png"),
                                 Path("c/3.png")));
  EXPECT_EQ(source->LeftOut(),
            absl::StrCat(dir_, ": left out 2 that are no plain files (first a/side/x.png), ",
                         "3 links to folders above them (first a/b/top), ",
                         "1 link to nothing (a/stale)"));
}

TEST_F(OddFilesTest, APipeIsNeitherAListNorAnImage) {
  MakePipe("pipe");
  MakePipe("pipe.png");
  const std::string pipe = ": a pipe, a socket or a device; expected ";
  EXPECT_THAT(OpenImageList(fs_, Path("pipe"), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, Path("pipe") + pipe + "a list file"));
  for (const char* name : {"pipe", "pipe.png"}) {
    EXPECT_THAT(OpenImageFiles(fs_, Path(name), {}),
                StatusIs(absl::StatusCode::kInvalidArgument, Path(name) + pipe + "an image"));
  }
}

TEST_F(FileSourceTest, NamesMayHaveAnyBytes) {
  const std::vector<std::string> names = {" ", "a b", "a\nb", "caf\xc3\xa9", "caf\xe9", "\\\"'$"};
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = absl::StrCat("in/", names[i], "/", names[i], ".png");
    WriteImage(path, static_cast<uint8_t>(i));
    if (!absl::StrContains(path, '\n')) absl::StrAppend(&list, path, "\t0\n");
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto folder, OpenImageFolder(fs_, Path("in"), {}));
  ASSERT_EQ(folder->size(), 6);
  for (int64_t i = 0; i < 6; ++i) PROTOPAGE_EXPECT_OK(folder->Check(i));
  Write("list", list);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto listed, OpenImageList(fs_, Path("list"), {}));
  ASSERT_EQ(listed->size(), 5);
  for (int64_t i = 0; i < 5; ++i) PROTOPAGE_EXPECT_OK(listed->Check(i));
}

TEST_F(FileSourceTest, ListsMayBeginWithAByteOrderMark) {
  WriteImage("1.png", 1);
  Write("list",
        "\xef\xbb\xbf"
        "1.png\t0\r\n1.png\t1");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageList(fs_, Path("list"), {}));
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(Value(*source, 0), 1);
  // A comment behind the mark is one.
  Write("list", "\xef\xbb\xbf# path label\n1.png\t0\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(source, OpenImageList(fs_, Path("list"), {}));
  EXPECT_EQ(source->size(), 1);
}

TEST_F(FileSourceTest, CheckLooksAtTheFile) {
  WriteImage("a/1.png", 1);
  Write("a/2.png", "\x89PNG\r\n\x1a\n rubbish");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFolder(fs_, dir_, {}));
  EXPECT_TRUE(source->has_files());
  PROTOPAGE_EXPECT_OK(source->Check(0));
  EXPECT_THAT(source->Check(1),
              StatusIs(absl::StatusCode::kDataLoss, Path("a/2.png") + ": damaged PNG"));
  PROTOPAGE_ASSERT_OK(fs_->Remove(Path("a/1.png")));
  EXPECT_THAT(source->Check(0), StatusIs(absl::StatusCode::kNotFound, Path("a/1.png")));
}

TEST_F(FileSourceTest, TestFolderTakesTheTrainingFoldersLabels) {
  for (const char* name : {"train/a/1.png", "train/b/1.png", "train/c/1.png", "test/c/1.png"}) {
    WriteImage(name, 1);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto train, OpenImageFolder(fs_, Path("train"), {}));
  FileSourceOptions options;
  options.classes_of = train.get();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto test, OpenImageFolder(fs_, Path("test"), options));
  EXPECT_EQ(test->num_classes(), 3);
  EXPECT_EQ(test->Label(0), 2);
  EXPECT_EQ(test->ClassName(2), "c");
  WriteImage("test/d/1.png", 1);
  EXPECT_THAT(OpenImageFolder(fs_, Path("test"), options),
              StatusIs(absl::StatusCode::kDataLoss, "has no class \"d\""));
}

TEST_F(FileSourceTest, MissingAndEmptyFoldersAreErrors) {
  EXPECT_THAT(OpenImageFolder(fs_, Path("none"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none: no such folder"));
  EXPECT_THAT(OpenImageFolder(fs_, dir_, {}),
              StatusIs(absl::StatusCode::kNotFound, "no image found"));
  WriteImage("a/1.png", 1);
  Write("b/1.gif", "GIF89a");
  EXPECT_THAT(OpenImageFolder(fs_, dir_, {}), StatusIs(absl::StatusCode::kNotFound, "/b: no .jpg"));
}

TEST_F(FileSourceTest, DamagedImageIsNamedWhenRead) {
  WriteImage("a/1.png", 1);
  Write("a/2.png", "\x89PNG\r\n\x1a\n rubbish");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFolder(fs_, dir_, {}));
  Image image;
  EXPECT_THAT(source->Read(1, &image), StatusIs(absl::StatusCode::kDataLoss, Path("a/2.png")));
  PROTOPAGE_ASSERT_OK(fs_->Remove(Path("a/1.png")));
  EXPECT_THAT(source->Read(0, &image), StatusIs(absl::StatusCode::kNotFound, Path("a/1.png")));
}

TEST_F(FileSourceTest, SizeLimitReachesTheDecoder) {
  absl::StatusOr<std::string> png = EncodePng(Image{2, 1, 1, {1, 2}});
  PROTOPAGE_ASSERT_OK(png);
  Write("a/1.png", *png);
  FileSourceOptions options;
  options.decode.max_pixels = 1;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageFolder(fs_, dir_, options));
  Image image;
  EXPECT_THAT(source->Read(0, &image), StatusIs(absl::StatusCode::kResourceExhausted, "1.png"));
}

TEST_F(FileSourceTest, ListGivesPathsLabelsAndDomains) {
  WriteImage("images/1.png", 1);
  WriteImage("images/2.png", 2);
  Write("list.txt", "# ids and spots\nimages/2.png\t3\tspot\r\n\n" + Path("images/1.png") +
                        "\t0\tid\nimages/1.png\t3\tspot\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageList(fs_, Path("list.txt"), {}));
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(source->num_classes(), 4);
  EXPECT_EQ(source->Label(0), 3);
  EXPECT_EQ(source->Label(1), 0);
  EXPECT_THAT(source->domain_names(), ElementsAre("id", "spot"));
  EXPECT_EQ(source->Domain(0), 1);
  EXPECT_EQ(source->Domain(1), 0);
  EXPECT_EQ(source->Domain(2), 1);
  EXPECT_EQ(Value(*source, 0), 2);
  EXPECT_EQ(Value(*source, 1), 1);
  EXPECT_EQ(source->ClassName(3), "3");
  EXPECT_TRUE(source->numbered_classes());
  EXPECT_EQ(source->Description(), Path("list.txt") + ": 3 images of 4 classes");
}

TEST_F(FileSourceTest, LabelsOfAListMayBeNames) {
  Write("list.txt", "b.png\t4711\na.png\t912\nc.png\t4711\n");
  FileSourceOptions options;
  options.labels_are_names = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenImageList(fs_, Path("list.txt"), options));
  ASSERT_EQ(source->num_classes(), 2);
  EXPECT_EQ(source->ClassName(0), "912");
  EXPECT_EQ(source->ClassName(1), "4711");
  EXPECT_FALSE(source->numbered_classes());
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(source->Label(0), 1);
  EXPECT_EQ(source->Label(1), 0);
  EXPECT_EQ(source->Label(2), 1);
}

TEST_F(FileSourceTest, ListErrorsNameTheLine) {
  const struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"a.png\t0\nb.png\n", "list:2: found 1 tab-separated field(s)"},
      {"a.png\t0\tid\tmore\n", "list:1: found 4"},
      {"a.png\tcat\n", "list:1: label \"cat\" is not an integer"},
      {"a.png\t-1\n", "list:1: label -1 is outside [0, "},
      {"\t1\n", "list:1: the path is empty"},
      {"a.png\t0\tid\nb.png\t0\n", "list:2: all lines must have a domain, or none"},
      {"a.png\t0\nb.png\t0\tid\n", "list:2: all lines must have a domain, or none"},
      {"\x89PNG\r\n\x1a\n", "list:2: not text"},
      {"a.png\t0\t\n", "list:1: the domain is empty"},
      {"a.png\t0\rb.png\t0\n", "list:1: a carriage return in the line"},
      {"a.png\t0\nb.png\t4000000000\n", "list:2: label 4000000000 is too large for 2 images"},
  };
  for (const auto& c : kCases) {
    Write("list", c.text);
    EXPECT_THAT(OpenImageList(fs_, Path("list"), {}),
                StatusIs(absl::StatusCode::kDataLoss, c.message));
  }
  const std::string with_zero("a.png\t0\nb\0.png\t0\n", 18);
  Write("list", with_zero);
  EXPECT_THAT(OpenImageList(fs_, Path("list"), {}),
              StatusIs(absl::StatusCode::kDataLoss, "list:2: not text"));
  // Messages stay short, whatever the line.
  for (const std::string& text :
       {std::string(10 << 20, 'x') + "\t0\n", "a.png\t" + std::string(10 << 20, '1') + "x\n"}) {
    Write("list", text);
    const absl::Status status = OpenImageList(fs_, Path("list"), {}).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "list:1: "));
    EXPECT_LT(status.message().size(), 1000);
  }
  Write("list", "# nothing\n");
  EXPECT_THAT(OpenImageList(fs_, Path("list"), {}),
              StatusIs(absl::StatusCode::kNotFound, "no image is listed"));
  EXPECT_THAT(OpenImageList(fs_, Path("none"), {}), StatusIs(absl::StatusCode::kNotFound, "none"));
}

TEST_F(FileSourceTest, TestListKeepsToTheTrainingListsClassesAndDomains) {
  Write("train", "a.png\t0\tid\na.png\t1\tspot\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto train, OpenImageList(fs_, Path("train"), {}));
  FileSourceOptions options;
  options.classes_of = train.get();
  Write("test", "a.png\t0\tspot\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto test, OpenImageList(fs_, Path("test"), options));
  EXPECT_EQ(test->num_classes(), 2);
  EXPECT_EQ(test->Domain(0), 1);
  Write("test", "a.png\t2\tspot\n");
  EXPECT_THAT(OpenImageList(fs_, Path("test"), options),
              StatusIs(absl::StatusCode::kDataLoss, "test:1: label 2 is outside [0, 2)"));
  Write("test", "a.png\t1\tphoto\n");
  EXPECT_THAT(OpenImageList(fs_, Path("test"), options),
              StatusIs(absl::StatusCode::kDataLoss, "domain \"photo\" is none of"));
}

TEST_F(FileSourceTest, FilesComeWithoutLabels) {
  WriteImage("in/b.png", 2);
  WriteImage("in/a/deep/1.png", 1);
  Write("in/a/skip.txt", "");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto folder, OpenImageFiles(fs_, Path("in"), {}));
  ASSERT_EQ(folder->size(), 2);
  EXPECT_EQ(folder->num_classes(), 1);
  EXPECT_EQ(folder->Label(1), 0);
  EXPECT_EQ(Value(*folder, 0), 1);
  EXPECT_EQ(Value(*folder, 1), 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto one, OpenImageFiles(fs_, Path("in/b.png"), {}));
  ASSERT_EQ(one->size(), 1);
  EXPECT_EQ(Value(*one, 0), 2);
  Write("list", "in/b.png\nin/a/deep/1.png\t7\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto list, OpenImageFiles(fs_, Path("list"), {}));
  ASSERT_EQ(list->size(), 2);
  EXPECT_EQ(Value(*list, 1), 1);
  EXPECT_EQ(list->Label(1), 0);
  EXPECT_THAT(OpenImageFiles(fs_, Path("no.png"), {}),
              StatusIs(absl::StatusCode::kNotFound, "no.png: no such file"));
}

absl::StatusOr<std::unique_ptr<ImageSource>> Example(FileSystem* fs, const std::string& train_path,
                                                     const std::string& test_path) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenImageFolder(fs, train_path, {}));
  FileSourceOptions options;
  options.classes_of = train.get();  // The labels of the test folder are the training folder's.
  PROTOPAGE_ASSIGN_OR_RETURN(auto test, OpenImageFolder(fs, test_path, options));
  return test;
}

TEST_F(FileSourceTest, TheExampleOfTheHeader) {
  WriteImage("train/a/1.png", 1);
  WriteImage("train/b/1.png", 1);
  WriteImage("test/b/1.png", 1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto test, Example(fs_, Path("train"), Path("test")));
  EXPECT_EQ(test->num_classes(), 2);
  EXPECT_EQ(test->Label(0), 1);
}

}  // namespace
}  // namespace protopage
