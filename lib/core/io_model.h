#pragma once

#include <cstddef>
#include <cstdint>

#include "core/problem.h"

namespace flashbench {

/// Bytes that the three ways of computing attention must move to and from main memory by the
/// analysis of the papers, which knows two memories: a fast one of a given size, and the main one.
/// Blocks and keys that no query sees are left out in proportion; `normal` leaves nothing out.
///
/// normal (FlashAttention, Algorithms 0 and 3): steps read their operands and write their result,
///   so that f32 matrices [q_len, kv_len] move 4 times forward and 7 times backward.
/// paper (FlashAttention, Algorithms 1 and 4): K and V once; Q, O and the row statistics once for
///   every block of kv_block keys.
/// flash (FlashAttention-2, Algorithms 1 and 2): forward Q and O once, K and V once for every block
///   of as many query rows as a quarter of the fast memory holds; backward the other way round.
/// A bias is read once a head by each, of visible pairs alone but by normal (whose backward has P
/// instead), and its gradient written.
struct IoBytes {
  double normal = 0, paper = 0, flash = 0;
};

IoBytes io_bytes(const Problem& p, std::int64_t kv_block, std::size_t fast_memory_bytes);

}  // namespace flashbench
