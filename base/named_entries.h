// Registries are lists of entries with a `name`. These find one, and list the names.
//
//   struct Shape {
//     const char* name;
//     int corners;
//   };
//   const std::vector<Shape> shapes = {{"triangle", 3}, {"square", 4}, {"pentagon", 5}};
//   const Shape* const square = FindNamed(shapes, "square");
//   const std::string text = JoinWithAnd(NamesOf(shapes));  // "triangle, square and pentagon"
//
// A list may hold pointers to its entries as well.
#ifndef PROTOPAGE_BASE_NAMED_ENTRIES_H_
#define PROTOPAGE_BASE_NAMED_ENTRIES_H_

#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace protopage {

template <typename Entry>
const Entry* AddressOf(const Entry& entry) {
  return &entry;
}
template <typename Entry>
const Entry* AddressOf(const Entry* entry) {
  return entry;
}

template <typename Entries>
std::vector<std::string> NamesOf(const Entries& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.emplace_back(AddressOf(entry)->name);
  return names;
}

// The entry of that name, or null.
template <typename Entries>
auto FindNamed(const Entries& entries, absl::string_view name)
    -> decltype(AddressOf(*std::begin(entries))) {
  for (const auto& entry : entries) {
    if (AddressOf(entry)->name == name) return AddressOf(entry);
  }
  return nullptr;
}

// "a", "a and b", "a, b and c"; "" for none.
inline std::string JoinWithAnd(std::vector<std::string> names) {
  if (names.size() < 2) return absl::StrJoin(names, "");
  const std::string last = names.back();
  names.pop_back();
  return absl::StrCat(absl::StrJoin(names, ", "), " and ", last);
}

}  // namespace protopage

#endif  // PROTOPAGE_BASE_NAMED_ENTRIES_H_
