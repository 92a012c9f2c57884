#include "protopage/base/json_text.h"

#include <gtest/gtest.h>

#include <string>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::StatusOr<std::string> Example(absl::string_view text) {
  PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, "train.json"));
  PROTOPAGE_RETURN_IF_ERROR(SetJsonValue("stages[0].steps=100", json));
  const std::string line = DumpJson(json, /*indent=*/-1);
  return line;
}

TEST(JsonTextTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string line, Example(R"({"stages": [{}]} // One.)"));
  EXPECT_EQ(line, "{\"stages\":[{\"steps\":100}]}\n");
}

TEST(ParseJsonTest, MalformedJsonAndRepeatedKeysAreErrors) {
  EXPECT_THAT(ParseJson("{\n\"a\": }", "my.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, "my.json: not valid JSON"));
  EXPECT_THAT(ParseJson("{\n\"a\": }", "my.json"),
              StatusIs(absl::StatusCode::kInvalidArgument, "line 2"));
  EXPECT_THAT(ParseJson(R"({"a": {"b": 1, "b": 2}})", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "\"b\" stands twice"));
  PROTOPAGE_EXPECT_OK(ParseJson(R"({"a": {"b": 1}, "c": {"b": 2}})", "f"));
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(ParseJsonTest, DeepNestingIsAnError) {
  PROTOPAGE_EXPECT_OK(ParseJson(Nested(kMaxJsonDepth), "f"));
  for (const int depth : {kMaxJsonDepth + 1, 100000}) {
    EXPECT_THAT(ParseJson(Nested(depth), "f"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                        "f: lists or objects are nested deeper"));
  }
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_THAT(ParseJson(objects + "1" + std::string(100000, '}'), "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "nested deeper than 200 levels"));
}

TEST(ParseJsonTest, MessagesAreShortHoweverLongTheTextIs) {
  const std::string key(1000000, 'k');
  const absl::Status twice = ParseJson("{\"" + key + "\": 1, \"" + key + "\": 2}", "f").status();
  EXPECT_THAT(twice, StatusIs(absl::StatusCode::kInvalidArgument, "(1000000 bytes)"));
  EXPECT_LT(twice.message().size(), 500u);
  EXPECT_LT(ParseJson("{\"" + key + "\" 1}", "f").status().message().size(), 500u);
}

TEST(SetJsonValueTest, ValuesAndNamesMayNotBeNestedDeep) {
  nlohmann::json json = nlohmann::json::object();
  PROTOPAGE_EXPECT_OK(SetJsonValue("a=" + Nested(kMaxJsonDepth), json));
  EXPECT_THAT(SetJsonValue("a=" + Nested(100000), json),
              StatusIs(absl::StatusCode::kInvalidArgument, "--set a: lists or objects are nested"));
  EXPECT_THAT(SetJsonValue("a={\"b\":1,\"b\":2}", json),
              StatusIs(absl::StatusCode::kInvalidArgument, "--set a: the key \"b\" stands twice"));
  std::string names = "a";
  for (int i = 0; i < 100000; ++i) names += ".a";
  const absl::Status status = SetJsonValue(names + "=1", json);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, "too many names"));
  EXPECT_LT(status.message().size(), 500u);
}

TEST(SetJsonValueTest, SetReachesNestedKeysAndListElements) {
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

}  // namespace
}  // namespace protopage
