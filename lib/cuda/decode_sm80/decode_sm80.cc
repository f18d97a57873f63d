#include "cuda/decode_sm80/decode_sm80.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace flashbench::cuda::decode_sm80 {
namespace {

int padded_d(const Extent& e) { return padded_head_dim(static_cast<int>(e.shape.d)); }

std::int64_t heads(const Extent& e) { return e.shape.b * e.shape.h_kv; }

/// One CTA a multiprocessor, each with a step for every warp, or fewer CTAs. The last CTA of a head
/// reads a part from each of the others: no more of them than take as long to read as its keys,
/// which are fewer the more CTAs there are. (A row of a part has twice a key's bytes, in K or V.)
std::int64_t ctas(const Extent& e) {
  const int d = padded_d(e);
  const std::int64_t steps =
      heads(e) * std::max<std::int64_t>(ceil_div(e.most_kept, ring(d).keys), 1);
  const std::int64_t rows = e.shape.group() * e.shape.q_len;
  const double most_parts = std::sqrt(static_cast<double>(e.most_kept) / static_cast<double>(rows));
  const auto of_heads = heads(e) * std::max<std::int64_t>(std::llround(most_parts), 1);
  return std::clamp<std::int64_t>(std::min(ceil_div(steps, warps(d, e.shared_bytes)), of_heads), 1,
                                  std::max(e.multiprocessors, 1));
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  const int d = padded_d(e), n = warps(d, e.shared_bytes);
  Launch launch;
  launch.entry = fmt::format("decode_sm80_forward_{}_d{}", name(e.dtype), d);
  launch.phase = "forward";
  launch.grid_x = ctas(e);
  launch.threads = 32 * n;
  launch.dynamic_bytes = shared_bytes(d, n);
  launch.q_tile = kRows;
  launch.heads_a_tile = static_cast<int>(e.shape.group());
  launch.kv_tile = ring(d).keys;
  launch.padded_d = d;
  launch.pair_flop = 2 * 2 * d;  // of two products
  return {launch};
}

std::size_t workspace_bytes(const Extent& e) {
  return counters_bytes(heads(e)) +
         static_cast<std::size_t>(kPartsOfCta * ctas(e)) * part_bytes(padded_d(e));
}

}  // namespace flashbench::cuda::decode_sm80
