#include "protopage/base/named_entries.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace protopage {
namespace {

TEST(NamedEntriesTest, TheExampleOfTheHeader) {
  struct Shape {
    const char* name;
    int corners;
  };
  const std::vector<Shape> shapes = {{"triangle", 3}, {"square", 4}, {"pentagon", 5}};
  const Shape* const square = FindNamed(shapes, "square");
  const std::string text = JoinWithAnd(NamesOf(shapes));  // "triangle, square and pentagon"
  EXPECT_EQ(square, &shapes[1]);
  EXPECT_EQ(text, "triangle, square and pentagon");
  EXPECT_EQ(FindNamed(shapes, "circle"), nullptr);
}

TEST(NamedEntriesTest, EntriesMayBePointers) {
  struct Entry {
    std::string name;
  };
  const Entry a{"a"}, b{"b"};
  const std::vector<const Entry*> entries = {&a, &b};
  EXPECT_EQ(FindNamed(entries, "b"), &b);
  EXPECT_EQ(FindNamed(entries, "c"), nullptr);
  EXPECT_EQ(NamesOf(entries), (std::vector<std::string>{"a", "b"}));
}

TEST(NamedEntriesTest, FewNamesAreJoinedWithoutCommas) {
  EXPECT_EQ(JoinWithAnd({}), "");
  EXPECT_EQ(JoinWithAnd({"a"}), "a");
  EXPECT_EQ(JoinWithAnd({"a", "b"}), "a and b");
}

}  // namespace
}  // namespace protopage
