#pragma once

#include <cstdint>

#include "cuda/contract/arguments.h"

// A ragged batch in one launch: what its CTAs look up. Read by nvcc and by the host's compiler.
namespace flashbench::cuda {

/// An entry of the list that a launch works through, one for each tile of each sequence, those of a
/// sequence one behind the other. The CTAs of a sequence are its heads times its tiles, in the
/// order in which they would be launched alone; entries of one sequence are alike.
///
/// Rows of Q, O and their gradients, of LSE, maxima, sums and D are [sequence][h][q_len], those of
/// K, V and their gradients [sequence][h_kv][kv_rows]: packed.
struct alignas(16) SequenceTile {
  std::int32_t b;           ///< the sequence's number
  std::int32_t first_tile;  ///< the entry of its first tile
  std::int32_t q_len;
  std::int32_t kv_len;     ///< keys that some query sees, as Attention::kv_len
  std::int32_t kv_rows;    ///< rows of a head of K, of which these are neighbours
  std::int32_t diagonal;   ///< Visible::diagonal, by these
  std::int32_t first_row;  ///< of all rows of Q, where those of the sequence begin
  std::int32_t first_key;  ///< of all rows of K, where the first key of its first head lies
};

/// The only argument of kernels that take a ragged batch. `all` knows the batch as one sequence: b
/// is 1, q_len and kv_len are the rows of a head in all sequences. That is all that a kernel needs
/// whose rows do not meet each other.
struct RaggedAttention {
  Attention all;
  const SequenceTile* tiles;
  std::int32_t count;  ///< of the list's entries
};

}  // namespace flashbench::cuda
