#pragma once

#include "cuda/fragments/tile.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_tile.cuh"

/// What all kernels of gradients share: where things lie in shared memory, products of a tile.
namespace flashbench::cuda::wgmma_sm90a {

/// The values of streamed queries, kBegin bytes behind `base`: -(max·scale_log2 + log2_sum), D, the
/// maximum and log2 of the sum; and whether some row's maximum and sum have to stay apart.
template <int kColumns, std::uint32_t kBegin>
struct QueryValues {
  std::uint32_t base;

  __device__ __forceinline__ std::uint32_t shift(int stage) const {
    return base + kBegin + stage * values_bytes(kColumns);
  }
  __device__ __forceinline__ std::uint32_t delta(int stage) const {
    return shift(stage) + 4 * kColumns;
  }
  __device__ __forceinline__ std::uint32_t max(int stage) const {
    return delta(stage) + 4 * kColumns;
  }
  __device__ __forceinline__ std::uint32_t log2_sum(int stage) const {
    return max(stage) + 4 * kColumns;
  }
  __device__ __forceinline__ std::uint32_t apart(int stage) const {
    return log2_sum(stage) + 4 * kColumns;
  }
};

/// Addresses in the shared memory of a CTA of dQ or of dK and dV. Q and K are the operands of S, dO
/// and V those of dP. Of each pair the CTA's own rows are resident, 64 for each consumer (of Q and
/// dO, or of K and V); the other operand is streamed through the stages.
template <int kD, TileShape kTile>
struct GradientShared : QueryValues<kTile.columns, gradient_plan(kD, kTile).values> {
  static constexpr GradientPlan kPlan = gradient_plan(kD, kTile);
  using QueryValues<kTile.columns, kPlan.values>::base;

  __device__ __forceinline__ std::uint32_t resident_s(int group) const {
    return base + group * tile_bytes(kD, kGroupRows);
  }
  __device__ __forceinline__ std::uint32_t resident_dp(int group) const {
    return resident_s(group) + kPlan.own;
  }
  __device__ __forceinline__ std::uint32_t streamed_s(int stage) const {
    return base + 2 * kPlan.own + 2 * stage * kPlan.stage;
  }
  __device__ __forceinline__ std::uint32_t streamed_dp(int stage) const {
    return streamed_s(stage) + kPlan.stage;
  }
  /// Pᵀ and dSᵀ of two consumers that share their keys.
  __device__ __forceinline__ std::uint32_t weights() const { return base + kPlan.weights; }
  __device__ __forceinline__ std::uint32_t score_gradients() const {
    return base + kPlan.score_gradients;
  }
  __device__ __forceinline__ std::uint32_t resident_full() const { return base + kPlan.barriers; }
  __device__ __forceinline__ std::uint32_t full(int stage) const {
    return resident_full() + 8 + 8 * stage;
  }
  __device__ __forceinline__ std::uint32_t empty(int stage) const {
    return full(kTile.stages) + 8 * stage;
  }

  /// By one thread, before anyone uses them.
  __device__ void init_barriers() const {
    init_barrier(resident_full(), 1);
    for (int s = 0; s < kTile.stages; ++s) {
      init_barrier(full(s), 1);
      init_barrier(empty(s), kTile.consumers * kGroupThreads / 32);
    }
    fence_barrier_init();
  }

  /// Both operands of the CTA's own rows, by one thread.
  __device__ void load_resident(const TensorMap& first, const TensorMap& second, int row, int head,
                                int batch) const {
    arrive_and_expect_tx(resident_full(), 2 * kPlan.own);
#pragma unroll 1
    for (int g = 0; g < kTile.rows() / kGroupRows; ++g) {
      load_boxes<kD, kGroupRows>(resident_s(g), first, row + g * kGroupRows, head, batch,
                                 resident_full());
      load_boxes<kD, kGroupRows>(resident_dp(g), second, row + g * kGroupRows, head, batch,
                                 resident_full());
    }
  }

  /// A tile of both streamed operands, by one thread.
  __device__ void load_stage(int stage, const TensorMap& first_map, const TensorMap& second_map,
                             int row, int head, int batch) const {
    arrive_and_expect_tx(full(stage), 2 * kPlan.stage);
    load_boxes<kD, kTile.columns>(streamed_s(stage), first_map, row, head, batch, full(stage));
    load_boxes<kD, kTile.columns>(streamed_dp(stage), second_map, row, head, batch, full(stage));
  }
};

/// Where two consumers that share their rows meet in every tile (named barriers).
enum Meeting : int {
  kScoresThere = 1,     ///< Sᵀ is there, and nobody reads P and dS of the tile before
  kWeightsThere = 2,    ///< P is written
  kGradientsThere = 3,  ///< dS is written
};

/// Initialises the mbarriers and moves registers from the producer to the consumers. True for
/// consumers.
template <TileShape kTile, typename Shared>
__device__ __forceinline__ bool begin_cta(const Shared& shared) {
  if (threadIdx.x == 0) shared.init_barriers();
  __syncthreads();
  const bool consumes = fragments::warp() < kTile.consumers * 4;
  if (consumes)
    raise_registers<kTile.consumer_registers>();
  else
    lower_registers<kTile.producer_registers>();
  return consumes;
}

/// Pins the sums in their registers here (CUTLASS: warpgroup_fence_operand): nvcc may otherwise put
/// copies of them behind wgmma.fence.
template <int kColumns>
__device__ __forceinline__ void fence_operand(Fragments<1, kColumns>& sums) {
#pragma unroll
  for (auto& columns : sums[0])
#pragma unroll
    for (float& sum : columns) asm volatile("" : "+f"(sum)::"memory");
}

/// Issues sum = A·Bᵀ: 64 resident rows times a streamed tile.
template <typename T, int kD, int kColumns>
__device__ __forceinline__ void start_by_transposed(Fragments<1, kColumns>& sum, std::uint32_t own,
                                                    std::uint32_t streamed) {
  const std::uint64_t a = operand(own, 0), b = operand(streamed, 0);
  fence_operand<kColumns>(sum);
  begin_products();
#pragma unroll
  for (int i = 0; i < kD; i += 16)
    multiply_by_transposed<T, kColumns>(sum[0], advanced(a, inner_step(kGroupRows, i)),
                                        advanced(b, inner_step(kColumns, i)), i != 0);
  commit_products();
}

/// Issues sum += A·B: A from registers, B a streamed tile.
template <typename T, int kD, int kColumns>
__device__ __forceinline__ void start_from_registers(Fragments<1, kD>& sum,
                                                     const Rounded<kColumns>& a,
                                                     std::uint32_t streamed) {
  const std::uint64_t b = operand(streamed, tile_bytes(kBoxColumns, kColumns));
  fence_operand<kD>(sum);
  begin_products();
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i)
    multiply_from_registers<T, kD>(sum[0], a[i], advanced(b, tile_bytes(kBoxColumns, 16 * i)));
  commit_products();
}

/// Issues sum += A·B: A is what hand_over wrote, B the sum's columns, from `first_column` on, of a
/// streamed tile.
template <typename T, int kRows, int kColumns>
__device__ __forceinline__ void start_shared(Fragments<1, kColumns>& sum, std::uint32_t exchanged,
                                             std::uint32_t streamed, int first_column) {
  const std::uint64_t a = operand(exchanged, 0);
  const std::uint64_t b =
      operand(streamed + inner_step(kRows, first_column), tile_bytes(kBoxColumns, kRows));
  fence_operand<kColumns>(sum);
  begin_products();
#pragma unroll
  for (int i = 0; i < kRows; i += 16)
    multiply_shared<T, kColumns>(sum[0], advanced(a, inner_step(kGroupRows, i)),
                                 advanced(b, tile_bytes(kBoxColumns, i)));
  commit_products();
}

/// Rounds a warpgroup's 64 rows to what becomes an A operand of all warpgroups when they have met:
/// one box, of whose columns the first kColumns are written.
template <typename T, int kColumns>
__device__ __forceinline__ void hand_over(const Fragments<1, kColumns>& from, std::uint32_t to) {
  Rounded<kColumns> rounded;
  round<T, kColumns>(rounded, from);
  const int lane = fragments::lane();
  const std::uint32_t row = fragments::chunk_at<kBoxColumns>(
      to, fragments::warp_row<1>() % kGroupRows + lane % 16, lane / 16);
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i)
    store_matrices(fragments::advanced(kBoxColumns, row, 2 * i), rounded[i]);
  fence_proxy_async();
}

/// The same rows without their first columns.
__device__ __forceinline__ fragments::HeadRows columns_from(fragments::HeadRows to, int first) {
  to.data += first;
  to.d -= first;
  return to;
}

}  // namespace flashbench::cuda::wgmma_sm90a
