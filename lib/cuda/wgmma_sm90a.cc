#include "cuda/wgmma_sm90a.h"

#include <fmt/format.h>

#include <algorithm>

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
  launch.grid_x = units(e.shape.b * e.shape.h_kv * e.shape.kv_len, kPackThreads / 32);
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  const TileShape tile = forward_tile(d);
  const std::int64_t blocks = units(e.shape.q_len, tile.rows()) * e.shape.h * e.shape.b;
  Launch launch;
  launch.entry = fmt::format("wgmma_sm90a_forward_{}_d{}", name(e.dtype), d);
  launch.phase = "forward";
  launch.grid_x = e.multiprocessors == 0 ? blocks : std::min<std::int64_t>(blocks, e.multiprocessors);
  launch.threads = tile.threads();
  launch.dynamic_bytes = forward_shared_bytes(d);
  launch.q_tile = tile.rows();
  launch.kv_tile = tile.keys;
  launch.products = 2;
  launch.padded_d = d;
  launch.boxed = true;
  launch.heads_at_once = std::min(heads_at_once(e), e.shape.b * e.shape.h);
  if (e.padded) return {pack(e), launch};
  return {launch};
}

}  // namespace flashbench::cuda::wgmma_sm90a
