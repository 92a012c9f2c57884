#include "protopage/base/short_text.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace protopage {
namespace {

TEST(ShortTextTest, TheExampleOfTheHeader) {
  const std::string key(10000000, 'a');
  std::string error;
  error = absl::StrCat("unknown key ", ShortText(key));  // "unknown key aaaa... (9999 bytes)"
  EXPECT_EQ(error, "unknown key " + std::string(200, 'a') + "... (10000000 bytes)");
}

TEST(ShortTextTest, TwoHundredBytesStayAsTheyAre) {
  EXPECT_EQ(ShortText(""), "");
  EXPECT_EQ(ShortText(std::string(200, 'b')), std::string(200, 'b'));
}

TEST(ShortTextTest, CharactersOfUtf8AreNotCut) {
  // U+4E2D, three bytes: the 200th byte is the middle one of the 67th.
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xe4\xb8\xad";
  EXPECT_EQ(ShortText(text), text.substr(0, 198) + "... (300 bytes)");
}

TEST(ShortTextTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(ShortText(std::string("a\nb\r\x1b[2J\0\"\\", 11)), "a\\nb\\x0d\\x1b[2J\\x00\"\\");
}

}  // namespace
}  // namespace protopage
