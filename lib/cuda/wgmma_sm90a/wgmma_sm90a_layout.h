#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/contract/boxed.h"

/// Tiles of wgmma_sm90a, how they lie in shared memory, and which CTA works on which: constexpr
/// code without a CUDA include, so that the host launches with the numbers that the kernels were
/// compiled with, and proves them.
namespace flashbench::cuda::wgmma_sm90a {

inline constexpr int kHeadDims[] = {64, 128, 192, 256, 384, 512};
inline constexpr int kMaxHeadDim = 512;
/// Up to here O of 64 rows, d/2 registers a thread, is one consumer's. Beyond, two share it.
inline constexpr int kMaxWholeHeadDim = 256;
inline constexpr int kGroupThreads = 128;                ///< a warpgroup
inline constexpr int kGroupRows = 64;                    ///< of A in one wgmma
inline constexpr std::size_t kSharedLimit = 227 * 1024;  ///< compute capability 9.0
inline constexpr int kRegisterFile = 65536;
inline constexpr int kPackThreads = 256;  ///< of the kernel that packs kept keys

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// One CTA: `consumers` warpgroups multiply 64 rows each (queries, or keys for dK and dV), or share
/// 64; one more, the producer, streams tiles of `columns` rows of the other operands through
/// `stages` stages.
struct TileShape {
  int consumers, columns, stages;
  int consumer_registers, producer_registers;  ///< a thread, as setmaxnreg deals them out
  /// FlashAttention-3's overlap within a warpgroup: a tile's softmax runs under P·V of the tile
  /// before.
  bool intra_warpgroup_overlap = false;
  /// FlashAttention-3's ping-pong: one warpgroup's softmax runs under another one's products.
  bool ping_pong = false;
  /// The consumers have the same 64 rows, and each a part of the columns of d: they add up their
  /// partial scores through shared memory.
  bool splits_d = false;
  /// The consumers have the same 64 keys: one makes Pᵀ, the other dSᵀ, and each adds up a part of
  /// the columns of dV and dK.
  bool splits_gradients = false;

  /// Of the columns of d, each of which has stages of its own.
  FB_HD constexpr int parts() const { return splits_d ? consumers : 1; }
  FB_HD constexpr int rows() const {
    return (splits_d || splits_gradients ? 1 : consumers) * kGroupRows;
  }
  FB_HD constexpr int threads() const { return (consumers + 1) * kGroupThreads; }
  FB_HD constexpr int registers() const {
    return kGroupThreads * (consumers * consumer_registers + producer_registers);
  }
};

// The fastest of those that were measured on an H200 (README). At d = 64 softmax binds, so that
// both overlaps pay; at d = 128 the ping-pong alone is best on short sequences.
constexpr TileShape forward_tile(int d) {
  if (d <= 64) return {3, 128, 4, 160, 32, true, true};
  if (d <= 128) return {2, 128, 2, 232, 40, false, true};
  if (d <= kMaxWholeHeadDim) return {2, d <= 192 ? 112 : 80, 2, 232, 40};
  return {2, d <= 384 ? 80 : 64, 1, 232, 40, false, false, true};
}

/// Columns of d that one consumer multiplies.
constexpr int own_columns(int d, TileShape t) { return d / t.parts(); }

/// Up to here one kernel makes dK and dV, and 64 rows of dQ are one consumer's. Beyond, 64 rows of
/// one gradient are all that a CTA can hold: each has a kernel of its own.
inline constexpr int kMaxJointGradientDim = 256;
/// Up to here dK and dV of 64 keys, d registers a thread, are one consumer's. Beyond, two share
/// them.
inline constexpr int kMaxWholeGradientDim = 128;
// Measured up to d = 128, as well: as many stages as shared memory holds, and fewer keys a tile to
// make room for them. Beyond: as many keys as two stages have room for.
constexpr TileShape dq_tile(int d) {
  if (d <= kMaxWholeGradientDim) return {2, d <= 64 ? 128 : 64, 3, 232, 40};
  return {2, d <= 192 ? 80 : 48, 2, 232, 40};
}
constexpr TileShape dkdv_tile(int d) {
  if (d <= kMaxWholeGradientDim) return {2, kGroupRows, d <= 64 ? 4 : 3, 240, 24};
  return {2, kGroupRows, d <= 192 ? 3 : 2, 240, 24, false, false, false, true};
}

/// The gradients that have kernels of their own beyond kMaxJointGradientDim. Each adds up products
/// of a tile's dS (dV: P) with one of the two operands that are streamed; the other one is needed
/// for the scores (dV) or dP alone.
enum class Gradient { kDq, kDk, kDv };

/// Two consumers that have the same 64 rows of a gradient, and half of its columns each. As many
/// rows a tile as leave room for two tiles of the operand that is kept until it is multiplied
/// again.
constexpr TileShape split_gradient_tile(Gradient of, int d) {
  const int columns = of == Gradient::kDv ? (d <= 384 ? 64 : 48) : (d <= 384 ? 48 : 32);
  return {2, columns, 2, 240, 24, false, false, true};
}
/// How many boxes of a tile of the other operand, which is read once, have a place: all of them, or
/// half where that is all the room.
constexpr int passing_boxes(Gradient of, int d) {
  return d / kBoxColumns / (of == Gradient::kDv || d <= 384 ? 1 : 2);
}

/// How many times 16 columns of the resident operand of S, and of that of dP, who multiplies them
/// keeps in registers as well, 4 a thread each: products of 32 or 48 columns want more of shared
/// memory than it gives, but for those whose rows are in registers.
constexpr int held_steps(Gradient of) { return of == Gradient::kDq ? 12 : 8; }

/// The columns of dV and of dK that one of two consumers adds up: in whole boxes, and of both
/// together the same number each.
struct GradientColumns {
  int first_dv, dv, first_dk, dk;
};
constexpr GradientColumns gradient_columns(int d, int group) {
  constexpr int kMany = 128;
  if (group == 0) return {0, kMany, 0, d - kMany};
  return {kMany, d - kMany, d - kMany, kMany};
}

/// Bytes of `rows` rows of d elements: d / 64 boxes, one behind the other.
constexpr std::uint32_t tile_bytes(int d, int rows) {
  return static_cast<std::uint32_t>(2 * d * rows);
}

/// Slots of the mailbox through which the producer tells the consumers which work item comes next:
/// one for the item in work, one for the next. A slot needs no `empty` barrier: it is written again
/// only after the next block's Q was loaded, which waits until all consumers are through with the
/// scores of this block and so have read their mail.
inline constexpr int kMailboxSlots = 2;

/// Where things lie in a CTA's shared memory, in bytes from a multiple of 1024: Q (what each
/// consumer has of it), the stages of K, those of V, O on its way out where there is room, partial
/// scores where there are, the mbarriers, the mailbox.
struct SharedPlan {
  std::uint32_t k, v, o, partial, barriers, mailbox, end;
};

/// Whether O is stored through shared memory, 16 bytes at a time. Beyond d = 128, Q and the stages
/// of K and V take all of it, and O is stored from registers, 4 bytes at a time.
constexpr bool stages_output(int d) { return d <= 128; }

/// Bytes of the f32 partial scores of one consumer.
constexpr std::uint32_t partial_bytes(TileShape t) {
  return static_cast<std::uint32_t>(t.splits_d ? 4 * kGroupRows * t.columns : 0);
}

/// Full and empty of Q of each consumer, of each stage of K and of V; full of each slot of the
/// mailbox.
constexpr int barrier_count(TileShape t) {
  return 2 * t.consumers + 4 * t.stages * t.parts() + kMailboxSlots;
}

constexpr SharedPlan shared_plan(int d, TileShape t) {
  const std::uint32_t stages = static_cast<std::uint32_t>(t.stages) * tile_bytes(d, t.columns);
  const std::uint32_t k = tile_bytes(d, t.rows()), v = k + stages, o = v + stages;
  const std::uint32_t partial = o + (stages_output(d) ? tile_bytes(d, t.rows()) : 0u);
  const std::uint32_t barriers =
      partial + static_cast<std::uint32_t>(t.consumers) * partial_bytes(t);
  const std::uint32_t mailbox = barriers + 8u * static_cast<std::uint32_t>(barrier_count(t));
  return {k, v, o, partial, barriers, mailbox, mailbox + 4u * kMailboxSlots};
}

/// The swizzle repeats every 8 rows of 128 bytes; dynamic shared memory may start anywhere in 1024.
inline constexpr std::uint32_t kSwizzlePeriod = 1024;

/// The same for gradients: two operands of the CTA's own rows; stages of two streamed ones, each
/// with each streamed row's (query's) shift, maximum, sum and D in f32 and one word for all of
/// them; one mbarrier, and two of each stage. Where two consumers share their keys: Pᵀ and dSᵀ of a
/// tile in 16 bits, as A operands, and Pᵀ in f32, the first half of which lies in dSᵀ's place.
struct GradientPlan {
  std::uint32_t own, stage, weights, score_gradients, values, barriers, end;
};

/// Bytes of the values of a stage's `columns` queries.
constexpr std::uint32_t values_bytes(int columns) {
  return 16 * static_cast<std::uint32_t>(columns) + 16;
}

constexpr GradientPlan gradient_plan(int d, TileShape t) {
  const auto stages = static_cast<std::uint32_t>(t.stages);
  const std::uint32_t own = tile_bytes(d, t.rows()), stage = tile_bytes(d, t.columns);
  const std::uint32_t exchanged = t.splits_gradients ? tile_bytes(kGroupRows, t.columns) : 0u;
  const std::uint32_t weights = 2 * own + 2 * stages * stage;
  const std::uint32_t score_gradients = weights + exchanged;
  const std::uint32_t values = score_gradients + 2 * exchanged;
  const std::uint32_t barriers = values + stages * values_bytes(t.columns);
  return {own, stage, weights, score_gradients, values, barriers, barriers + 8 * (1 + 2 * stages)};
}

constexpr std::size_t gradient_shared_bytes(int d, TileShape t) {
  return gradient_plan(d, t).end + kSwizzlePeriod;
}

/// The same where each gradient has a kernel of its own: one operand of the CTA's rows (dV) or two;
/// stages of the streamed one that is kept; places for boxes of the other; dS (dV: P of two tiles)
/// in 16 bits; P in f32 on its way to who makes dS; values of queries where these are streamed; one
/// mbarrier, two of each stage and two of each box.
struct SplitGradientPlan {
  std::uint32_t own, kept, stage, passing, box, factor, exact, values, barriers, end;
};

constexpr SplitGradientPlan split_gradient_plan(Gradient of, int d) {
  const TileShape t = split_gradient_tile(of, d);
  const bool is_dv = of == Gradient::kDv;
  const auto stages = static_cast<std::uint32_t>(t.stages);
  const auto boxes = static_cast<std::uint32_t>(passing_boxes(of, d));
  const std::uint32_t own = tile_bytes(d, kGroupRows), stage = tile_bytes(d, t.columns);
  const std::uint32_t box = tile_bytes(kBoxColumns, t.columns);
  const std::uint32_t kept = own * (is_dv ? 1 : 2), passing = kept + stages * stage;
  const std::uint32_t factor = passing + boxes * box;
  const std::uint32_t exact = factor + tile_bytes(kBoxColumns, kGroupRows) * (is_dv ? stages : 1);
  const std::uint32_t values =
      exact + (is_dv ? 0u : static_cast<std::uint32_t>(4 * kGroupRows * t.columns));
  const std::uint32_t barriers =
      values + (of == Gradient::kDq ? 0u : stages * values_bytes(t.columns));
  return {own,    kept,  stage,  passing,  box,
          factor, exact, values, barriers, barriers + 8 * (1 + 2 * stages + 2 * boxes)};
}

constexpr std::size_t split_gradient_shared_bytes(Gradient of, int d) {
  return split_gradient_plan(of, d).end + kSwizzlePeriod;
}

constexpr std::size_t forward_shared_bytes(int d) {
  return shared_plan(d, forward_tile(d)).end + kSwizzlePeriod;
}

constexpr bool is_sound(TileShape t, int d, std::size_t shared_bytes) {
  return shared_bytes <= kSharedLimit && t.registers() <= kRegisterFile && t.columns % 16 == 0 &&
         own_columns(d, t) % kBoxColumns == 0 &&
         kGroupRows * 2 * kBoxColumns % kSwizzlePeriod == 0 &&
         t.columns * 2 * kBoxColumns % kSwizzlePeriod == 0;
}
constexpr bool forward_is_sound(int d) {
  return is_sound(forward_tile(d), d, forward_shared_bytes(d));
}
constexpr bool gradients_are_sound(int d) {
  return is_sound(dq_tile(d), d, gradient_shared_bytes(d, dq_tile(d))) &&
         is_sound(dkdv_tile(d), d, gradient_shared_bytes(d, dkdv_tile(d)));
}
constexpr bool is_sound(Gradient of, int d) {
  const TileShape t = split_gradient_tile(of, d);
  return is_sound(t, d, split_gradient_shared_bytes(of, d)) && t.columns <= kBoxColumns &&
         d / kBoxColumns % passing_boxes(of, d) == 0;
}
constexpr bool split_gradients_are_sound(int d) {
  return is_sound(Gradient::kDq, d) && is_sound(Gradient::kDk, d) && is_sound(Gradient::kDv, d);
}
static_assert(forward_is_sound(64) && forward_is_sound(128) && forward_is_sound(192) &&
              forward_is_sound(256) && forward_is_sound(384) && forward_is_sound(512) &&
              gradients_are_sound(64) && gradients_are_sound(128) && gradients_are_sound(192) &&
              gradients_are_sound(256) && split_gradients_are_sound(384) &&
              split_gradients_are_sound(512));

/// A wgmma operand in shared memory with the 128-byte swizzle (PTX manual, "Matrix descriptor"):
/// its address, and the bytes to the next 64 columns (`leading`, of an operand that is read
/// transposed; otherwise without meaning) and to the next 8 rows.
FB_HD constexpr std::uint64_t operand(std::uint32_t address, std::uint32_t leading) {
  constexpr std::uint64_t kSwizzle128 = 1ull << 62;
  const std::uint64_t start = (address & 0x3ffffu) >> 4;
  return start | std::uint64_t{leading >> 4} << 16 | std::uint64_t{kSwizzlePeriod >> 4} << 32 |
         kSwizzle128;
}

/// The same operand `bytes` (a multiple of 16) further on: one addition, as no address carries.
FB_HD constexpr std::uint64_t advanced(std::uint64_t operand, std::uint32_t bytes) {
  return operand + (bytes >> 4);
}
static_assert(advanced(operand(0x8400, 1024), 96) == operand(0x8460, 1024));

/// Bytes from a tile's start to columns [k, k + 16) of its rows: what one wgmma takes of an operand
/// that lies along the sum.
FB_HD constexpr std::uint32_t inner_step(int rows, int k) {
  return static_cast<std::uint32_t>(k / kBoxColumns * rows * 2 * kBoxColumns + k % kBoxColumns * 2);
}
static_assert(inner_step(128, 48) == 96 && inner_step(128, 64) == 128 * 128);

/// The tile scheduler's order: which block of queries of which head work item `index` is. Heads
/// come `heads_at_once` at a time, so that their K and V stay in the L2 cache meanwhile; of those
/// the last blocks come first: under a causal mask they see the most keys.
struct Schedule {
  std::int32_t heads, blocks, heads_at_once;

  struct WorkItem {
    std::int32_t head, block;
  };
  FB_HD constexpr std::int32_t count() const { return heads * blocks; }
  FB_HD constexpr WorkItem at(std::int32_t index) const {
    const std::int32_t first = index / (heads_at_once * blocks) * heads_at_once;
    const std::int32_t together = heads - first < heads_at_once ? heads - first : heads_at_once;
    const std::int32_t rest = index - first * blocks;
    return {first + rest % together, blocks - 1 - rest / together};
  }
};

constexpr bool deals_out_every_block_once(Schedule s) {
  unsigned long long seen[4] = {};
  for (int index = 0; index < s.count(); ++index) {
    const Schedule::WorkItem work = s.at(index);
    if (work.head < 0 || work.head >= s.heads || work.block < 0 || work.block >= s.blocks)
      return false;
    const int bit = work.head * s.blocks + work.block;
    if ((seen[bit / 64] >> bit % 64 & 1) != 0) return false;
    seen[bit / 64] |= 1ull << bit % 64;
  }
  return true;
}
static_assert(deals_out_every_block_once({5, 3, 2}) && deals_out_every_block_once({6, 7, 4}) &&
              deals_out_every_block_once({1, 1, 8}) && deals_out_every_block_once({16, 5, 3}));

}  // namespace flashbench::cuda::wgmma_sm90a
