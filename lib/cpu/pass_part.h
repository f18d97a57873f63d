#pragma once

#include <cstdint>

#include "kernel/partial.h"

namespace flashbench::cpu {

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
