#include "protopage/data/source_config.h"

#include <gtest/gtest.h>

#include <istream>
#include <sstream>
#include <string>

#include "protopage/base/status_matchers.h"
#include "protopage/data/cifar_type.h"
#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/synthetic_type.h"

namespace protopage {
namespace {

TEST(DataConfigTest, UnknownAndWrongKeysAreNamed) {
  DataConfig config;
  EXPECT_THAT(ReadConfig(nlohmann::json{{"type", "cifer"}}, "data", config),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.type"));
  EXPECT_THAT(ReadConfig(nlohmann::json{{"glyphs", {{"target_clases", 5}}}}, "data", config),
              StatusIs(absl::StatusCode::kInvalidArgument, "target_classes"));
  PROTOPAGE_EXPECT_OK(
      ReadConfig(nlohmann::json{{"type", "cifar"}, {"data_dir", "x"}}, "data", config));
}

TEST(DataConfigTest, KeysReachTheOptionsOfTheirType) {
  DataConfig config;
  PROTOPAGE_ASSERT_OK(ReadConfig(nlohmann::json::parse(R"({
          "type": "folder", "data_dir": "d", "source_dataset": "cifar100",
          "paths": {"source_train": "p"}, "max_image_pixels": 5,
          "glyphs": {"target_classes": 6}, "synthetic": {"noise": 0.5}, "augment": {"flip": 0}})"),
                                 "data", config));
  EXPECT_EQ(config.type, "folder");
  EXPECT_EQ(config.options.Get<CifarConfig>().data_dir, "d");
  EXPECT_EQ(config.options.Get<CifarConfig>().source_dataset, "cifar100");
  EXPECT_EQ(config.paths.source_train, "p");
  EXPECT_EQ(config.max_image_pixels, 5);
  EXPECT_EQ(config.options.Get<GlyphConfig>().target_classes, 6);
  EXPECT_EQ(config.options.Get<SyntheticConfig>().noise, 0.5);
  EXPECT_EQ(config.augment.flip, 0);
  DataConfig again;
  PROTOPAGE_ASSERT_OK(ReadConfig(WriteConfig(config), "data", again));
  EXPECT_EQ(WriteConfig(again), WriteConfig(config));
}

// The texts that are gathered from the registry.
TEST(DataConfigTest, HelpNamesTheTypes) {
  DataConfig config;
  const std::string help = ConfigHelp(config);
  for (const char* text : {
           "  type (glyphs|cifar|folder|list|synthetic",
           "      glyphs: rendered characters; cifar: the official binaries; "
           "folder: one folder per class; list: files of path<TAB>label[<TAB>domain] lines; "
           "synthetic: computed patterns, of any number of classes",
           "1 grey, 3 RGB, 0 the type's own (glyphs 1, ",
           "paths: folder",
           ": where each split lies\n",
           ": an image of more pixels is an error\n",
           "  data_dir (string; default \"\")\n"
           "      cifar: the folder with cifar-10-batches-bin and cifar-100-binary\n",
           "glyphs: glyphs: classes, fonts and distortions\n",
           "  glyphs.target_classes (integer from 0 to 100000; default 4000)\n",
           "synthetic: synthetic: classes and images\n",
       }) {
    EXPECT_NE(help.find(text), std::string::npos) << text << "\nis not in\n" << help;
  }
}

TEST(DataConfigTest, PathsAreResolved) {
  DataConfig config;
  config.paths.unseen = "u";
  config.options.Mutable<CifarConfig>().data_dir = "d";
  config.options.Mutable<GlyphConfig>().cache_dir = "c";
  ForEachPath(config, [](std::string& path) { path = "/" + path; });
  EXPECT_EQ(config.paths.unseen, "/u");
  EXPECT_EQ(config.options.Get<CifarConfig>().data_dir, "/d");
  EXPECT_EQ(config.options.Get<GlyphConfig>().cache_dir, "/c");
  EXPECT_EQ(config.type, "glyphs");
}

TEST(DataConfigTest, TheExampleOfTheHeader) {
  std::istringstream in(R"(
      {"type": "cifar", "data_dir": "/data/cifar", "image_size": 32}
      {"type": "glyphs", "glyphs": {"target_classes": 8000}}
      {"type": "folder", "paths": {"source_train": "faces/train", "target_train": "mine/train",
                                   "target_test": "mine/test"}}
      {"type": "synthetic", "synthetic": {"target_classes": 100000000}})");
  int read = 0;
  for (; in >> std::ws, !in.eof(); ++read) {
    nlohmann::json json;
    in >> json;
    DataConfig config;
    PROTOPAGE_EXPECT_OK(ReadConfig(json, "data", config));
  }
  EXPECT_EQ(read, 4);
}

}  // namespace
}  // namespace protopage
