#include "protopage/base/nonce.h"

#include <gtest/gtest.h>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

TEST(NonceTest, NoNumberComesTwice) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const uint64_t a, RandomNonce());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const uint64_t b, RandomNonce());
  EXPECT_NE(a, b);
}

[[maybe_unused]] absl::StatusOr<uint64_t> TheExampleOfTheHeader() {
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t nonce, RandomNonce());
  return nonce;
}

}  // namespace
}  // namespace protopage
