#include "protopage/base/config_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

struct Inner {
  int64_t count = 3;
  std::string kind = "a";
  void Fields(ConfigVisitor& v) {
    v.Integer("count", &count, {.help = "how many", .min = 1, .max = 10});
    v.Text("kind", &kind, {.help = "which", .choices = {"a", "b"}});
  }
};

struct Outer {
  bool on = false;
  double rate = 0.5;
  int64_t threads = 0;
  std::vector<double> steps = {1, 2};
  std::vector<std::string> names;
  Inner inner;
  std::vector<Inner> list;
  void Fields(ConfigVisitor& v) {
    v.Flag("on", &on, {.help = "switch"});
    v.Number("rate", &rate, {.help = "rate", .min = 0});
    v.Integer("threads", &threads, {.help = "threads", .min = 0, .safe_to_change = true});
    v.NumberList("steps", &steps, {.help = "steps", .min = 0});
    v.TextList("names", &names, {.help = "names"});
    v.Object("inner", &inner, "an object");
    v.ObjectList("list", &list, "a list");
  }
};

absl::Status Read(const std::string& text, Outer& outer) {
  const absl::StatusOr<nlohmann::json> json = ParseJson(text, "test");
  if (!json.ok()) return json.status();
  return ReadConfig(*json, "", outer);
}

TEST(ConfigFieldsTest, ReadsAndWritesBack) {
  Outer outer;
  PROTOPAGE_ASSERT_OK(Read(R"({ "on": true, "rate": 2, /* c */ "threads": 4, "steps": [3, 4.5],
                     "names": ["x"], "inner": {"count": 7}, // end
                     "list": [{"kind": "b"}, {}] })",
                           outer));
  EXPECT_TRUE(outer.on);
  EXPECT_EQ(outer.rate, 2);
  EXPECT_EQ(outer.inner.count, 7);
  ASSERT_EQ(outer.list.size(), 2u);
  EXPECT_EQ(outer.list[0].kind, "b");
  EXPECT_EQ(outer.list[1].count, 3);
  Outer again;
  PROTOPAGE_ASSERT_OK(Read(WriteConfig(outer).dump(), again));
  EXPECT_EQ(WriteConfig(again), WriteConfig(outer));
}

TEST(ConfigFieldsTest, ErrorsNameKeyFoundAndAllowed) {
  Outer outer;
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Read(R"({"inner": {"count": 11}})", outer),
              StatusIs(invalid, "inner.count: found 11, expected an integer from 1 to 10"));
  EXPECT_THAT(Read(R"({"inner": {"count": 1.5}})", outer), StatusIs(invalid, "found 1.5"));
  EXPECT_THAT(Read(R"({"list": [{}, {"kind": "c"}]})", outer),
              StatusIs(invalid, R"(list[1].kind: found "c", expected one of "a", "b")"));
  EXPECT_THAT(Read(R"({"rate": "fast"})", outer), StatusIs(invalid, "a number at least 0"));
  EXPECT_THAT(Read(R"({"on": 1})", outer), StatusIs(invalid, "true or false"));
  EXPECT_THAT(Read(R"({"inner": 1})", outer), StatusIs(invalid, "inner: found 1"));
  EXPECT_THAT(Read(R"({"threads": 1e30})", outer), StatusIs(invalid, "threads"));
  EXPECT_THAT(Read(R"({"steps": [1, -1]})", outer), StatusIs(invalid, "steps"));
}

TEST(ConfigFieldsTest, UnknownKeySuggestsTheNearest) {
  Outer outer;
  EXPECT_THAT(Read(R"({"inner": {"cuont": 2}})", outer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "unknown key inner.cuont; did you mean inner.count?"));
  EXPECT_THAT(Read(R"({"zebra": 2})", outer),
              StatusIs(absl::StatusCode::kInvalidArgument, "known here: inner, list"));
}

absl::Status Example(const nlohmann::json& json, std::string* text) {
  struct LossConfig {
    std::string name = "am_softmax";
    double scale = 24;
    void Fields(ConfigVisitor& v) {
      v.Text("name", &name, {.help = "margin loss", .choices = {"am_softmax", "arcface"}});
      v.Number("scale", &scale, {.help = "logit scale s", .min = 0, .max = 1000});
    }
  };

  LossConfig config;
  PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "loss", config));  // Errors name loss.scale.
  const nlohmann::ordered_json resolved = WriteConfig(config);
  const std::string help = ConfigHelp(config);
  *text = absl::StrCat(resolved.dump(), help);
  return absl::OkStatus();
}

TEST(ConfigFieldsTest, TheExampleOfTheHeader) {
  std::string text;
  PROTOPAGE_ASSERT_OK(Example({{"name", "arcface"}}, &text));
  EXPECT_EQ(text,
            "{\"name\":\"arcface\",\"scale\":24}"
            "  name (am_softmax|arcface; default \"arcface\")\n      margin loss\n"
            "  scale (number from 0 to 1000; default 24)\n      logit scale s\n");
  EXPECT_THAT(Example({{"scale", -1}}, &text),
              StatusIs(absl::StatusCode::kInvalidArgument, "loss.scale: found -1"));
}

TEST(ConfigFieldsTest, PathsAreTheFieldsThatSaySo) {
  struct Nested {
    std::string file = "c";
    void Fields(ConfigVisitor& v) { v.Text("file", &file, {.is_path = true}); }
  };
  struct Config {
    std::string folder = "a", name = "b";
    Nested nested;
    std::vector<Nested> list = {{}, {}};
    void Fields(ConfigVisitor& v) {
      v.Text("folder", &folder, {.is_path = true});
      v.Text("name", &name, {});
      v.Object("nested", &nested, "");
      v.ObjectList("list", &list, "");
    }
  };
  Config config;
  ForEachPath(config, [](std::string& path) { path = "/" + path; });
  EXPECT_EQ(config.folder, "/a");
  EXPECT_EQ(config.name, "b");
  EXPECT_EQ(config.nested.file, "/c");
  EXPECT_EQ(config.list[1].file, "/c");
}

TEST(ConfigFieldsTest, HelpShowsEveryFieldWithDefaultAndRange) {
  Outer outer;
  const std::string help = ConfigHelp(outer);
  EXPECT_NE(help.find("inner.count (integer from 1 to 10; default 3)"), std::string::npos) << help;
  EXPECT_NE(help.find("list[i].kind (a|b; default \"a\")"), std::string::npos) << help;
  EXPECT_NE(help.find("May change on --resume"), std::string::npos) << help;
}

TEST(ConfigFieldsTest, UnsafeDifferencesSkipSafeFields) {
  Outer before, after;
  after.threads = 8;
  const auto differences = [&] {
    return UnsafeDifferences([&](ConfigVisitor& v) { before.Fields(v); },
                             [&](ConfigVisitor& v) { after.Fields(v); });
  };
  EXPECT_TRUE(differences().empty());
  after.rate = 1;
  after.list.emplace_back();
  std::vector<std::string> lines;
  for (const FieldDifference& difference : differences()) {
    lines.push_back(
        absl::StrCat(difference.name, ": ", difference.before, " -> ", difference.after));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"rate: 0.5 -> 1.0", "list[0].count:  -> 3",
                                             "list[0].kind:  -> \"a\""}));
}

}  // namespace
}  // namespace protopage
