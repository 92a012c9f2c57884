// SpacePlanner: places pieces of memory that are each in use for an interval of time, so that two
// pieces in use at the same time do not overlap.
//
//   SpacePlanner space;
//   const int a = space.Add(/*begin=*/0, /*end=*/1, /*size=*/64);
//   const int b = space.Add(/*begin=*/1, /*end=*/2, /*size=*/64);
//   const int c = space.Add(/*begin=*/2, /*end=*/3, /*size=*/64);
//   space.Place();
//   EXPECT_EQ(space.offset(a), space.offset(c));  // Never in use together.
//   EXPECT_EQ(space.total(), 128);
//
// Greedy: the largest piece first, each at the lowest offset that is free.
#ifndef PROTOPAGE_MODEL_SPACE_PLANNER_H_
#define PROTOPAGE_MODEL_SPACE_PLANNER_H_

#include <cstdint>
#include <vector>

namespace protopage {

class SpacePlanner {
 public:
  // Sizes are rounded up to multiples of this many bytes. Offsets are then multiples of it, and
  // stay so when the graph multiplies them by a batch size: every tensor starts at a cache line.
  static constexpr int64_t kAlignment = 64;

  // In use in [begin, end], both inclusive. Returns the number of the piece.
  int Add(int begin, int end, int64_t size);
  // Once, after the last Add.
  void Place();

  // After Place.
  int64_t offset(int piece) const { return pieces_[piece].offset; }
  int64_t total() const { return total_; }  // The bytes that hold all pieces.

 private:
  struct Piece {
    int begin, end;
    int64_t size;
    int64_t offset;
  };
  std::vector<Piece> pieces_;
  int64_t total_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_SPACE_PLANNER_H_
