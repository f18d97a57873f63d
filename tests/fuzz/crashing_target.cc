// A target that crashes, for the test of replay.cc.
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 3 && data[0] == 'b' && data[1] == 'a' && data[2] == 'd') std::abort();
  return 0;
}
