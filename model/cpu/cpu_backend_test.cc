#include "protopage/model/cpu/cpu_backend.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "protopage/base/cpu_features.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/testing/backend_conformance.h"

namespace protopage {
namespace {

// The instruction sets that this processor has.
std::vector<std::string> InstructionSets() {
  std::vector<std::string> sets = {"avx2"};
  if (GetCpuFeatures().x86_64_v4) sets.push_back("avx512");
  return sets;
}

std::vector<BackendFactory> Factories() {
  static ThreadPool* const pool = new ThreadPool(2);
  std::vector<BackendFactory> factories;
  for (const std::string& isa : InstructionSets()) {
    factories.push_back({isa, [isa] { return NewCpuBackend(pool, {isa}); }});
  }
  return factories;
}

INSTANTIATE_TEST_SUITE_P(Cpu, BackendConformanceTest, testing::ValuesIn(Factories()),
                         BackendFactoryName);

TEST(CpuBackendTest, BitsDoNotDependOnTheNumberOfThreads) {
  for (const std::string& isa : InstructionSets()) {
    std::vector<OperationOutput> one_thread;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend,
                                     NewCpuBackend(&pool, {isa}));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::vector<OperationOutput> outputs,
                                     RunEveryOperation(*backend));
      if (threads == 1) {
        one_thread = std::move(outputs);
        continue;
      }
      ASSERT_EQ(outputs.size(), one_thread.size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        EXPECT_EQ(outputs[i].bytes, one_thread[i].bytes)
            << outputs[i].name << " with " << threads << " threads, " << isa;
      }
    }
  }
}

TEST(CpuBackendTest, SaysWhatItRunsOn) {
  ThreadPool one(1), two(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> a, NewCpuBackend(&one, {"avx2"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> b, NewCpuBackend(&two, {"avx2"}));
  EXPECT_EQ(a->Description(), "cpu (1 thread, avx2)");
  EXPECT_EQ(b->Description(), "cpu (2 threads, avx2)");
  EXPECT_EQ(a->device(), DeviceType::kCpu);
}

TEST(CpuBackendTest, TheEnvironmentChoosesTheInstructionSet) {
  ThreadPool pool(1);
  ASSERT_EQ(setenv("PROTOPAGE_ISA", "avx2", /*overwrite=*/1), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCpuBackend(&pool));
  EXPECT_EQ(backend->Description(), "cpu (1 thread, avx2)");
  ASSERT_EQ(setenv("PROTOPAGE_ISA", "sse9", /*overwrite=*/1), 0);
  EXPECT_THAT(NewCpuBackend(&pool),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "instruction set \"sse9\" (from PROTOPAGE_ISA) is none of: auto, avx2"));
  ASSERT_EQ(unsetenv("PROTOPAGE_ISA"), 0);
  PROTOPAGE_EXPECT_OK(NewCpuBackend(&pool));
}

TEST(CpuBackendTest, RefusesAnInstructionSetThatTheProcessorLacks) {
  if (GetCpuFeatures().x86_64_v4) GTEST_SKIP() << "this processor lacks none";
  ThreadPool pool(1);
  EXPECT_THAT(NewCpuBackend(&pool, {"avx512"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "avx512"));
}

absl::Status Example() {
  ThreadPool pool(0);
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCpuBackend(&pool));
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
  return absl::OkStatus();
}

TEST(CpuBackendTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(Example()); }

}  // namespace
}  // namespace protopage
