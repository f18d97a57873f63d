#pragma once

#include "cuda/fragments/instructions.cuh"
#include "cuda/fragments/warp.cuh"
#include "cuda/wgmma_sm90a/wgmma_sm90a_tile.cuh"

/// What streams Q, K and V to the forward's consumers: shared memory with its barriers, the tile
/// scheduler, the producer.
namespace flashbench::cuda::wgmma_sm90a {

/// Addresses in this CTA's shared memory.
template <int kD>
struct Shared {
  static constexpr TileShape kTile = forward_tile(kD);
  static constexpr SharedPlan kPlan = shared_plan(kD, kTile);
  static constexpr int kOwn = own_columns(kD, kTile);
  /// Of the columns of one part: a tile of K or V takes as many stages as there are parts.
  static constexpr int kStages = kTile.stages * kTile.parts();
  static constexpr std::uint32_t kStage = tile_bytes(kOwn, kTile.columns);
  std::uint32_t base;

  /// What a consumer has of a block of queries begins in this row and in this column.
  static constexpr FB_HD int first_row(int group) {
    return kTile.splits_d ? 0 : group * kGroupRows;
  }
  static constexpr FB_HD int first_column(int group) { return kTile.splits_d ? group * kOwn : 0; }

  __device__ __forceinline__ std::uint32_t q(int group) const {
    return base + group * tile_bytes(kOwn, kGroupRows);
  }
  __device__ __forceinline__ std::uint32_t k(int stage) const {
    return base + kPlan.k + stage * kStage;
  }
  __device__ __forceinline__ std::uint32_t v(int stage) const {
    return base + kPlan.v + stage * kStage;
  }
  __device__ __forceinline__ std::uint32_t o() const { return base + kPlan.o; }
  __device__ __forceinline__ std::uint32_t partial(int group) const {
    return base + kPlan.partial + group * partial_bytes(kTile);
  }
  __device__ __forceinline__ std::uint32_t mailbox(int slot) const {
    return base + kPlan.mailbox + 4 * slot;
  }

  // Barriers, in the order of their numbers.
  __device__ __forceinline__ std::uint32_t q_full(int group) const { return barrier(group); }
  __device__ __forceinline__ std::uint32_t q_empty(int group) const {
    return barrier(kTile.consumers + group);
  }
  __device__ __forceinline__ std::uint32_t k_full(int stage) const { return of_stage(0, stage); }
  __device__ __forceinline__ std::uint32_t k_empty(int stage) const { return of_stage(1, stage); }
  __device__ __forceinline__ std::uint32_t v_full(int stage) const { return of_stage(2, stage); }
  __device__ __forceinline__ std::uint32_t v_empty(int stage) const { return of_stage(3, stage); }
  __device__ __forceinline__ std::uint32_t mailbox_full(int slot) const {
    return of_stage(4, 0) + 8 * slot;
  }

  /// By one thread, before anyone uses them.
  __device__ void init_barriers() const {
    constexpr int kConsumerWarps = kTile.consumers / kTile.parts() * kGroupThreads / 32;
    for (int g = 0; g < kTile.consumers; ++g) {
      init_barrier(q_full(g), 1);
      init_barrier(q_empty(g), kGroupThreads / 32);
    }
    for (int s = 0; s < kStages; ++s) {
      init_barrier(k_full(s), 1);
      init_barrier(v_full(s), 1);
      init_barrier(k_empty(s), kConsumerWarps);
      init_barrier(v_empty(s), kConsumerWarps);
    }
    for (int i = 0; i < kMailboxSlots; ++i) init_barrier(mailbox_full(i), 1);
    fence_barrier_init();
  }

 private:
  __device__ __forceinline__ std::uint32_t barrier(int number) const {
    return base + kPlan.barriers + 8 * number;
  }
  __device__ __forceinline__ std::uint32_t of_stage(int kind, int stage) const {
    return barrier(2 * kTile.consumers + kind * kStages + stage);
  }
};

template <int kD>
__device__ __forceinline__ Schedule schedule_of(const BoxedAttention& x) {
  constexpr int kRows = forward_tile(kD).rows();
  return {x.a.b * x.a.h, (x.a.q_len + kRows - 1) / kRows, x.heads_at_once};
}

/// The block of a work item. Computed where it is needed, which is seldom, not kept in registers.
template <int kD>
__device__ __forceinline__ QueryBlock block_of(const BoxedAttention& x, int work) {
  const Schedule::WorkItem item = schedule_of<kD>(x).at(fragments::rematerialized(work));
  return {item.head / x.a.h, item.head % x.a.h, item.block * forward_tile(kD).rows()};
}

/// Requests kColumns columns of rows first .. first + kRows of a head. One thread calls it.
template <int kColumns, int kRows>
__device__ __forceinline__ void load_tile(std::uint32_t to, const TensorMap& from, int first,
                                          int first_column, int head, int batch,
                                          std::uint32_t barrier) {
  arrive_and_expect_tx(barrier, tile_bytes(kColumns, kRows));
  load_boxes<kColumns, kRows>(to, from, first, head, batch, barrier, first_column);
}

/// Requests what each consumer has of the block's Q.
template <int kD>
__device__ __forceinline__ void load_queries(const BoxedAttention& x, const Shared<kD>& shared,
                                             const QueryBlock& block, std::uint32_t empty_parity) {
#pragma unroll 1
  for (int g = 0; g < forward_tile(kD).consumers; ++g) {
    wait(shared.q_empty(g), empty_parity);
    load_tile<Shared<kD>::kOwn, kGroupRows>(shared.q(g), x.q, block.first_row + shared.first_row(g),
                                            shared.first_column(g), block.h, block.b,
                                            shared.q_full(g));
  }
}

/// The producer: one thread that takes work items from the tile scheduler's counter, puts them into
/// the mailbox, and keeps Q and the stages of K and V full. The next block's Q is requested after
/// its first K: its place is free only when this block's last scores are done. The CTA that takes
/// the last ticket resets the counter for the next launch.
template <int kD>
__device__ __forceinline__ void produce(const BoxedAttention& x, const Shared<kD>& shared) {
  constexpr TileShape kTile = forward_tile(kD);
  const int work_items = schedule_of<kD>(x).count();
  constexpr int kOwn = Shared<kD>::kOwn, kParts = kTile.parts();
  PipelineState<Shared<kD>::kStages> pipe;
  PipelineState<kMailboxSlots> mailbox;
  PipelineState<1> queries;
  int work = static_cast<int>(blockIdx.x);
  for (bool more = true; more; ++mailbox.count) {
    more = work < work_items;
    fragments::store_shared(shared.mailbox(mailbox.stage()),
                            static_cast<std::uint32_t>(more ? work : -1));
    arrive(shared.mailbox_full(mailbox.stage()));
    if (!more) break;
    const QueryBlock block = block_of<kD>(x, work);
    const VisitedTiles tiles(x.a, block, kTile);
    const int h_kv = block.h / x.a.group;
#pragma unroll 1
    for (int j = 0; j < tiles.count; ++j, pipe.count += kParts) {
      const int key = (tiles.first + j) * kTile.columns;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const PipelineState<Shared<kD>::kStages> to = {pipe.count + part};
        wait(shared.k_empty(to.stage()), to.parity() ^ 1);
        load_tile<kOwn, kTile.columns>(shared.k(to.stage()), x.k, key, part * kOwn, h_kv, block.b,
                                       shared.k_full(to.stage()));
      }
      if (j == 0) {
        load_queries<kD>(x, shared, block, queries.parity() ^ 1);
        ++queries.count;
      }
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const PipelineState<Shared<kD>::kStages> to = {pipe.count + part};
        wait(shared.v_empty(to.stage()), to.parity() ^ 1);
        load_tile<kOwn, kTile.columns>(shared.v(to.stage()), x.v, key, part * kOwn, h_kv, block.b,
                                       shared.v_full(to.stage()));
      }
    }
    auto* const taken = static_cast<std::int32_t*>(x.a.workspace);
    const int before = atomicAdd(taken, 1);
    if (before == work_items - 1) atomicExch(taken, 0);
    work = static_cast<int>(gridDim.x) + before;
  }
}

}  // namespace flashbench::cuda::wgmma_sm90a
