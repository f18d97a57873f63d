#include "cuda/mma_sm80/mma_sm80.h"

#include <fmt/format.h>

#include <string_view>

namespace flashbench::cuda::mma_sm80 {
namespace {

/// Whether a launch is of the general kernels. Of sinks the forward alone must know: the backward
/// finds them in the sums of rows.
bool is_general(const Extent& e, std::string_view phase) {
  return e.features.has(Feature::kSoftcap) || e.features.has(Feature::kAlibi) ||
         e.features.has(Feature::kValueDim) ||
         (phase == "forward" && e.features.has(Feature::kSinks));
}

bool is_ragged(const Extent& e) { return e.shape.sequences != nullptr; }

/// A sequence of a ragged batch is found by a general kernel.
std::string_view variant(const Extent& e, std::string_view phase) {
  return is_ragged(e) ? "_ragged" : is_general(e, phase) ? "_general" : "";
}

/// Tiles are as wide as the wider of Q, K and V; zeros stand beyond d and d_v.
int padded_d(const Extent& e) { return padded_head_dim(static_cast<int>(e.shape.widest_d())); }

/// One CTA for each tile of `tile.rows()` rows of every head; each of its products has d columns.
/// `rows` of a head are those of one batch element, unless the batch is ragged.
Launch tiles_of(const Extent& e, const char* phase, TileShape tile, std::int64_t rows,
                std::int64_t heads, ListOf list, int products) {
  Launch launch;
  launch.entry =
      fmt::format("mma_sm80_{}{}_{}_d{}", phase, variant(e, phase), name(e.dtype), padded_d(e));
  launch.phase = phase;
  if (is_ragged(e)) launch.list = list;
  launch.grid_x = heads * (is_ragged(e) ? entries(e.shape, list, tile.rows())
                                        : ceil_div(rows, tile.rows()) * e.shape.b);
  launch.threads = tile.threads();
  launch.padded_d = padded_d(e);
  launch.pair_flop = std::int64_t{2} * products * launch.padded_d;
  return launch;
}

Launch over_queries(const Extent& e, const char* phase, TileShape tile, std::size_t shared_bytes,
                    int products) {
  Launch launch = tiles_of(e, phase, tile, e.shape.q_len, e.shape.h, ListOf::kQueryTiles, products);
  launch.dynamic_bytes = shared_bytes;
  launch.q_tile = tile.rows();
  launch.kv_tile = tile.columns;
  return launch;
}

Launch over_keys(const Extent& e, const char* phase, KvGradient what, int products) {
  const TileShape tile = dkdv_tile(padded_d(e), what);
  Launch launch = tiles_of(e, phase, tile, e.most_kept, e.shape.h_kv, ListOf::kKeyTiles, products);
  launch.dynamic_bytes = dkdv_shared_bytes(padded_d(e), what);
  launch.q_tile = tile.columns;
  launch.kv_tile = tile.rows();
  return launch;
}

}  // namespace

Launch delta(const Extent& e) {
  Launch launch;
  launch.entry = fmt::format("mma_sm80_delta_{}", name(e.dtype));
  launch.phase = "delta";
  launch.grid_x = ceil_div(e.shape.lse_dims().count(), kDeltaThreads / 32);
  launch.threads = kDeltaThreads;
  return launch;
}

std::vector<Launch> forward(const Extent& e) {
  const int d = padded_d(e);
  return {over_queries(e, "forward", forward_tile(d), forward_shared_bytes(d), 2)};
}

std::vector<Launch> backward(const Extent& e) {
  const int d = padded_d(e);
  std::vector<Launch> launches = {delta(e),
                                  over_queries(e, "dq", dq_tile(d), dq_shared_bytes(d), 3)};
  if (e.features.has(Feature::kSinks))
    launches.push_back(is_ragged(e)
                           ? sink_gradient("mma_sm80_dsinks_ragged", e.shape.h, ListOf::kSequences)
                           : sink_gradient("mma_sm80_dsinks", e.shape.h));
  if (e.most_kept == 0) return launches;  // nobody has a key
  if (joint_dkdv(d)) {
    launches.push_back(over_keys(e, "dkdv", KvGradient::kBoth, 4));
  } else {
    launches.push_back(over_keys(e, "dk", KvGradient::kKeys, 3));
    launches.push_back(over_keys(e, "dv", KvGradient::kValues, 2));
  }
  return launches;
}

}  // namespace flashbench::cuda::mma_sm80
