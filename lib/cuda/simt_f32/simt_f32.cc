#include "cuda/simt_f32/simt_f32.h"

#include <fmt/format.h>

namespace flashbench::cuda::simt_f32 {
namespace {

using simt::kDeltaThreads, simt::key_shape, simt::kRows, simt::padded_d, simt::query_shape;

/// One block for every `rows` rows of every head and part of the sums. Of its products `scores` are
/// scores, which every part makes, and `weighted` are shared by the parts.
Launch tiles_of(const Extent& e, const char* phase, simt::TileShape tile, std::int64_t rows,
                std::int64_t heads, int scores, int weighted) {
  const int d = static_cast<int>(e.shape.d), padded = padded_d(d), parts = tile.parts(padded, d);
  Launch launch;
  launch.entry = fmt::format("simt_f32_{}_d{}", phase, padded);
  launch.phase = phase;
  launch.grid_x = ceil_div(rows, kRows) * heads * e.shape.b * parts;
  launch.threads = tile.threads();
  launch.dynamic_bytes = tile.shared_bytes();
  launch.padded_d = padded;
  launch.pair_flop =
      2 * (parts * scores * simt::computed_depth(d) + weighted * tile.computed_columns(d));
  return launch;
}

Launch over_queries(const Extent& e, const char* phase, int scores) {
  const simt::TileShape tile = query_shape(padded_d(e.shape.d));
  Launch launch = tiles_of(e, phase, tile, e.shape.q_len, e.shape.h, scores, 1);
  launch.q_tile = kRows;
  launch.kv_tile = tile.columns();
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) { return {over_queries(e, "forward", 1)}; }

Launch delta(const Extent& e) {
  Launch launch;
  launch.entry = "simt_f32_delta";
  launch.phase = "delta";
  launch.grid_x = ceil_div(e.shape.b * e.shape.h * e.shape.q_len, kDeltaThreads / 32);
  launch.threads = kDeltaThreads;
  return launch;
}

std::vector<Launch> backward(const Extent& e) {
  std::vector<Launch> launches = {delta(e), over_queries(e, "dq", 2)};
  if (e.most_kept == 0) return launches;  // nobody has a key
  const simt::TileShape tile = key_shape(padded_d(e.shape.d));
  Launch dkdv = tiles_of(e, "dkdv", tile, e.most_kept, e.shape.h_kv, 2, 2);
  dkdv.q_tile = tile.columns();
  dkdv.kv_tile = kRows;
  launches.push_back(dkdv);
  return launches;
}

}  // namespace flashbench::cuda::simt_f32
