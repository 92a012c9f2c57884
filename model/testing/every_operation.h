// RunEveryOperation: the bytes of every output of every operation of a backend, on fixed inputs
// that are large enough to be cut into several blocks. They are equal for two runs, and for any
// number of threads.
//
//   PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto first, RunEveryOperation(*backend));
//   PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto second, RunEveryOperation(*backend));
//   ASSERT_EQ(first.size(), second.size());
//   for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].bytes, second[i].bytes);
#ifndef PROTOPAGE_MODEL_TESTING_EVERY_OPERATION_H_
#define PROTOPAGE_MODEL_TESTING_EVERY_OPERATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/model/backend.h"

namespace protopage {

struct OperationOutput {
  std::string name;
  std::vector<uint8_t> bytes;
};
absl::StatusOr<std::vector<OperationOutput>> RunEveryOperation(Backend& backend);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_EVERY_OPERATION_H_
