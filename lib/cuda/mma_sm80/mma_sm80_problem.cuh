#pragma once

#include "cuda/contract/sequence_tile.h"
#include "cuda/fragments/rows.cuh"
#include "cuda/fragments/warp.cuh"

/// Where a CTA finds the problem that it works on: the launch's, of however many batch elements, or
/// that of one sequence of a ragged batch, as if it were alone. Kernels are written for either.
namespace flashbench::cuda::mma_sm80 {

using namespace fragments;

/// The sequence of a CTA: the list's entry, in shared memory. It is read again wherever the problem
/// is asked for: what follows from it would take some twenty registers, which no kernel of d = 128
/// has left during its loop.
struct SequenceOfCta {
  const RaggedAttention& x;
  const SequenceTile* held;

  __device__ __forceinline__ const SequenceTile& operator*() const {
    return held[rematerialized(0)];
  }
};

/// Tiles of the list have so many CTAs each.
__device__ __forceinline__ SequenceOfCta sequence_of_cta(const RaggedAttention& x,
                                                         int ctas_a_tile) {
  __shared__ SequenceTile held;
  if (thread() == 0) held = x.tiles[static_cast<int>(blockIdx.x) / ctas_a_tile];
  __syncthreads();
  return {x, &held};
}

/// Rows from `first` on, of heads that have so many.
__device__ __forceinline__ Rows rows_of_sequence(const Rows& all, int first, int rows_of_head) {
  return {static_cast<Bits*>(all.data) + first * all.stride_row, 0, rows_of_head * all.stride_row,
          all.stride_row};
}
__device__ __forceinline__ float* rows_of_sequence(float* all, int first) {
  return all == nullptr ? nullptr : all + first;
}

// ---- From the argument of a kernel of query blocks, or of key blocks: whom to ask

__device__ __forceinline__ const Attention& of_queries(const Attention& a) { return a; }
__device__ __forceinline__ const Attention& of_keys(const Attention& a) { return a; }
__device__ __forceinline__ SequenceOfCta of_queries(const RaggedAttention& x) {
  return sequence_of_cta(x, x.all.h);
}
__device__ __forceinline__ SequenceOfCta of_keys(const RaggedAttention& x) {
  return sequence_of_cta(x, x.all.h_kv);
}

// ---- The problem

__device__ __forceinline__ const Attention& problem(const Attention& a) { return a; }
__device__ __forceinline__ Attention problem(const SequenceOfCta& of) {
  const SequenceTile& s = *of;
  Attention a = of.x.all;
  for (Rows* rows : {&a.q, &a.o, &a.d_o, &a.dq})
    *rows = rows_of_sequence(*rows, s.first_row, s.q_len);
  for (Rows* rows : {&a.k, &a.v, &a.dk, &a.dv})
    *rows = rows_of_sequence(*rows, s.first_key, s.kv_rows);
  for (float** rows : {&a.lse, &a.row_max, &a.row_log2_sum, &a.delta})
    *rows = rows_of_sequence(*rows, s.first_row);
  a.kept = a.kept_before = nullptr;
  a.q_len = a.mask.q_len = s.q_len;
  a.kv_len = a.mask.kv_len = s.kv_len;
  a.mask.diagonal = s.diagonal;
  if (a.change.alibi_slopes != nullptr) a.change.alibi_slopes += s.b * a.h;
  return a;
}

// ---- The CTA's block of it

__device__ __forceinline__ QueryBlock query_block(const Attention& a, int rows) {
  return {a, rows};
}
__device__ __forceinline__ QueryBlock query_block(const SequenceOfCta& of, int rows) {
  const SequenceTile& s = *of;
  const int blocks = (s.q_len + rows - 1) / rows;
  const int cta = static_cast<int>(blockIdx.x) - s.first_tile * of.x.all.h;
  return {0, cta / blocks, (blocks - 1 - cta % blocks) * rows};
}

__device__ __forceinline__ KeyBlock key_block(const Attention& a, int rows) { return {a, rows}; }
__device__ __forceinline__ KeyBlock key_block(const SequenceOfCta& of, int rows) {
  const SequenceTile& s = *of;
  const int blocks = (s.kv_rows + rows - 1) / rows;
  const int cta = static_cast<int>(blockIdx.x) - s.first_tile * of.x.all.h_kv;
  return {0, cta / blocks, cta % blocks * rows};
}

}  // namespace flashbench::cuda::mma_sm80
