#pragma once

#include <cstddef>

// Cache sizes as the system gives them, with a default where it does not.
namespace flashbench::cpu {

std::size_t l1_cache_bytes();  ///< of data
std::size_t l2_cache_bytes();
/// Of the last level, all caches together that the processors of this process have.
std::size_t last_caches_bytes();

}  // namespace flashbench::cpu
