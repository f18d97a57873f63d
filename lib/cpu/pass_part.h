#pragma once

#include <cmath>
#include <cstdint>

#include "kernel/partial.h"

namespace flashbench::cpu {

/// sum = significand·2^exponent, the significand in [1/2, 1): RowState has O so many powers of two
/// smaller than the tiles.
inline int exponent_of(float sum) {
  int exponent = 0;
  std::frexp(sum, &exponent);
  return exponent;
}
inline float power_of_two(int exponent) { return std::ldexp(1.0f, exponent); }

/// Which rows of its operands a pass works on, and what carries over to other parts of the problem.
/// By default all of them, and nothing.
struct PassPart {
  std::int64_t first_query = 0, first_key = 0;  ///< rows of the tensors where Visibility's begin
  RowState* state = nullptr;  ///< rows of the forward go from here to here, not to Outputs
  KeySums* sums = nullptr;    ///< dK and dV of the backward are added to these, not stored
  Poll* poll = nullptr;       ///< for the thread that began

  /// Between two tiles of work of a thread of the team.
  void poll_from(int thread) const {
    if (poll != nullptr && thread == 0) poll->now_and_then();
  }
};

}  // namespace flashbench::cpu
