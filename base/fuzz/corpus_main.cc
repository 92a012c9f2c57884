// Calls a fuzz function with the files given, one after the other: the main function of the tests
// that protopage_fuzz_test (tools/fuzz.bzl) declares. The function ends the process if it finds
// something.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  // Without an input, a fuzz function must do something sensible, too.
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (int i = 1; i < argc; ++i) {
    std::cerr << argv[i] << "\n";
    std::ifstream file(argv[i], std::ios::binary);
    if (!file.is_open()) {
      std::cerr << "cannot be read\n";
      return 1;
    }
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  return 0;
}
