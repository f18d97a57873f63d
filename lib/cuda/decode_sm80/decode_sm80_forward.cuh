#pragma once

#include "cuda/decode_sm80/decode_sm80_merge.cuh"
#include "cuda/decode_sm80/decode_sm80_rows.cuh"
#include "cuda/decode_sm80/decode_sm80_shares.cuh"
#include "cuda/fragments/softmax.cuh"
#include "cuda/fragments/tile.cuh"

/// FlashDecoding (Dao, Haziza, Massa, Sizov 2023) without waves: every CTA has the same number of
/// key steps. Each warp streams its own keys through its own ring, and has a maximum, a sum and an
/// O of its own, so that nobody waits for another warp until a block of rows ends.
namespace flashbench::cuda::decode_sm80 {

/// Requests K and V of a step: zeros behind the last key and beyond d. A lane copies the same
/// chunks of every n-th row; where n is 4, every other one of its rows is permuted by 4 chunks
/// more.
template <Tile kTile>
__device__ __forceinline__ void load_step(const Attention& a, const Place<kTile>& place,
                                          std::uint32_t k_tile) {
  constexpr int kD = kTile.d, kKeys = ring(kTile).keys;
  constexpr int kGroup = swizzle_group(kD), kRowStep = 32 / kGroup, kSteps = kKeys / kRowStep;
  static_assert(kRowStep == 4 || kRowStep == 8);
  const int lane_row = lane() / kGroup, lane_chunk = lane() % kGroup;
  const int first = place.step * kKeys + lane_row;
  const auto rows_of = [&](const Rows& rows) {
    return static_cast<const Bits*>(rows.data) + place.b * rows.stride_b +
           place.h_kv * rows.stride_h + lane_chunk * kChunk;
  };
  const Bits* const k = rows_of(a.k);
  const Bits* const v = rows_of(a.v);
  std::int64_t row[kSteps];
#pragma unroll
  for (int r = 0; r < kSteps; ++r)
    row[r] = key_row(a, place.b, min(first + r * kRowStep, place.end - 1));
  const std::uint32_t to = chunk_at<kD>(k_tile, lane_row, lane_chunk);
  constexpr auto kKeyBytes = static_cast<std::uint32_t>(2 * kD * kKeys);
#pragma unroll
  for (int r = 0; r < kSteps; ++r) {
    const Bits* const k_row = k + row[r] * a.k.stride_row;
    const Bits* const v_row = v + row[r] * a.v.stride_row;
    const std::uint32_t to_row = (kRowStep == 4 && r % 2 == 1 ? to ^ 64u : to) +
                                 static_cast<std::uint32_t>(2 * kD * kRowStep * r);
#pragma unroll
    for (int c = 0; c < kD / kChunk; c += kGroup) {
      const bool valid = first + r * kRowStep < place.end && (lane_chunk + c) * kChunk < a.d;
      copy_16_async(to_row + 16 * c, k_row + c * kChunk, valid);
      copy_16_async(to_row + 16 * c + kKeyBytes, v_row + c * kChunk, valid);
    }
  }
}

/// s += Q·Kᵀ. Fragments of K are read once for all row tiles.
template <typename T, Tile kTile>
__device__ __forceinline__ void multiply_queries(Fragments<kTile.row_tiles, ring(kTile).keys>& s,
                                                 const Queries<kTile>& q, std::uint32_t k_tile) {
  constexpr int kD = kTile.d, kKeys = ring(kTile).keys;
  const int l = lane();
  const std::uint32_t k_lane = chunk_at<kD>(k_tile, l % 8 + l / 16 * 8, l / 8 % 2);
#pragma unroll
  for (int k = 0; k < kD / 16; ++k) {
    std::uint32_t b[kKeys / 16][4];  // keys 0-7: [0], [1]; keys 8-15: [2], [3]
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n)
      load_matrices(b[n], advanced(kD, k_lane, 2 * k) + kMatrixRowBytes<kD> * n);
#pragma unroll
    for (int t = 0; t < kTile.row_tiles; ++t) {
      std::uint32_t rows[4];
      q.take(rows, t, k);
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        multiply_add<T>(s[t][2 * n], rows, b[n][0], b[n][1]);
        multiply_add<T>(s[t][2 * n + 1], rows, b[n][2], b[n][3]);
      }
    }
  }
}

/// A warp's steps on their way through its ring: every n-th one of its CTA's share. The ring goes
/// on over the end of a block.
template <Tile kTile>
struct Stream {
  static constexpr int kStages = ring(kTile).stages;

  std::uint32_t stages;
  Place<kTile> ahead;  ///< the next step to request
  int end, warps;
  int stage = 0;  ///< of the next step to multiply

  __device__ __forceinline__ Stream(const Attention& a, std::uint32_t rings,
                                    const Place<kTile>& first, int end, int warps)
      : stages(rings + static_cast<std::uint32_t>(warp() * ring_bytes(kTile))),
        ahead(first),
        end(end),
        warps(warps) {
    ahead.advance(a, warp());
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) request(a, at(i));
  }

  __device__ __forceinline__ std::uint32_t at(int i) const {
    return stages + static_cast<std::uint32_t>(i) * static_cast<std::uint32_t>(stage_bytes(kTile));
  }
  __device__ __forceinline__ std::uint32_t next() const { return at(stage); }
  /// Of the step before: nothing is on its way to it.
  __device__ __forceinline__ std::uint32_t free() const {
    return at(stage == 0 ? kStages - 1 : stage - 1);
  }

  /// The next step is there; the free stage is not free any more.
  __device__ __forceinline__ void wait(const Attention& a) {
    request(a, free());
    wait_for_copies<kStages - 1>();
    __syncwarp();  // other lanes' copies are there, too
  }
  __device__ __forceinline__ void release() {
    __syncwarp();  // all lanes have read the stage
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }

 private:
  __device__ __forceinline__ void request(const Attention& a, std::uint32_t to) {
    if (ahead.position < end) {
      if (ahead.sees_keys()) load_step(a, ahead, to);
      ahead.advance(a, warps);
    }
    commit_copies();  // a group for each step, or wait_for_copies would count wrongly
  }
};

/// O and LSE of all heads.
template <typename T, Tile kTile>
__device__ __forceinline__ void forward(const Attention& a) {
  constexpr int kD = kTile.d, kKeys = ring(kTile).keys, kRowTiles = kTile.row_tiles;
  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t rings = shared_address(shared);
  const int warps = static_cast<int>(blockDim.x / 32), cta = static_cast<int>(blockIdx.x);
  const Exchange<kTile> exchange(shared, warps);

  const int all = steps_of_all<kTile>(a);
  const Shares shares(all, min(static_cast<int>(gridDim.x), all));
  if (cta >= shares.ctas) return;
  const int end = shares.begin(cta + 1);
  Place<kTile> block = place_at<kTile>(a, shares.begin(cta));  // at the first step of it here
  Stream<kTile> stream(a, rings, block, end, warps);

  const float scale_log2 = a.scale == 0.0f ? 1.0f : fabsf(a.scale_log2);
  int position = block.position + warp();
  while (true) {
    const int stop = min(block.position + block.left, end);
    const int first_row = first_row_of<kTile>(block.block);
    Queries<kTile> q(rings + warps * static_cast<std::uint32_t>(ring_bytes(kTile)));
    q.load(a, block.b, block.h_kv, first_row);
    const SeenByAll<kTile> seen(a, block);
    Fragments<kRowTiles, kD> o = {};
    RunningSoftmax<kRowTiles> softmax;
    softmax.reset();
#pragma unroll 1
    for (; position < stop; position += warps) {
      stream.wait(a);
      if (block.sees_keys()) {
        const std::uint32_t k_tile = stream.next();
        const std::uint32_t v_tile = k_tile + static_cast<std::uint32_t>(stage_bytes(kTile) / 2);
        const int first_key = (block.step + position - block.position) * kKeys;
        Fragments<kRowTiles, kKeys> s = {};
        multiply_queries<T, kTile>(s, q, k_tile);
        if (seen.needs_mask(a, first_key)) hide_keys<kTile>(s, a, block.b, first_row, first_key);
        absorb<kRowTiles, kKeys, kD>(s, softmax, o, scale_log2);
        multiply_from_registers<T, kD, kRowTiles, kKeys>(o, s, v_tile);
      }
      stream.release();
    }
    finish_block<T, kTile>(a, exchange, shares, block, o, softmax, stream.free(), scale_log2);
    if (stop == end) break;
    block.advance(a, stop - block.position);
  }
  wait_for_copies<0>();
}

}  // namespace flashbench::cuda::decode_sm80
