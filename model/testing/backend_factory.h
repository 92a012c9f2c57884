// BackendFactory: makes the backend that a suite of tests runs on.
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, BackendConformanceTest,
//                            testing::Values(BackendFactory{"avx2", [] { return NewBackend(); }}),
//                            BackendFactoryName);
#ifndef PROTOPAGE_MODEL_TESTING_BACKEND_FACTORY_H_
#define PROTOPAGE_MODEL_TESTING_BACKEND_FACTORY_H_

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "protopage/model/backend.h"

namespace protopage {

struct BackendFactory {
  std::string name;  // Letters, digits and underscores.
  std::function<absl::StatusOr<std::unique_ptr<Backend>>()> create;
};
std::string BackendFactoryName(const testing::TestParamInfo<BackendFactory>& info);
void PrintTo(const BackendFactory& factory, std::ostream* os);  // For GoogleTest.

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_BACKEND_FACTORY_H_
