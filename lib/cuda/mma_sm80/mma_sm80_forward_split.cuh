#pragma once

#include "cuda/fragments/masks.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/stages.cuh"
#include "cuda/fragments/tile_ranges.cuh"
#include "cuda/mma_sm80/mma_sm80_problem.cuh"
#include "cuda/mma_sm80/mma_sm80_split.cuh"

/// The forward beyond d = 256: two warps have the same 16 queries, each with half of d. Each keeps
/// its half of Q in registers and makes half of every q·k; both add the two halves up, do the same
/// softmax, and add P·V of their own columns to O.
namespace flashbench::cuda::mma_sm80 {

/// fold_sign_into_queries of the other forward, in registers.
template <int kOwn>
__device__ __forceinline__ void fold_sign(KeptRows<kOwn, 1>& q, float scale) {
  const std::uint32_t keep = scale == 0.0f ? 0u : ~0u, flip = scale < 0.0f ? 0x80008000u : 0u;
#pragma unroll
  for (auto& fragment : q)
#pragma unroll
    for (std::uint32_t& pair : fragment) pair = (pair & keep) ^ flip;
}

/// Half of the warp's scores becomes all of them.
template <int kD, TileShape kTile>
__device__ __forceinline__ void add_halves(SplitScores& s, const Split<kD, kTile>& at) {
  write_partial(at.partials(), s);
  __syncthreads();  // all partial scores are there
  const int row_warp = warp() % kTile.row_warps();
  sum_of_partials(s, at.partials(), row_warp, row_warp + kTile.row_warps());
}

/// Writes O = O / sum, and LSE.
template <typename T, int kD, Variant kVariant, TileShape kTile>
__device__ __forceinline__ void finish_split(const Attention& a, const QueryBlock& block,
                                             const Fragments<1, kD / kTile.parts>& o,
                                             const RunningSoftmax<1>& state, float scale_log2,
                                             const Split<kD, kTile>& at) {
  __syncthreads();  // everyone is done with the last tile
  // Both halves know the row's sums. One writes them: of a block behind the last query nothing is.
  const QueryBlock written{block.b, block.h, at.part() == 0 ? block.first_row : a.q_len};
  float inverse[2];
  finish_rows<kVariant>(a, written, at.row(), state, 0, scale_log2, inverse);
  at.template store<T>(o[0], inverse, query_values<kVariant>(a, a.o, block.b, block.h),
                       block.first_row);
}

/// O and LSE for one block of queries. K and V tile j + 1 arrive while tile j is computed.
template <typename T, int kD, Variant kVariant, typename Argument>
__device__ __forceinline__ void forward_split(const Argument& x) {
  constexpr TileShape kTile = forward_tile(kD);
  using At = Split<kD, kTile>;
  constexpr int kOwn = At::kOwn, kKeys = kTile.columns;
  static_assert(kTile.parts == 2);
  extern __shared__ __align__(128) unsigned char shared[];
  const At at{shared_address(shared)};

  const auto& from = of_queries(x);
  const Attention& a = problem(from);
  const QueryBlock block = query_block(from, kTile.rows());
  const int h_kv = block.h / a.group;
  const KeyTiles tiles(a, block, kTile.rows(), kKeys);
  const int seen_by_all = end_of_keys_seen_by_all(a, block.b, block.first_row + at.row());

  const auto load_keys_of = [&](int j) {
    load_keys<kVariant>(at, problem(from), rematerialized(block.b), rematerialized(h_kv), j);
  };
  KeptRows<kOwn, 1> q;
  if (tiles.first < tiles.end) {
    at.template load<kTile.rows()>(at.base, query_rows(a, a.q, block.b, block.h), block.first_row);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    constexpr auto kBlock = static_cast<std::uint32_t>(tile_bytes(kOwn, kTile.rows()));
    keep_rows<kOwn, 1, kTile.rows()>(q, at.base + at.part() * kBlock, at.row());
    if (a.scale <= 0.0f && takes_products<kVariant>(a)) fold_sign<kOwn>(q, a.scale);
    __syncthreads();  // everyone has its queries; tiles take their place
    load_keys_of(tiles.first);
  }
  Fragments<1, kOwn> o = {};
  RunningSoftmax<1> state;
  state.reset();
  const float scale_log2 =
      a.scale == 0.0f && takes_products<kVariant>(a) ? 1.0f : fabsf(a.scale_log2);
  for (int j = tiles.first; j < tiles.end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j is there, and everyone is done with tile j - 1 and its scores
    if (j + 1 < tiles.end) load_keys_of(j + 1);
    SplitScores s = {};
    multiply_kept<T, kOwn, 1>(s, q, at.first(j % 2) + at.part() * At::kPart);
    add_halves<kD, kTile>(s, at);
    if constexpr (kVariant == Variant::kGeneral)
      change_scores<RowsAre::kQueries, 1, kKeys>(
          s, problem(from), {block.b, block.h, block.first_row + at.shift(), j * kKeys});
    if (hides_keys<kKeys>(a, j, seen_by_all))
      hide_keys<1, kKeys>(s, problem(from), block.b, block.first_row + at.shift(), j * kKeys,
                          -kInf);
    absorb<1, kKeys, kOwn>(s, state, o, scale_log2);
    multiply_from_registers<T, kOwn, 1, kKeys>(o, s, at.second(j % 2) + at.part() * At::kPart);
  }
  finish_split<T, kD, kVariant, kTile>(problem(from), block, o, state, scale_log2, at);
}

}  // namespace flashbench::cuda::mma_sm80
