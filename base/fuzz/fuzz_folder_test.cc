#include "protopage/base/fuzz/fuzz_folder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protopage/base/file.h"

namespace protopage {
namespace {

TEST(FuzzFolderTest, HoldsFilesUntilItIsCleared) {
  const std::string text = "a.png\t1\n";
  static FuzzFolder* const folder = new FuzzFolder("list");
  const std::string path = folder->Write("list.tsv", text);
  folder->CheckNames({"list.tsv"});  // Nothing else was left behind.
  EXPECT_EQ(ReadFile(DefaultFileSystem(), path).value(), text);
  EXPECT_EQ(folder->Read("list.tsv"), text);
  folder->Write("run/log/lock", "");
  EXPECT_EQ(folder->Names(), (std::vector<std::string>{"list.tsv", "run/log/lock"}));
  EXPECT_DEATH(folder->CheckNames({"list.tsv"}), "expected");
  folder->Clear();
  EXPECT_TRUE(folder->Names().empty());
}

}  // namespace
}  // namespace protopage
