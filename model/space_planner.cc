#include "protopage/model/space_planner.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "protopage/base/divide_up.h"

namespace protopage {

int SpacePlanner::Add(int begin, int end, int64_t size) {
  pieces_.push_back({begin, end, DivideUp(size, kAlignment) * kAlignment, 0});
  return static_cast<int>(pieces_.size()) - 1;
}

void SpacePlanner::Place() {
  std::vector<int> order(pieces_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [this](int a, int b) {
    // Pieces of one size in the order of time, which is optimal when all are of one size.
    return std::tuple(-pieces_[a].size, pieces_[a].begin, a) <
           std::tuple(-pieces_[b].size, pieces_[b].begin, b);
  });
  std::vector<int> placed;  // By offset.
  for (const int i : order) {
    int64_t offset = 0;
    for (const int j : placed) {
      if (pieces_[j].end < pieces_[i].begin || pieces_[i].end < pieces_[j].begin) continue;
      if (offset + pieces_[i].size <= pieces_[j].offset) break;
      offset = std::max(offset, pieces_[j].offset + pieces_[j].size);
    }
    pieces_[i].offset = offset;
    total_ = std::max(total_, offset + pieces_[i].size);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [this](int a, int b) { return pieces_[a].offset < pieces_[b].offset; }),
        i);
  }
}

}  // namespace protopage
