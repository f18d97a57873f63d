#include "cuda/decode_sm80/decode_sm80.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace flashbench::cuda::decode_sm80 {
namespace {

std::int64_t rows_of(const Extent& e) { return e.shape.group() * e.shape.q_len; }

Tile tile_for(const Extent& e) {
  return tile_of(padded_head_dim(static_cast<int>(e.shape.d)), rows_of(e));
}

/// Blocks of all heads.
std::int64_t blocks(const Extent& e) {
  return e.shape.b * e.shape.h_kv * blocks_of(tile_for(e), rows_of(e));
}

/// One CTA a multiprocessor, each with a step for every warp, or fewer CTAs. The last CTA of a
/// block reads a part from each of the others: no more of them than take as long to read as its
/// keys, which are fewer the more CTAs there are. (A row of a part has twice a key's bytes, in K or
/// V.)
std::int64_t ctas(const Extent& e) {
  const Tile tile = tile_for(e);
  const std::int64_t steps =
      blocks(e) * std::max<std::int64_t>(ceil_div(e.most_kept, ring(tile).keys), 1);
  const std::int64_t rows = std::min<std::int64_t>(rows_of(e), tile.rows());
  const double most_parts = std::sqrt(static_cast<double>(e.most_kept) / static_cast<double>(rows));
  const auto of_blocks = blocks(e) * std::max<std::int64_t>(std::llround(most_parts), 1);
  return std::clamp<std::int64_t>(std::min(ceil_div(steps, warps(tile, e.shared_bytes)), of_blocks),
                                  1, std::max(e.multiprocessors, 1));
}

std::string entry(const Tile& tile, Dtype dtype) {
  const std::string rows = tile.blocks == Blocks::kOne ? "" : fmt::format("_rows{}", tile.rows());
  return fmt::format("decode_sm80_forward{}_{}_d{}", rows, name(dtype), tile.d);
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  const Tile tile = tile_for(e);
  const int n = warps(tile, e.shared_bytes);
  Launch launch;
  launch.entry = entry(tile, e.dtype);
  launch.phase = "forward";
  launch.grid_x = ctas(e);
  launch.threads = 32 * n;
  launch.dynamic_bytes = shared_bytes(tile, n);
  launch.q_tile = tile.rows();
  launch.heads_a_tile = static_cast<int>(e.shape.group());
  launch.kv_tile = ring(tile).keys;
  launch.padded_d = tile.d;
  launch.pair_flop = 2 * 2 * tile.d;  // of two products
  return {launch};
}

std::size_t workspace_bytes(const Extent& e) {
  return counters_bytes(blocks(e)) +
         static_cast<std::size_t>(kPartsOfCta * ctas(e)) * part_bytes(tile_for(e));
}

}  // namespace flashbench::cuda::decode_sm80
