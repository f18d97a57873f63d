#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"
#include "cuda/fragments/accumulators.cuh"

/// The line of all key steps of all blocks of rows, and how it is cut into shares.
namespace flashbench::cuda::decode_sm80 {

using namespace fragments;

/// Query rows that meet a K/V head; at most kRows where they are one block, kMostRows elsewhere.
__device__ __forceinline__ int rows_of_head(const Attention& a) { return a.group * a.q_len; }

template <Tile kTile>
__device__ __forceinline__ int blocks_of_head(const Attention& a) {
  if constexpr (kTile.blocks == Blocks::kOne) return 1;
  return (rows_of_head(a) + kTile.rows() - 1) / kTile.rows();
}

/// The first row of a block among those of its K/V head.
template <Tile kTile>
__device__ __forceinline__ int first_row_of(int block) {
  return kTile.blocks == Blocks::kOne ? 0 : block * kTile.rows();
}

/// The queries of a block's rows, ends included: all of them where the rows are of several heads.
struct QueryRange {
  int first, last;
};
template <Tile kTile>
__device__ __forceinline__ QueryRange queries_of(const Attention& a, int block) {
  if constexpr (kTile.blocks == Blocks::kOne) return {0, a.q_len - 1};
  const int first = block * kTile.rows();
  const int last = min(first + kTile.rows(), rows_of_head(a)) - 1;
  const int first_of_head = first / a.q_len * a.q_len;
  if (last - first_of_head >= a.q_len) return {0, a.q_len - 1};
  return {first - first_of_head, last - first_of_head};
}

/// The keys that some row of a block sees, as kept ones, and the steps that they take. A block that
/// sees nothing has one step all the same: somebody writes its zeros.
struct BlockKeys {
  int end;           ///< behind the last key
  int first, steps;  ///< of the tile's keys each

  template <Tile kTile>
  static __device__ __forceinline__ BlockKeys of(const Attention& a, int b, int block) {
    constexpr int kKeys = ring(kTile).keys;
    const QueryRange queries = queries_of<kTile>(a, block);
    const int begin = keys(a, b, queries.first).begin;
    const int end = keys(a, b, queries.last).end;
    const int first = begin / kKeys;
    return {end, first, max((end + kKeys - 1) / kKeys - first, 1)};
  }
};

/// A step of the line: the `position`-th. Heads follow one another, their blocks, and their keys.
template <Tile kTile>
struct Place {
  static constexpr int kKeys = ring(kTile).keys;

  int position;
  int b, h_kv, block;
  int step;  ///< of the block: keys step · kKeys and those behind it
  int left;  ///< steps of the block from here on
  int end;   ///< behind the block's last key

  __device__ __forceinline__ bool sees_keys() const { return step * kKeys < end; }

  /// `steps` further, at whichever block that is.
  __device__ __forceinline__ void advance(const Attention& a, int steps) {
    position += steps;
    while (steps >= left) {
      steps -= left;
      if (leaves_head(a)) {
        block = 0;
        if (++h_kv == a.h_kv) {
          h_kv = 0;
          if (++b == a.b) {  // the end of the line
            left = 0x7fffffff;
            return;
          }
        }
      }
      const BlockKeys next = BlockKeys::of<kTile>(a, b, block);
      step = next.first;
      left = next.steps;
      end = next.end;
    }
    step += steps;
    left -= steps;
  }

 private:
  /// Goes to the next block; whether that is one of another head.
  __device__ __forceinline__ bool leaves_head(const Attention& a) {
    if constexpr (kTile.blocks == Blocks::kOne) return true;
    return ++block == blocks_of_head<kTile>(a);
  }
};

/// The steps of a K/V head of a batch element. All lanes of a warp make one; where there are many
/// blocks, each lane looks at one of them.
template <Tile kTile>
struct HeadSteps {
  BlockKeys keys;  ///< of this lane's block; of the one that was asked for after block_with()
  int all;         ///< steps of all blocks

  __device__ __forceinline__ HeadSteps(const Attention& a, int b) {
    if constexpr (kTile.blocks == Blocks::kOne) {
      keys = BlockKeys::of<kTile>(a, b, 0);
      all = keys.steps;
    } else {
      keys = {0, 0, 0};
      if (lane() < blocks_of_head<kTile>(a)) keys = BlockKeys::of<kTile>(a, b, lane());
      all = __reduce_add_sync(0xffffffffu, keys.steps);
    }
  }

  /// The block that has the head's `step`-th step, which becomes one of the block.
  __device__ __forceinline__ int block_with(int& step) {
    if constexpr (kTile.blocks == Blocks::kOne) return 0;
    int until = keys.steps;  // of this block and those before it
#pragma unroll
    for (int n = 1; n < 32; n *= 2) {
      const int before = __shfl_up_sync(0xffffffffu, until, n);
      if (lane() >= n) until += before;
    }
    const int block = __popc(__ballot_sync(0xffffffffu, until <= step));
    step -= __shfl_sync(0xffffffffu, until - keys.steps, block);
    keys = {__shfl_sync(0xffffffffu, keys.end, block), __shfl_sync(0xffffffffu, keys.first, block),
            __shfl_sync(0xffffffffu, keys.steps, block)};
    return block;
  }
};

/// Steps of all heads. All lanes of a warp call it.
template <Tile kTile>
__device__ __forceinline__ int steps_of_all(const Attention& a) {
  if (a.kept_before == nullptr) return HeadSteps<kTile>(a, 0).all * a.b * a.h_kv;
  const int blocks = blocks_of_head<kTile>(a);
  int steps = 0;
  for (int i = lane(); i < a.b * blocks; i += 32)
    steps += BlockKeys::of<kTile>(a, i / blocks, i % blocks).steps;
  return __reduce_add_sync(0xffffffffu, steps) * a.h_kv;
}

/// Where the line has its `position`-th step, which exists. All lanes of a warp call it.
template <Tile kTile>
__device__ __forceinline__ Place<kTile> place_at(const Attention& a, int position) {
  int b = 0, before = 0;  // the batch element, and the steps before it
  HeadSteps<kTile> head(a, 0);
  if (a.kept_before == nullptr) {
    b = position / (head.all * a.h_kv);
    before = b * head.all * a.h_kv;
  } else {
    while (position >= before + head.all * a.h_kv) {
      before += head.all * a.h_kv;
      head = HeadSteps<kTile>(a, ++b);
    }
  }
  const int h_kv = (position - before) / head.all;
  int within = position - before - h_kv * head.all;
  const int block = head.block_with(within);
  const BlockKeys& keys = head.keys;
  return {position, b, h_kv, block, keys.first + within, keys.steps - within, keys.end};
}

/// The line in equal runs, one a CTA, none of them empty: the first ones have a step more.
struct Shares {
  int ctas, each, longer;

  __device__ __forceinline__ Shares(int steps, int ctas)
      : ctas(ctas), each(steps / ctas), longer(steps - steps / ctas * ctas) {}
  __device__ __forceinline__ int begin(int cta) const { return cta * each + min(cta, longer); }
  /// Whose share has that position.
  __device__ __forceinline__ int owner(int position) const {
    const int in_longer = longer * (each + 1);
    return position < in_longer ? position / (each + 1) : longer + (position - in_longer) / each;
  }
};

}  // namespace flashbench::cuda::decode_sm80
