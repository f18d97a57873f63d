#pragma once

#include <cstdint>
#include <vector>

namespace flashbench::data {

/// The slopes of the heads as ALiBi's authors have them (Press, Smith, Lewis 2022, section 3, and
/// get_slopes of their code): 2^(-8(n + 1)/h) for head n where h is a power of two; else those of
/// the next lower power of two, then every other one of the next higher.
std::vector<float> standard_alibi_slopes(std::int64_t h);

}  // namespace flashbench::data
