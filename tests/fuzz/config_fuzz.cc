// A config, and the sweep that it asks for.
#include "sweep/config.h"
#include "sweep/field.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::string> known = [] {
    std::vector<std::string> names = {"json", "min_time", "verify"};
    for (const flashbench::sweep::Field& f : flashbench::sweep::fields())
      names.emplace_back(f.name);
    return names;
  }();
  flashbench::fuzz::expect_refusals<flashbench::UsageError>([&] {
    flashbench::sweep::parse_config(flashbench::fuzz::text_of(data, size), "fuzzed", known);
  });
  return 0;
}
