#include "protopage/base/sealed_json.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

const nlohmann::ordered_json kObject = {{"step", 120}, {"path", "a\"b"}, {"list", {1, 2.5}}};

TEST(SealedJsonTest, TheSealIsTheLastFieldAndTheTextStaysJson) {
  for (const int indent : {-1, 1, 2}) {
    const std::string plain = DumpJson(kObject, indent);
    const std::string sealed = SealJson(plain);
    const nlohmann::ordered_json json = nlohmann::ordered_json::parse(sealed);
    EXPECT_EQ(json.back().get<std::string>().size(), 16u);
    EXPECT_EQ(json.size(), kObject.size() + 1);
    for (const SealRule rule : {SealRule::kRequired, SealRule::kOptional}) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string unsealed, Unseal(sealed, "a.json", rule));
      EXPECT_EQ(unsealed, plain);
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const nlohmann::json read,
                                     ParseSealedJson(sealed, "a.json", rule));
      EXPECT_EQ(read, nlohmann::json(kObject));
    }
  }
  // The bytes are a contract.
  EXPECT_EQ(SealJson("{\"a\":1}\n"), "{\"a\":1,\"xxh3\":\"e87880bf9d9664bc\"}\n");
  EXPECT_EQ(SealJson("{\n  \"a\": 1\n}\n"),
            "{\n  \"a\": 1,\n  \"xxh3\": \"415c471bba493d95\"\n}\n");
}

TEST(SealedJsonTest, EveryFlippedBitIsFound) {
  for (const int indent : {-1, 2}) {
    const std::string sealed = SealJson(DumpJson(kObject, indent));
    for (const SealRule rule : {SealRule::kRequired, SealRule::kOptional}) {
      for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
        std::string flipped = sealed;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        ASSERT_THAT(ParseSealedJson(flipped, "a.json", rule),
                    StatusIs(absl::StatusCode::kDataLoss, "a.json is damaged"))
            << "bit " << bit << " of " << sealed;
      }
    }
  }
}

TEST(SealedJsonTest, TextWithoutASealIsAcceptedWhereItMayBe) {
  for (const std::string text : {"{\"step\":1}\n", "{}\n", "{\n  \"a\": [\n    \"x\"\n  ]\n}\n"}) {
    PROTOPAGE_EXPECT_OK(ParseSealedJson(text, "a.json", SealRule::kOptional));
    EXPECT_THAT(
        ParseSealedJson(text, "a.json", SealRule::kRequired),
        StatusIs(absl::StatusCode::kDataLoss, "a.json is damaged, or was edited: its checksum"));
  }
  EXPECT_THAT(ParseSealedJson("{\"step\"", "a.json", SealRule::kOptional),
              StatusIs(absl::StatusCode::kDataLoss, "not valid JSON"));
}

TEST(SealedJsonTest, ASealThatIsNotAtTheEndIsAnEditedFile) {
  std::string sealed = SealJson(DumpJson(kObject, 2));
  sealed.insert(sealed.size() - 2, ",\n  \"more\": 1");
  EXPECT_THAT(ParseSealedJson(sealed, "a.json", SealRule::kOptional),
              StatusIs(absl::StatusCode::kDataLoss, "xxh3, is not at its end"));
}

TEST(SealedJsonTest, OtherDigitsAreDamage) {
  constexpr char kText[] = R"(
{"step":120,"xxh3":"0123456789abcdef"}
)";
  EXPECT_THAT(
      Unseal(kText, "a.json", SealRule::kOptional),
      StatusIs(absl::StatusCode::kDataLoss, "a.json is damaged, or was edited: it does not"));
}

TEST(SealedJsonTest, ACutTextIsDamaged) {
  const std::string sealed = SealJson(DumpJson(kObject));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(ParseSealedJson(sealed.substr(0, size), "a.json", SealRule::kRequired),
                StatusIs(absl::StatusCode::kDataLoss, "a.json"));
  }
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs, const std::string& path,
                                                    nlohmann::json json) {
  const std::string text = SealJson(DumpJson(json));
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, path, text));
  PROTOPAGE_ASSIGN_OR_RETURN(json, ParseSealedJson(text, path, SealRule::kRequired));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
