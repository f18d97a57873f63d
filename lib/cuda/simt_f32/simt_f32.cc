#include "cuda/simt_f32/simt_f32.h"

#include <fmt/format.h>

namespace flashbench::cuda::simt_f32 {
namespace {

using simt::key_rows, simt::kColumns, simt::kThreads, simt::padded_d, simt::query_rows;

/// One block per tile of `rows` of every head.
Launch tiles_of(const Extent& e, const char* phase, std::int64_t tiles, std::int64_t heads) {
  const int padded = padded_d(e.shape.d);
  Launch launch;
  launch.entry = fmt::format("simt_f32_{}_d{}", phase, padded);
  launch.phase = phase;
  launch.grid_x = tiles * heads * e.shape.b;
  launch.threads = kThreads;
  launch.padded_d = padded;
  return launch;
}

Launch over_queries(const Extent& e, const char* phase, int products) {
  const int rows = query_rows(padded_d(e.shape.d));
  Launch launch = tiles_of(e, phase, ceil_div(e.shape.q_len, rows), e.shape.h);
  launch.q_tile = rows;
  launch.kv_tile = kColumns;
  launch.products = products;
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) { return {over_queries(e, "forward", 2)}; }

std::vector<Launch> backward(const Extent& e) {
  Launch delta;
  delta.entry = "simt_f32_delta";
  delta.phase = "delta";
  delta.grid_x = ceil_div(e.shape.b * e.shape.h * e.shape.q_len, kThreads / 32);
  delta.threads = kThreads;
  std::vector<Launch> launches = {delta, over_queries(e, "dq", 3)};
  if (e.most_kept == 0) return launches;  // nobody has a key
  const int rows = key_rows(padded_d(e.shape.d));
  Launch dkdv = tiles_of(e, "dkdv", ceil_div(e.most_kept, rows), e.shape.h_kv);
  dkdv.q_tile = kColumns;
  dkdv.kv_tile = rows;
  dkdv.products = 4;
  launches.push_back(dkdv);
  return launches;
}

}  // namespace flashbench::cuda::simt_f32
