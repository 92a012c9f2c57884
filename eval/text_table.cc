#include "protopage/eval/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/check.h"

namespace protopage {

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::AddRow(std::vector<std::string> cells) {
  PROTOPAGE_CHECK(cells.size() == rows_[0].size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString() const {
  const size_t num_columns = rows_[0].size();
  std::vector<size_t> widths(num_columns, 0);
  size_t total = 2 * (num_columns - 1);
  for (size_t c = 0; c < num_columns; ++c) {
    for (const auto& row : rows_) widths[c] = std::max(widths[c], row[c].size());
    total += widths[c];
  }
  std::string text;
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < num_columns; ++c) {
      const std::string blanks(widths[c] - rows_[r][c].size(), ' ');
      absl::StrAppend(&line, c == 0 ? "" : "  ", c == 0 ? "" : blanks, rows_[r][c],
                      c == 0 ? blanks : "");
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
    if (r == 0) absl::StrAppend(&text, std::string(total, '-'), "\n");
  }
  return text;
}

std::string FormatFixed(double value, int decimals) {
  return absl::StrFormat("%.*f", decimals, value);
}

std::string FormatCount(int64_t value) {
  std::string text = absl::StrCat(value);
  const size_t first_digit = value < 0 ? 1 : 0;
  for (size_t at = text.size(); at > first_digit + 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (std::abs(bytes) < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; std::fabs(value) >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  const int decimals = std::fabs(value) < 9.995 ? 2 : std::fabs(value) < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, kUnits[unit]);
}

}  // namespace protopage
