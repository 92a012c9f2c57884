#include "protopage/base/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace protopage {
namespace {

int64_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int64_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    int64_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(absl::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  // Near enough is a distance of up to 2, or up to a third of the letters of the word if that is
  // more.
  int64_t best_distance = std::max<int64_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    // The distance is at least the difference of the lengths; computing it costs their product.
    const int64_t longer =
        static_cast<int64_t>(word.size()) - static_cast<int64_t>(candidate.size());
    if (std::abs(longer) >= best_distance) continue;
    const int64_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace protopage
