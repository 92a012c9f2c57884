// protopage's base, in a file that has the host's types as well.

#include "base/types.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/file.h"
#include "protopage/base/keyed_permutation.h"
#include "protopage/base/mutex.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace reuse {
namespace {

// Numbers the host's classes, in the order of a permutation.
TEST(TypesTest, HostAndProtopageHaveTheirOwnClassIds) {
  const std::vector<ClassId> names = {"ash", "beech", "cedar"};
  const protopage::KeyedPermutation order(/*key=*/7, /*stream=*/0, names.size());
  std::map<ClassId, protopage::ClassId> ids;
  for (int64_t i = 0; i < order.size(); ++i) ids[names[order.At(i)]] = i;
  ASSERT_EQ(ids.size(), 3u);
  for (const ClassId& name : names) EXPECT_EQ(names[order.At(ids[name])], name);
  EXPECT_EQ(ids.count("fir"), 0u);
}

TEST(TypesTest, AThreadPoolSumsPoints) {
  const std::vector<Point> points = {{1, 2}, {3, 4}, {5, 6}};
  protopage::ThreadPool pool(2);
  protopage::Mutex mutex;
  double sum = 0;
  pool.ParallelFor(points.size(), [&](int64_t i) {
    const protopage::MutexLock lock(mutex);
    sum += points[i].x * points[i].y;
  });
  EXPECT_EQ(sum, 44);
}

TEST(TypesTest, AFileKeepsTheNameOfAClass) {
  const ClassId name = "ash";
  const std::string path = ::testing::TempDir() + "/name";
  protopage::FileSystem* const fs = protopage::DefaultFileSystem();
  ASSERT_TRUE(protopage::WriteFileAtomically(fs, path, name).ok());
  const absl::StatusOr<std::string> read = protopage::ReadFile(fs, path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, name);
}

}  // namespace
}  // namespace reuse
