#include "protopage/base/cpu_features.h"

#include <cpuid.h>

namespace protopage {
namespace {

constexpr uint32_t Bit(int i) { return uint32_t{1} << i; }

constexpr uint32_t kOsXsave = Bit(27);  // Of leaf 1: XGETBV may be executed.

// x86-64-v2 and v3 in ECX of leaf 1.
constexpr uint32_t kLeaf1V3 = Bit(0) |    // SSE3
                              Bit(9) |    // SSSE3
                              Bit(12) |   // FMA
                              Bit(13) |   // CMPXCHG16B
                              Bit(19) |   // SSE4.1
                              Bit(20) |   // SSE4.2
                              Bit(22) |   // MOVBE
                              Bit(23) |   // POPCNT
                              kOsXsave |  //
                              Bit(28) |   // AVX
                              Bit(29);    // F16C
// In EBX of leaf 7.
constexpr uint32_t kLeaf7V3 = Bit(3) |   // BMI1
                              Bit(5) |   // AVX2
                              Bit(8);    // BMI2
constexpr uint32_t kLeaf7V4 = Bit(16) |  // AVX-512 F
                              Bit(17) |  // AVX-512 DQ
                              Bit(28) |  // AVX-512 CD
                              Bit(30) |  // AVX-512 BW
                              Bit(31);   // AVX-512 VL
// In ECX of leaf 0x80000001.
constexpr uint32_t kExtendedV3 = Bit(0) |  // LAHF and SAHF in 64-bit mode
                                 Bit(5);   // LZCNT
// In XCR0: what the operating system saves when it switches threads.
constexpr uint64_t kXcr0V3 = Bit(1) |  // XMM
                             Bit(2);   // Upper halves of YMM
constexpr uint64_t kXcr0V4 = Bit(5) |  // Mask registers
                             Bit(6) |  // Upper halves of ZMM 0 to 15
                             Bit(7);   // ZMM 16 to 31

bool HasAll(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

}  // namespace

CpuidRegisters ReadCpuidRegisters() {
  CpuidRegisters registers;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) registers.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) registers.leaf7_ebx = ebx;
  if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) != 0) registers.extended_ecx = ecx;
  if (HasAll(registers.leaf1_ecx, kOsXsave)) {
    // XGETBV of register 0. As assembly, because the intrinsic needs -mxsave.
    uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    registers.xcr0 = uint64_t{high} << 32 | low;
  }
  return registers;
}

CpuFeatures FeaturesOf(const CpuidRegisters& registers) {
  CpuFeatures features;
  features.x86_64_v3 =
      HasAll(registers.leaf1_ecx, kLeaf1V3) && HasAll(registers.leaf7_ebx, kLeaf7V3) &&
      HasAll(registers.extended_ecx, kExtendedV3) && HasAll(registers.xcr0, kXcr0V3);
  features.x86_64_v4 = features.x86_64_v3 && HasAll(registers.leaf7_ebx, kLeaf7V4) &&
                       HasAll(registers.xcr0, kXcr0V4);
  return features;
}

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = FeaturesOf(ReadCpuidRegisters());
  return features;
}

}  // namespace protopage
