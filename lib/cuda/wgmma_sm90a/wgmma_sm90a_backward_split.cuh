#pragma once

#include <type_traits>

#include "cuda/wgmma_sm90a/wgmma_sm90a_backward.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_split_tile.cuh"

/// Gradients beyond d = 256, where 64 rows of one of them are half of a multiprocessor's registers:
/// dQ, dK and dV have a kernel each, whose two consumers have the same rows and half of the columns
/// of d each. What is multiplied with dS (dV: P) is streamed as whole tiles, and kept until that is
/// done; the other streamed operand passes by in boxes of 64 columns.
namespace flashbench::cuda::wgmma_sm90a {

/// A block's tiles of keys, one after the other, as QueryTiles are those of queries.
struct KeyTileWalk {
  int j, end;

  __device__ __forceinline__ bool done() const { return j == end; }
  __device__ __forceinline__ KeyTileWalk next() const { return {j + 1, end}; }
};

/// One of the two consumers. The first makes P, the second dS, if that is wanted.
///
/// S and dP of a tile are in flight at once, with the products of the tile before in front of them.
/// Scores of 64 rows that are keys are transposed: Sᵀ, Pᵀ, dPᵀ and dSᵀ are meant then.
template <typename T, int kD, Gradient kOf, int kGroup>
struct SplitGradient {
  static constexpr TileShape kTile = split_gradient_tile(kOf, kD);
  static constexpr int kColumns = kTile.columns, kOwn = own_columns(kD, kTile);
  static constexpr int kHeld = held_steps(kOf);
  static constexpr bool kRowsAreQueries = kOf == Gradient::kDq;
  using Places = SplitShared<kD, kOf>;
  using Block = std::conditional_t<kRowsAreQueries, QueryBlock, KeyBlock>;
  using Tiles = std::conditional_t<kRowsAreQueries, KeyTileWalk, QueryTiles<kColumns>>;
  using Scores = Fragments<1, kColumns>;

  const Attention& a;
  Places places;
  const Block block;
  const int seen_by_all;  ///< keys before this one are seen by all queries of the warp; or, from
                          ///< this query on every key of the warp is seen
  Tiles tile;
  fragments::RowStatistics<1> rows;  ///< where rows are queries
  PipelineState<kTile.stages> pipe;
  Fragments<1, kOwn> sum;
  Rounded<16 * kHeld> held;  ///< the first columns of the resident rows that it multiplies

  __device__ __forceinline__ const Places& shared() const { return places; }

  /// The resident rows that this consumer multiplies, if it does.
  __device__ __forceinline__ std::uint32_t resident() const {
    return kGroup == 0 ? places.resident_s() : places.resident_dp();
  }

  __device__ __forceinline__ void hold_resident() {
    const int lane = fragments::lane();
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      fragments::load_matrices(
          held[i],
          fragments::advanced(kBoxColumns,
                              fragments::chunk_at<kBoxColumns>(
                                  resident() + inner_step(kGroupRows, i / 4 * kBoxColumns),
                                  fragments::warp_row<1>() % kGroupRows + lane % 16, lane / 16),
                              2 * (i % 4)));
  }

  /// A product over columns [column, column + 16) of the resident rows, whose descriptor is `own`.
  __device__ __forceinline__ void multiply_resident(Scores& s, std::uint64_t own, int column,
                                                    std::uint64_t streamed, bool add) const {
    if (column < 16 * kHeld)
      multiply_by_transposed<T, kColumns>(s[0], held[column / 16], streamed, add);
    else
      multiply_by_transposed<T, kColumns>(s[0], advanced(own, inner_step(kGroupRows, column)),
                                          streamed, add);
  }

  /// Issues S, of each half of d by itself, as the forward adds it up.
  __device__ __forceinline__ void start_scores(Scores (&half)[2]) const {
    wait(places.full(pipe.stage()), pipe.parity());
    const std::uint64_t own = operand(resident(), 0), kept = operand(places.kept(pipe.stage()), 0);
    fence_operand<kColumns>(half[0]);
    fence_operand<kColumns>(half[1]);
    begin_products();
#pragma unroll
    for (int i = 0; i < kD; i += 16)
      multiply_resident(half[i / kOwn], own, i, advanced(kept, inner_step(kColumns, i)),
                        i % kOwn != 0);
    commit_products();
  }

  /// The products of the tile before, which are in flight unless this is the first one, are done.
  template <bool kFirst>
  __device__ __forceinline__ void end_tile_before() const {
    if (kFirst) return;
    wait_for_products<1>();
    release(places.empty(pipe.previous().stage()));
  }

  /// Multiplies resident rows by what passes by, each of kParts equal parts of d by itself.
  template <bool kFirst, int kParts>
  __device__ __forceinline__ void multiply_passing(Scores (&part)[kParts]) const {
    constexpr int kBoxes = kD / kBoxColumns, kPart = kD / kParts;
    const std::uint64_t own = operand(resident(), 0);
#pragma unroll
    for (int p = 0; p < kParts; ++p) fence_operand<kColumns>(part[p]);
#pragma unroll
    for (int box = 0; box < kBoxes; ++box) {
      const int place = box % Places::kPlaces;
      wait(places.passing_full(place), Places::passing_parity(pipe.count, box));
      const std::uint64_t passing = operand(places.passing(place), 0);
      begin_products();
#pragma unroll
      for (int i = box * kBoxColumns; i < (box + 1) * kBoxColumns; i += 16)
        multiply_resident(part[i / kPart], own, i,
                          advanced(passing, inner_step(kColumns, i % kBoxColumns)), i % kPart != 0);
      commit_products();
      if (box == 0) {
        end_tile_before<kFirst>();
      } else {
        wait_for_products<1>();
        release(places.passing_empty((box - 1) % Places::kPlaces));
      }
    }
    wait_for_products<0>();
    release(places.passing_empty((kBoxes - 1) % Places::kPlaces));
  }

  /// Issues this half's columns of sum += factor·(the tile that is kept).
  __device__ __forceinline__ void start_sum() {
    start_shared<T, kColumns, kOwn>(sum, places.factor(pipe.stage()), places.kept(pipe.stage()),
                                    kGroup * kOwn);
  }

  /// Both halves of S become P.
  __device__ __forceinline__ void make_weights(Scores (&half)[2]) const {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) half[0][0][n][c] += half[1][0][n][c];
    if constexpr (kRowsAreQueries) {
      fragments::exponentiate<1, kColumns>(half[0], rows);
      if (fragments::hides_keys<kColumns>(a, tile.j, seen_by_all))
        fragments::hide_keys<1, kColumns>(half[0], a, block.b, block.first_row, tile.j * kColumns,
                                          0.0f);
    } else {
      make_weights_transposed<kColumns>(half[0], *this);
    }
  }

  /// dP becomes dS.
  __device__ __forceinline__ void make_gradients(Scores& dp) const {
    Scores p;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const float4 weights = load_shared_float4(places.exact_weights(n));
      p[0][n][0] = weights.x;
      p[0][n][1] = weights.y;
      p[0][n][2] = weights.z;
      p[0][n][3] = weights.w;
    }
    if constexpr (kRowsAreQueries)
      fragments::softmax_gradient<1, kColumns>(dp, p, rows);
    else
      fragments::softmax_gradient_transposed<1, kColumns>(dp, p, places.delta(pipe.stage()));
  }

  /// A tile of who makes P; its sum is in flight afterwards.
  template <bool kFirst>
  __device__ __forceinline__ void add_tile_by_weights() {
    Scores half[2];
    if constexpr (kOf == Gradient::kDv) {
      multiply_passing<kFirst, 2>(half);
      wait(places.full(pipe.stage()), pipe.parity());
    } else {
      start_scores(half);
      end_tile_before<kFirst>();
      wait_for_products<0>();
    }
    if (kFirst) clear();
    make_weights(half);
    if constexpr (kOf == Gradient::kDv) {
      hand_over<T, kColumns>(half[0], places.factor(pipe.stage()));
      sync_consumers(kWeightsThere);
    } else {
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) store_shared(places.exact_weights(n), half[0][0][n]);
      sync_consumers(kWeightsThere);
      sync_consumers(kGradientsThere);
    }
    start_sum();
  }

  /// A tile of who makes dS. What P and dS of the tile before were read for is done where the two
  /// meet: each has waited for its own products before.
  template <bool kFirst>
  __device__ __forceinline__ void add_tile_by_gradients() {
    Scores dp[1];
    multiply_passing<kFirst, 1>(dp);
    if (kFirst) clear();
    wait(places.full(pipe.stage()), pipe.parity());
    sync_consumers(kWeightsThere);
    make_gradients(dp[0]);
    hand_over<T, kColumns>(dp[0], places.factor(pipe.stage()));
    sync_consumers(kGradientsThere);
    start_sum();
  }

  /// A tile of dV of who makes neither. P of the tile before has been read when the two meet, so
  /// that the other one may write the next.
  template <bool kFirst>
  __device__ __forceinline__ void add_tile() {
    if (kFirst) clear();
    wait(places.full(pipe.stage()), pipe.parity());
    sync_consumers(kWeightsThere);
    start_sum();
    wait_for_products<0>();
    release(places.empty(pipe.stage()));
  }

  /// In every tile the base is made anew: see WideKeyConsumer.
  template <bool kFirst>
  __device__ __forceinline__ void add() {
    places.base = uniform(places.base);
    if constexpr (kGroup == 0)
      add_tile_by_weights<kFirst>();
    else if constexpr (kOf == Gradient::kDv)
      add_tile<kFirst>();
    else
      add_tile_by_gradients<kFirst>();
  }

  /// The first tile is peeled off the loop: see KeyConsumer::add_tiles.
  __device__ __forceinline__ void add_tiles() {
    if (kGroup == 0 || kOf != Gradient::kDv) hold_resident();
    add<true>();
#pragma unroll 1
    for (tile = tile.next(); !tile.done(); tile = tile.next()) {
      ++pipe.count;
      add<false>();
    }
    wait_for_products<0>();
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int n = 0; n < kOwn / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) sum[0][n][c] = 0.0f;
  }

  /// Through half of the rows that made S: nobody has read them since the two met last.
  __device__ __forceinline__ void store(const fragments::HeadRows& to) const {
    const float by = kOf == Gradient::kDv ? 1.0f : a.scale;
    const float factor[2] = {by, by};
    fragments::store_rows<T, kOwn>(
        sum[0], factor, places.resident_s() + kGroup * tile_bytes(kOwn, kGroupRows),
        fragments::warp_row<1>() % kGroupRows, columns_from(to, kGroup * kOwn), block.first_row);
  }

  __device__ __forceinline__ void run(const fragments::HeadRows& to) {
    if constexpr (kRowsAreQueries)  // the statistics count rows from this warp's number on
      rows.load(a, block.b, block.h, block.first_row - kGroup * kGroupRows);
    wait(places.resident_full(), 0);
    if (tile.done())
      clear();
    else
      add_tiles();
    store(to);
  }
};

/// The first two warps behind the consumers stream to them: the first what is kept, a thread of the
/// second what passes by.
template <TileShape kTile>
__device__ __forceinline__ bool streams_kept() {
  return fragments::warp() == kTile.consumers * 4;
}
template <TileShape kTile>
__device__ __forceinline__ bool streams_passing() {
  return fragments::warp() == kTile.consumers * 4 + 1 && fragments::lane() == 0;
}

/// load(tile, its number) of every tile.
template <typename Tiles, typename Load>
__device__ __forceinline__ void stream_passing(const Tiles& tiles, const Load& load) {
  std::uint32_t count = 0;
#pragma unroll 1
  for (Tiles tile = tiles; !tile.done(); tile = tile.next(), ++count) load(tile, count);
}

/// dQ = scale·dS·K for 64 queries: Q and dO stay, tiles of K are kept, V passes by.
template <typename T, int kD>
__device__ __forceinline__ void split_dq(const BoxedAttention& x) {
  constexpr TileShape kTile = split_gradient_tile(Gradient::kDq, kD);
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const SplitShared<kD, Gradient::kDq> shared{aligned_shared(dynamic)};
  const Attention& a = x.a;
  const QueryBlock block(a, kTile.rows());
  const VisitedTiles visited(a, block, kTile);
  const int first = uniform(visited.first), end = first + uniform(visited.count);
  const int row = block.first_row + fragments::warp_row<1>() % kGroupRows;
  const int seen_by_all = fragments::end_of_keys_seen_by_all(a, block.b, row);
  const KeyTileWalk tiles{first, end};
  const fragments::HeadRows to = fragments::query_rows(a, a.dq, block.b, block.h);
  if (!begin_cta<kTile>(shared)) {
    if (streams_kept<kTile>() && fragments::lane() == 0)
      stream_keys<kTile>(x, shared, block, first, end);
    if (streams_passing<kTile>())
      stream_passing(tiles, [&](const KeyTileWalk& tile, std::uint32_t count) {
        shared.load_passing(count, x.v, tile.j * kTile.columns, block.h / a.group, block.b);
      });
    return;
  }
  if (warpgroup() == 0)
    SplitGradient<T, kD, Gradient::kDq, 0>{a, shared, block, seen_by_all, tiles}.run(to);
  else
    SplitGradient<T, kD, Gradient::kDq, 1>{a, shared, block, seen_by_all, tiles}.run(to);
}

/// dK = scale·dSᵀQ for 64 keys: K and V stay, tiles of Q are kept, dO passes by; or dV = PᵀdO: K
/// stays, tiles of dO are kept, Q passes by.
template <typename T, int kD, Gradient kOf>
__device__ __forceinline__ void split_dkdv(const BoxedAttention& x) {
  constexpr TileShape kTile = split_gradient_tile(kOf, kD);
  using Tiles = QueryTiles<kTile.columns>;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  const SplitShared<kD, kOf> shared{aligned_shared(dynamic)};
  const Attention& a = x.a;
  const KeyBlock block(a, kTile.rows());
  const int kept = kept_count(a, block.b);
  if (block.first_row >= kept) return;
  const Tiles tiles(a, block, kTile.rows());
  const int seen_by_all =
      fragments::query_that_all_keys_see(a, block, kept, fragments::warp_row<1>() % kGroupRows);
  const fragments::HeadRows to =
      fragments::key_rows(a, kOf == Gradient::kDv ? a.dv : a.dk, block.b, block.h_kv);
  if (!begin_cta<kTile>(shared)) {
    if (streams_kept<kTile>()) stream_queries<kTile>(x, shared, block, tiles);
    if (streams_passing<kTile>())
      stream_passing(tiles, [&](const Tiles& tile, std::uint32_t count) {
        shared.load_passing(count, kOf == Gradient::kDv ? x.q : x.d_o, tile.query, tile.h, block.b);
      });
    return;
  }
  if (warpgroup() == 0)
    SplitGradient<T, kD, kOf, 0>{a, shared, block, seen_by_all, tiles}.run(to);
  else
    SplitGradient<T, kD, kOf, 1>{a, shared, block, seen_by_all, tiles}.run(to);
}

template <typename T, int kD>
__device__ __forceinline__ void split_dk(const BoxedAttention& x) {
  split_dkdv<T, kD, Gradient::kDk>(x);
}
template <typename T, int kD>
__device__ __forceinline__ void split_dv(const BoxedAttention& x) {
  split_dkdv<T, kD, Gradient::kDv>(x);
}

}  // namespace flashbench::cuda::wgmma_sm90a
