// TextTable: results as aligned columns for a terminal.
//
//   TextTable table({"metric", "before", "after"});
//   table.AddRow({"top-1", FormatFixed(0.2081, 3), FormatFixed(0.5742, 3)});
//   std::cout << table.ToString();
//
// prints
//
//   metric  before  after
//   ---------------------
//   top-1    0.208  0.574
#ifndef PROTOPAGE_EVAL_TEXT_TABLE_H_
#define PROTOPAGE_EVAL_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace protopage {

// The first column is aligned to the left, the others to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  // `cells` has as many entries as the header (CHECKed).
  void AddRow(std::vector<std::string> cells);
  // Lines without trailing blanks; each ends with a newline.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // The header first.
};

// "0.574": always with `decimals` decimals; also "nan" and "inf".
std::string FormatFixed(double value, int decimals);
// "1,234,567"
std::string FormatCount(int64_t value);
// Three digits and a unit, which is a power of 1024: "512 B", "1.95 KiB", "40.2 GiB".
std::string FormatBytes(int64_t bytes);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_TEXT_TABLE_H_
