#include "cuda/wgmma_sm90a/wgmma_sm90a.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace flashbench::cuda::wgmma_sm90a {
namespace {

/// Of K and V together: less than the 50 MB of an H100's L2 cache, whose halves hold copies of what
/// the other one's multiprocessors read.
constexpr std::int64_t kBytesAtOnce = std::int64_t{32} << 20;

/// Query heads whose K and V fit; whole groups of those that share theirs.
std::int64_t heads_at_once(const Extent& e) {
  const std::int64_t of_one = 2 * e.shape.kv_len * e.shape.d * 2;
  return std::max<std::int64_t>(1, kBytesAtOnce / of_one) * e.shape.group();
}

/// Puts kept keys side by side: a warp copies one row of K and of V.
Launch pack(const Extent& e) {
  Launch launch;
  launch.entry = "wgmma_sm90a_pack";
  launch.phase = "pack";
  launch.threads = kPackThreads;
  launch.grid_x = ceil_div(e.shape.b * e.shape.h_kv * e.shape.kv_len, kPackThreads / 32);
  return launch;
}

/// One CTA for each tile of `rows` rows of every head, as far as the launch tells.
Launch tiles_of(const Extent& e, const char* phase, TileShape tile, int products) {
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  Launch launch;
  launch.entry = fmt::format("wgmma_sm90a_{}_{}_d{}", phase, name(e.dtype), d);
  launch.phase = phase;
  launch.threads = tile.threads();
  launch.q_tile = tile.rows();
  launch.kv_tile = tile.columns;
  launch.box_keys = tile.columns;
  launch.padded_d = d;
  launch.pair_flop = std::int64_t{2} * products * d;
  return launch;
}

/// Gradients beyond d = 256 are those of simt_f32, which adds q·k up in another order than tensor
/// cores do: what it subtracts is not the same to the bit. Where scores are so large that P would
/// show it, its own forward comes before them.
bool scores_are_too_large(const Extent& e) {
  constexpr double kLargestDeviation = 64;  // of the scores of normal inputs; by default it is 1
  return e.gradients && e.shape.d > kMaxGradientDim &&
         std::abs(e.scale) * std::sqrt(static_cast<double>(e.shape.d)) > kLargestDeviation;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  if (scores_are_too_large(e)) return simt_f32::forward(e);
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  const TileShape tile = forward_tile(d);
  const std::int64_t blocks = ceil_div(e.shape.q_len, tile.rows()) * e.shape.h * e.shape.b;
  Launch launch = tiles_of(e, "forward", tile, 2);
  launch.grid_x =
      e.multiprocessors == 0 ? blocks : std::min<std::int64_t>(blocks, e.multiprocessors);
  launch.dynamic_bytes = forward_shared_bytes(d);
  launch.heads_at_once = std::min(heads_at_once(e), e.shape.b * e.shape.h);
  if (e.padded) return {pack(e), launch};
  return {launch};
}

std::vector<Launch> backward(const Extent& e) {
  if (e.shape.d > kMaxGradientDim) return simt_f32::backward(e);
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  const TileShape q_tile = dq_tile(d), kv_tile = dkdv_tile(d);
  Launch dq = tiles_of(e, "dq", q_tile, 3);
  dq.grid_x = ceil_div(e.shape.q_len, q_tile.rows()) * e.shape.h * e.shape.b;
  dq.dynamic_bytes = gradient_shared_bytes(d, q_tile);
  if (e.most_kept == 0) return {mma_sm80::delta(e), dq};  // nobody has a key
  Launch dkdv = tiles_of(e, "dkdv", kv_tile, 4);
  dkdv.grid_x = ceil_div(e.most_kept, kv_tile.rows()) * e.shape.h_kv * e.shape.b;
  dkdv.dynamic_bytes = gradient_shared_bytes(d, kv_tile);
  std::swap(dkdv.q_tile, dkdv.kv_tile);
  dkdv.box_keys = kGroupRows;
  return {mma_sm80::delta(e), dq, dkdv};
}

}  // namespace flashbench::cuda::wgmma_sm90a
