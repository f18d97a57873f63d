#pragma once

#include "cuda/wgmma_sm90a/wgmma_sm90a_backward_tile.cuh"

/// Where things lie in the shared memory of the gradients beyond d = 256, and how they come there.
namespace flashbench::cuda::wgmma_sm90a {

/// Addresses in the shared memory of a CTA that makes one gradient of 64 rows; see GradientShared.
/// `resident_dp` and P in f32 are not there for dV.
template <int kD, Gradient kOf>
struct SplitShared
    : QueryValues<split_gradient_tile(kOf, kD).columns, split_gradient_plan(kOf, kD).values> {
  static constexpr TileShape kTile = split_gradient_tile(kOf, kD);
  static constexpr SplitGradientPlan kPlan = split_gradient_plan(kOf, kD);
  static constexpr int kPlaces = passing_boxes(kOf, kD);
  using QueryValues<kTile.columns, kPlan.values>::base;

  __device__ __forceinline__ std::uint32_t resident_s() const { return base; }
  __device__ __forceinline__ std::uint32_t resident_dp() const { return base + kPlan.own; }
  __device__ __forceinline__ std::uint32_t kept(int stage) const {
    return base + kPlan.kept + stage * kPlan.stage;
  }
  __device__ __forceinline__ std::uint32_t passing(int place) const {
    return base + kPlan.passing + place * kPlan.box;
  }
  /// dS; of dV P, of which each stage has its own.
  __device__ __forceinline__ std::uint32_t factor(int stage) const {
    constexpr std::uint32_t kEach = kOf == Gradient::kDv ? tile_bytes(kBoxColumns, kGroupRows) : 0u;
    return base + kPlan.factor + stage * kEach;
  }
  /// Where P in f32 of columns 8n .. 8n + 7 passes from a thread to the one with its number in the
  /// other warpgroup.
  __device__ __forceinline__ std::uint32_t exact_weights(int n) const {
    return base + kPlan.exact + 16 * (n * kGroupThreads + fragments::thread() % kGroupThreads);
  }

  // Barriers: of the resident operands, of stages, of places of boxes.
  __device__ __forceinline__ std::uint32_t resident_full() const { return base + kPlan.barriers; }
  __device__ __forceinline__ std::uint32_t full(int stage) const {
    return resident_full() + 8 + 8 * stage;
  }
  __device__ __forceinline__ std::uint32_t empty(int stage) const {
    return full(kTile.stages) + 8 * stage;
  }
  __device__ __forceinline__ std::uint32_t passing_full(int place) const {
    return empty(kTile.stages) + 8 * place;
  }
  __device__ __forceinline__ std::uint32_t passing_empty(int place) const {
    return passing_full(kPlaces) + 8 * place;
  }

  /// By one thread, before anyone uses them. One consumer alone reads what passes by.
  __device__ void init_barriers() const {
    init_barrier(resident_full(), 1);
    for (int s = 0; s < kTile.stages; ++s) {
      init_barrier(full(s), 1);
      init_barrier(empty(s), kTile.consumers * kGroupThreads / 32);
    }
    for (int i = 0; i < kPlaces; ++i) {
      init_barrier(passing_full(i), 1);
      init_barrier(passing_empty(i), kGroupThreads / 32);
    }
    fence_barrier_init();
  }

  /// The CTA's own rows: Q and dO, K and V, or K. By one thread, as what follows.
  __device__ void load_resident(const TensorMap& of_s, const TensorMap& of_dp, int row, int head,
                                int batch) const {
    constexpr bool kBoth = kOf != Gradient::kDv;
    arrive_and_expect_tx(resident_full(), (kBoth ? 2 : 1) * kPlan.own);
    load_boxes<kD, kGroupRows>(resident_s(), of_s, row, head, batch, resident_full());
    if (kBoth) load_boxes<kD, kGroupRows>(resident_dp(), of_dp, row, head, batch, resident_full());
  }

  /// A tile of the operand that is kept: K or Q, of dV dO.
  __device__ void load_stage(int stage, const TensorMap& of_s, const TensorMap& of_dp, int row,
                             int head, int batch) const {
    arrive_and_expect_tx(full(stage), kPlan.stage);
    load_boxes<kD, kTile.columns>(kept(stage), kOf == Gradient::kDv ? of_dp : of_s, row, head,
                                  batch, full(stage));
  }

  /// The boxes of a tile of the other one. `tile` counts them.
  __device__ void load_passing(std::uint32_t tile, const TensorMap& from, int row, int head,
                               int batch) const {
#pragma unroll 1
    for (int box = 0; box < kD / kBoxColumns; ++box) {
      const int place = box % kPlaces;
      wait(passing_empty(place), passing_parity(tile, box) ^ 1);
      arrive_and_expect_tx(passing_full(place), kPlan.box);
      load_box(passing(place), from, box * kBoxColumns, row, head, batch, passing_full(place));
    }
  }
  static __device__ __forceinline__ std::uint32_t passing_parity(std::uint32_t tile, int box) {
    constexpr std::uint32_t kRounds = kD / kBoxColumns / kPlaces;
    return (tile * kRounds + static_cast<std::uint32_t>(box / kPlaces)) % 2;
  }
};

}  // namespace flashbench::cuda::wgmma_sm90a
