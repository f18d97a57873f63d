#pragma once

#include <cstdint>

namespace flashbench::cpu {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

constexpr std::int64_t blocks(std::int64_t n, std::int64_t block) {
  return (n + block - 1) / block;
}

}  // namespace flashbench::cpu
