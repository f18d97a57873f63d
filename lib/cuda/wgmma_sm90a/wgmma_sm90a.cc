#include "cuda/wgmma_sm90a/wgmma_sm90a.h"

#include <fmt/format.h>

#include <algorithm>
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

/// A kernel whose CTAs have a block of rows each, and its tiles.
Launch tiles_of(const Extent& e, const char* phase, TileShape tile, int products) {
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  Launch launch;
  launch.entry = fmt::format("wgmma_sm90a_{}_{}_d{}", phase, name(e.dtype), d);
  launch.phase = phase;
  launch.threads = tile.threads();
  launch.q_tile = tile.rows();
  launch.kv_tile = tile.columns;
  launch.box_queries = kGroupRows;
  launch.box_keys = tile.columns;
  launch.padded_d = d;
  launch.pair_flop = std::int64_t{2} * products * d;
  return launch;
}

/// The gradient of queries: one CTA for each block of them.
Launch dq(const Extent& e, TileShape tile, std::size_t shared_bytes) {
  Launch launch = tiles_of(e, "dq", tile, 3);
  launch.grid_x = ceil_div(e.shape.q_len, tile.rows()) * e.shape.h * e.shape.b;
  launch.dynamic_bytes = shared_bytes;
  return launch;
}

/// Gradients of keys, of values or both: one CTA for each block of kept keys, as far as the launch
/// tells.
Launch over_keys(const Extent& e, const char* phase, TileShape tile, std::size_t shared_bytes,
                 int products) {
  Launch launch = tiles_of(e, phase, tile, products);
  launch.grid_x = ceil_div(e.most_kept, tile.rows()) * e.shape.h_kv * e.shape.b;
  launch.dynamic_bytes = shared_bytes;
  std::swap(launch.q_tile, launch.kv_tile);
  std::swap(launch.box_queries, launch.box_keys);
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
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
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  const bool joint = d <= kMaxJointGradientDim;
  const auto tile = [d](Gradient of) { return split_gradient_tile(of, d); };
  const auto bytes = [d](Gradient of) { return split_gradient_shared_bytes(of, d); };
  std::vector<Launch> launches{mma_sm80::delta(e)};
  launches.push_back(joint ? dq(e, dq_tile(d), gradient_shared_bytes(d, dq_tile(d)))
                           : dq(e, tile(Gradient::kDq), bytes(Gradient::kDq)));
  if (e.most_kept == 0) return launches;  // nobody has a key
  if (joint) {
    launches.push_back(
        over_keys(e, "dkdv", dkdv_tile(d), gradient_shared_bytes(d, dkdv_tile(d)), 4));
  } else {
    launches.push_back(over_keys(e, "dk", tile(Gradient::kDk), bytes(Gradient::kDk), 3));
    launches.push_back(over_keys(e, "dv", tile(Gradient::kDv), bytes(Gradient::kDv), 2));
  }
  return launches;
}

}  // namespace flashbench::cuda::wgmma_sm90a
