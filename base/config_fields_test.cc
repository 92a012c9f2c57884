#include "protopage/base/config_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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

TEST(ConfigFieldsTest, MalformedJsonAndRepeatedKeysAreErrors) {
  EXPECT_THAT(ParseJson("{\n\"a\": }", "my.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, "my.json: not valid JSON"));
  EXPECT_THAT(ParseJson("{\n\"a\": }", "my.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, "line 2"));
  EXPECT_THAT(ParseJson(R"({"a": {"b": 1, "b": 2}})", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "\"b\" stands twice"));
  PROTOPAGE_EXPECT_OK(ParseJson(R"({"a": {"b": 1}, "c": {"b": 2}})", "f"));
}

TEST(ConfigFieldsTest, SetReachesNestedKeysAndListElements) {
  nlohmann::json json = nlohmann::json::parse(R"({"list": [{}, {"count": 1}]})");
  PROTOPAGE_ASSERT_OK(SetJsonValue("inner.count=5", json));
  PROTOPAGE_ASSERT_OK(SetJsonValue("list[1].count=2", json));
  PROTOPAGE_ASSERT_OK(SetJsonValue("inner.kind=b", json));
  PROTOPAGE_ASSERT_OK(SetJsonValue("steps=[1,2]", json));
  EXPECT_EQ(json, nlohmann::json::parse(
                      R"({"list": [{}, {"count": 2}], "inner": {"count": 5, "kind": "b"},
                          "steps": [1, 2]})"));
  EXPECT_THAT(SetJsonValue("list[2].count=2", json),
              StatusIs(absl::StatusCode::kInvalidArgument, "no element 2"));
  EXPECT_THAT(SetJsonValue("kind=\xff", json),
              StatusIs(absl::StatusCode::kInvalidArgument, "is not UTF-8"));
  EXPECT_THAT(SetJsonValue("novalue", json), StatusIs(absl::StatusCode::kInvalidArgument, "--set"));
  EXPECT_THAT(SetJsonValue("steps.x=1", json),
              StatusIs(absl::StatusCode::kInvalidArgument, "not an object"));
}

TEST(DumpJsonTest, TextThatIsNotUtf8DoesNotThrow) {
  EXPECT_EQ(DumpJson({{"a", 1}, {"name", "caf\xe9"}}, -1),
            "{\"a\":1,\"name\":\"caf\xef\xbf\xbd\"}\n");
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
  EXPECT_EQ(differences(), (std::vector<std::string>{"rate", "list[0].count", "list[0].kind"}));
}

}  // namespace
}  // namespace protopage
