#pragma once

#include <cstddef>

// Cache sizes as the system gives them, with a default where it does not.
namespace flashbench::cpu {

std::size_t l2_cache_bytes();
std::size_t last_cache_bytes();

}  // namespace flashbench::cpu
