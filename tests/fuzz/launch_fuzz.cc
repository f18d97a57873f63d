// The description of --launch.
#include "guest/launch_description.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flashbench;
  fuzz::expect_refusals<UsageError>(
      [&] { guest::read_launch_description(fuzz::text_of(data, size), "fuzzed"); });
  return 0;
}
