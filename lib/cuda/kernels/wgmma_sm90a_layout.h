#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/boxed.h"

/// Tiles of wgmma_sm90a, how they lie in shared memory, and which CTA works on which: constexpr code
/// without a CUDA include, so that the host launches with the numbers that the kernels were compiled
/// with, and proves them.
namespace flashbench::cuda::wgmma_sm90a {

inline constexpr int kHeadDims[] = {64, 128, 192, 256};
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kGroupThreads = 128;  ///< a warpgroup
inline constexpr int kGroupRows = kBoxQueries;  ///< of A in one wgmma
inline constexpr std::size_t kSharedLimit = 227 * 1024;  ///< compute capability 9.0
inline constexpr int kRegisterFile = 65536;
inline constexpr int kPackThreads = 256;  ///< of the kernel that packs kept keys

/// The head dimension of the kernel that takes `d`; 0 where there is none.
constexpr int padded_head_dim(int d) {
  for (const int padded : kHeadDims)
    if (d <= padded) return padded;
  return 0;
}

/// One CTA: `consumers` warpgroups of 64 queries each multiply; one more, the producer, streams
/// tiles of `keys` rows of K and of V through `stages` places each.
struct TileShape {
  int consumers, keys, stages;
  int consumer_registers, producer_registers;  ///< a thread, as setmaxnreg deals them out
  bool overlaps;  ///< the scores of a tile are under way while the values of the one before are
  bool turns;     ///< consumers issue products in turns: one's softmax meets the other's products

  FB_HD constexpr int rows() const { return consumers * kGroupRows; }
  FB_HD constexpr int threads() const { return (consumers + 1) * kGroupThreads; }
  FB_HD constexpr int registers() const {
    return kGroupThreads * (consumers * consumer_registers + producer_registers);
  }
};

constexpr TileShape forward_tile(int d) {
  if (d <= 64) return {3, 128, 4, 160, 32, true, true};
  if (d <= 128) return {2, 128, 2, 232, 40, true, true};
  return {2, d <= 192 ? 112 : 80, 2, 232, 40, d <= 192, true};
}

/// Bytes of `rows` rows of d elements: d / 64 boxes, one behind the other.
constexpr std::uint32_t tile_bytes(int d, int rows) {
  return static_cast<std::uint32_t>(2 * d * rows);
}

/// Places of blocks that the producer has announced to the consumers: the next one is known while
/// this one is worked on. Nobody says that a post was read: it is overwritten after the next block's
/// Q was loaded, and for that the consumers had to be through with this block's scores.
inline constexpr int kPosts = 2;

/// Where things lie in a CTA's shared memory, in bytes from a multiple of 1024: Q (64 rows for each
/// consumer), the stages of K, those of V, the mbarriers, the posts.
struct SharedPlan {
  std::uint32_t k, v, barriers, posts, end;
};

/// Full and empty of Q of each consumer, of each stage of K and of V; full of each post.
constexpr int barrier_count(TileShape t) { return 2 * t.consumers + 4 * t.stages + kPosts; }

constexpr SharedPlan shared_plan(int d, TileShape t) {
  const std::uint32_t stages = static_cast<std::uint32_t>(t.stages) * tile_bytes(d, t.keys);
  const std::uint32_t k = tile_bytes(d, t.rows()), v = k + stages, barriers = v + stages;
  const std::uint32_t posts = barriers + 8u * static_cast<std::uint32_t>(barrier_count(t));
  return {k, v, barriers, posts, posts + 4u * kPosts};
}

/// The swizzle repeats every 8 rows of 128 bytes; dynamic shared memory may start anywhere in 1024.
inline constexpr std::uint32_t kSwizzlePeriod = 1024;

constexpr std::size_t forward_shared_bytes(int d) {
  return shared_plan(d, forward_tile(d)).end + kSwizzlePeriod;
}

constexpr bool is_sound(int d) {
  const TileShape t = forward_tile(d);
  return forward_shared_bytes(d) <= kSharedLimit && t.registers() <= kRegisterFile &&
         t.keys % 16 == 0 && d % kBoxColumns == 0 &&
         kGroupRows * 2 * kBoxColumns % kSwizzlePeriod == 0 &&
         t.keys * 2 * kBoxColumns % kSwizzlePeriod == 0;
}
static_assert(is_sound(64) && is_sound(128) && is_sound(192) && is_sound(256));

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
  return static_cast<std::uint32_t>(k / kBoxColumns * rows * 2 * kBoxColumns +
                                    k % kBoxColumns * 2);
}
static_assert(inner_step(128, 48) == 96 && inner_step(128, 64) == 128 * 128);

/// Which block of queries of which head comes at place `index` of all of them. Heads are dealt out
/// `heads_at_once` at a time, so that their K and V stay in the L2 cache while they are worked on;
/// of those the last blocks come first: under a causal mask they see the most keys.
struct Schedule {
  std::int32_t heads, blocks, heads_at_once;

  struct Place {
    std::int32_t head, block;
  };
  FB_HD constexpr std::int32_t count() const { return heads * blocks; }
  FB_HD constexpr Place at(std::int32_t index) const {
    const std::int32_t first = index / (heads_at_once * blocks) * heads_at_once;
    const std::int32_t together = heads - first < heads_at_once ? heads - first : heads_at_once;
    const std::int32_t rest = index - first * blocks;
    return {first + rest % together, blocks - 1 - rest / together};
  }
};

constexpr bool deals_out_every_block_once(Schedule s) {
  unsigned long long seen[4] = {};
  for (int index = 0; index < s.count(); ++index) {
    const Schedule::Place place = s.at(index);
    if (place.head < 0 || place.head >= s.heads || place.block < 0 || place.block >= s.blocks)
      return false;
    const int bit = place.head * s.blocks + place.block;
    if ((seen[bit / 64] >> bit % 64 & 1) != 0) return false;
    seen[bit / 64] |= 1ull << bit % 64;
  }
  return true;
}
static_assert(deals_out_every_block_once({5, 3, 2}) && deals_out_every_block_once({6, 7, 4}) &&
              deals_out_every_block_once({1, 1, 8}) && deals_out_every_block_once({16, 5, 3}));

}  // namespace flashbench::cuda::wgmma_sm90a
