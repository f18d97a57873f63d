#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

namespace flashbench {

struct JsonLimits {
  int depth = 64;  ///< dump, copy and comparison of deeper values overflow the stack
  std::size_t array_items = 64;
  std::size_t values = 2'000'000;  ///< in all; a parsed value takes up to 200 bytes
};

/// Parses JSON that nobody vouches for. Throws std::runtime_error with what is wrong: syntax and
/// invalid UTF-8 with the byte, NUL bytes, nesting, a key that is there twice, too many values.
nlohmann::json parse_strict_json(std::string_view text, JsonLimits limits = {});

}  // namespace flashbench
