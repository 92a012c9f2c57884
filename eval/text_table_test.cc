#include "protopage/eval/text_table.h"

#include <gtest/gtest.h>

#include <iostream>
#include <limits>

namespace protopage {
namespace {

TEST(TextTable, TheExampleOfTheHeader) {
  TextTable table({"metric", "before", "after"});
  table.AddRow({"top-1", FormatFixed(0.2081, 3), FormatFixed(0.5742, 3)});
  std::cout << table.ToString();
  EXPECT_EQ(table.ToString(),
            "metric  before  after\n"
            "---------------------\n"
            "top-1    0.208  0.574\n");
}

TEST(TextTable, AlignsItsColumns) {
  TextTable table({"metric", "before", "after"});
  table.AddRow({"top-1", FormatFixed(0.2081, 3), FormatFixed(0.5742, 3)});
  table.AddRow({"TAR at FAR 0.01", "", "1.000"});
  table.AddRow({"x", "", ""});
  EXPECT_EQ(table.ToString(),
            "metric           before  after\n"
            "------------------------------\n"
            "top-1             0.208  0.574\n"
            "TAR at FAR 0.01          1.000\n"
            "x\n");
}

TEST(FormatFixed, AlwaysHasItsDecimals) {
  EXPECT_EQ(FormatFixed(0.5, 3), "0.500");
  EXPECT_EQ(FormatFixed(-1.26, 1), "-1.3");
  EXPECT_EQ(FormatFixed(12, 0), "12");
  EXPECT_EQ(FormatFixed(std::numeric_limits<double>::quiet_NaN(), 2), "nan");
}

TEST(FormatCount, GroupsThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatCount(-100), "-100");
  EXPECT_EQ(FormatCount(-123456), "-123,456");
}

TEST(FormatBytes, TakesTheUnitThatGivesThreeFigures) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(10239), "10.0 KiB");  // 9.999
  EXPECT_EQ(FormatBytes(int64_t{256} << 20), "256 MiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 30) - 1), "1.00 GiB");
  EXPECT_EQ(FormatBytes(int64_t{41} * 1000000000), "38.2 GiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 50), "5120 TiB");
}

}  // namespace
}  // namespace protopage
