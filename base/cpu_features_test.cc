#include "protopage/base/cpu_features.h"

#include <gtest/gtest.h>

#include <string>

namespace protopage {
namespace {

// A processor that has all bits, under a system that saves all registers.
CpuidRegisters Everything() {
  CpuidRegisters all;
  all.leaf1_ecx = all.leaf7_ebx = all.extended_ecx = ~uint32_t{0};
  all.xcr0 = ~uint64_t{0};
  return all;
}

bool HasV3(const CpuidRegisters& registers) { return FeaturesOf(registers).x86_64_v3; }
bool HasV4(const CpuidRegisters& registers) { return FeaturesOf(registers).x86_64_v4; }

TEST(CpuFeaturesTest, AllBitsAreAllLevelsAndNoneIsNone) {
  EXPECT_TRUE(HasV3(Everything()));
  EXPECT_TRUE(HasV4(Everything()));
  EXPECT_FALSE(HasV3({}));
  EXPECT_FALSE(HasV4({}));
}

// Without one bit: the bits that matter are those of the psABI, and no others.
TEST(CpuFeaturesTest, EveryBitOfALevelIsNeeded) {
  const auto missing = [](uint32_t CpuidRegisters::*word, int bit) {
    CpuidRegisters registers = Everything();
    registers.*word &= ~(uint32_t{1} << bit);
    return registers;
  };
  uint32_t leaf1 = 0, leaf7_v3 = 0, leaf7_v4 = 0, extended = 0;
  for (int bit = 0; bit < 32; ++bit) {
    const uint32_t mask = uint32_t{1} << bit;
    if (!HasV3(missing(&CpuidRegisters::leaf1_ecx, bit))) leaf1 |= mask;
    if (!HasV3(missing(&CpuidRegisters::leaf7_ebx, bit))) leaf7_v3 |= mask;
    if (!HasV4(missing(&CpuidRegisters::leaf7_ebx, bit))) leaf7_v4 |= mask;
    if (!HasV3(missing(&CpuidRegisters::extended_ecx, bit))) extended |= mask;
  }
  // SSE3, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, OSXSAVE, AVX, F16C.
  EXPECT_EQ(leaf1, 0x38D83201u);
  EXPECT_EQ(leaf7_v3, 0x00000128u);  // BMI1, AVX2, BMI2.
  EXPECT_EQ(leaf7_v4, 0xD0030128u);  // And AVX-512 F, DQ, CD, BW, VL.
  EXPECT_EQ(extended, 0x00000021u);  // LAHF, LZCNT.
}

TEST(CpuFeaturesTest, RegistersThatTheSystemDoesNotSaveAreNotUsed) {
  CpuidRegisters registers = Everything();
  registers.xcr0 = 0xE7;  // x87, XMM, YMM, masks, ZMM.
  EXPECT_TRUE(HasV4(registers));
  registers.xcr0 = 0x07;
  EXPECT_TRUE(HasV3(registers));
  EXPECT_FALSE(HasV4(registers));
  registers.xcr0 = 0x03;
  EXPECT_FALSE(HasV3(registers));
  EXPECT_FALSE(HasV4(registers));
}

TEST(CpuFeaturesTest, TheExampleOfTheHeader) {
  const std::string kernels = GetCpuFeatures().x86_64_v4 ? "avx512" : "avx2";
  EXPECT_EQ(kernels == "avx512", HasV4(ReadCpuidRegisters()));
}

TEST(CpuFeaturesTest, ThisMachineRunsWhatWasCompiledForIt) {
  // All of the project is compiled for x86-64-v3.
  EXPECT_TRUE(GetCpuFeatures().x86_64_v3);
#if defined(__GNUC__) && !defined(__clang__)
  EXPECT_EQ(GetCpuFeatures().x86_64_v3, __builtin_cpu_supports("x86-64-v3") != 0);
  EXPECT_EQ(GetCpuFeatures().x86_64_v4, __builtin_cpu_supports("x86-64-v4") != 0);
#endif
}

}  // namespace
}  // namespace protopage
