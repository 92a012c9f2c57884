// CpuFeatures: the levels of the x86-64 instruction set that this machine can run, as the psABI
// defines them (the levels of -march=x86-64-v3 and -march=x86-64-v4).
//
//   const std::string kernels = GetCpuFeatures().x86_64_v4 ? "avx512" : "avx2";
//
// A level counts only if the operating system saves its registers (XCR0) as well. GCC has
// __builtin_cpu_supports("x86-64-v3") for this; clang 14 does not accept these names.
#ifndef PROTOPAGE_BASE_CPU_FEATURES_H_
#define PROTOPAGE_BASE_CPU_FEATURES_H_

#include <cstdint>

namespace protopage {

struct CpuFeatures {
  bool x86_64_v3 = false;  // AVX2, FMA, F16C, BMI and what comes before them.
  bool x86_64_v4 = false;  // x86_64_v3, and AVX-512 F, BW, CD, DQ and VL.
};

// The registers that the levels are read from: CPUID leaf 1 and leaf 7 (subleaf 0) and the extended
// leaf 0x80000001, zero where the processor has no such leaf; XCR0 is zero where OSXSAVE is not
// set.
struct CpuidRegisters {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;
  uint32_t extended_ecx = 0;
  uint64_t xcr0 = 0;
};

// The features of this machine, read once. Thread-safe.
const CpuFeatures& GetCpuFeatures();

// The two steps of GetCpuFeatures, for tests.
CpuidRegisters ReadCpuidRegisters();
CpuFeatures FeaturesOf(const CpuidRegisters& registers);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_CPU_FEATURES_H_
