#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"

#include <fmt/format.h>

#include "cuda/simt_f32/simt_f32.h"

namespace flashbench::cuda::mma_bf16x6_sm80 {
namespace {

/// One CTA for each tile of `tile.rows()` rows of every head.
Launch tiles_of(const Extent& e, const char* phase, TileShape tile, std::int64_t rows,
                std::int64_t heads, std::size_t shared_bytes, int products) {
  Launch launch;
  launch.padded_d = padded_head_dim(static_cast<int>(e.shape.d));
  launch.entry = fmt::format("mma_bf16x6_sm80_{}_d{}", phase, launch.padded_d);
  launch.phase = phase;
  launch.grid_x = ceil_div(rows, tile.rows()) * heads * e.shape.b;
  launch.threads = tile.threads();
  launch.dynamic_bytes = shared_bytes;
  launch.pair_flop = std::int64_t{2} * kPartialProducts * products * launch.padded_d;
  return launch;
}

Launch over_queries(const Extent& e, const char* phase, TileShape tile, std::size_t shared_bytes,
                    int products) {
  Launch launch = tiles_of(e, phase, tile, e.shape.q_len, e.shape.h, shared_bytes, products);
  launch.q_tile = tile.rows();
  launch.kv_tile = tile.columns;
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  return {over_queries(e, "forward", forward_tile(d), forward_shared_bytes(d), 2)};
}

std::vector<Launch> backward(const Extent& e) {
  const int d = padded_head_dim(static_cast<int>(e.shape.d));
  // D = rowsum(dO∘O) has no matrix product: it is simt_f32's.
  std::vector<Launch> launches = {simt_f32::delta(e),
                                  over_queries(e, "dq", dq_tile(d), dq_shared_bytes(d), 3)};
  if (e.most_kept == 0) return launches;  // nobody has a key
  const TileShape tile = dkdv_tile(d);
  Launch dkdv = tiles_of(e, "dkdv", tile, e.most_kept, e.shape.h_kv, dkdv_shared_bytes(d), 4);
  dkdv.q_tile = tile.columns;
  dkdv.kv_tile = tile.rows();
  launches.push_back(dkdv);
  return launches;
}

}  // namespace flashbench::cuda::mma_bf16x6_sm80
