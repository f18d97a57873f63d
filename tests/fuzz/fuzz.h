#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// What every target begins with. libFuzzer calls it, or replay.cc.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace flashbench::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Calls parse(), which may refuse what it is given with one of these and with nothing else.
template <typename Refusal, typename... Others, typename Parse>
void expect_refusals(Parse&& parse) {
  try {
    if constexpr (sizeof...(Others) == 0)
      parse();
    else
      expect_refusals<Others...>(parse);
  } catch (const Refusal&) {
  }
}

}  // namespace flashbench::fuzz
