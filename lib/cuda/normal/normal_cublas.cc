#include "cuda/normal/normal_cublas.h"

#include <fmt/format.h>

#include "cuda/device/device_tensor.h"
#include "cuda/normal/simt_normal_layout.h"

namespace flashbench::cuda::normal_cublas {
namespace {

/// A product that sums over n columns of d or d_v elements, or makes them.
Launch product(const Extent& e, Product which, std::int64_t n) {
  Launch launch;
  launch.product = which;
  launch.pair_flop = 2 * DeviceTensor::row_elements(e.dtype, n);
  return launch;
}

/// The part of a kernel's name that says that it does more than scale and mask.
const char* variant(const Extent& e) {
  for (const Feature f : {Feature::kSoftcap, Feature::kAlibi, Feature::kSinks})
    if (e.features.has(f)) return "_general";
  return "";
}

/// A warp or a block for each row of scores.
Launch over_rows(const Extent& e, const char* what, const char* phase) {
  const bool warp = e.shape.kv_len <= normal::kWarpColumns;
  const std::int64_t rows = e.shape.b * e.shape.h * e.shape.q_len;
  Launch launch;
  launch.entry =
      fmt::format("normal_{}{}_{}_{}", what, variant(e), name(e.dtype), warp ? "warp" : "block");
  launch.phase = phase;
  launch.grid_x = warp ? ceil_div(rows, normal::kThreads / 32) : rows;
  launch.threads = normal::kThreads;
  return launch;
}

}  // namespace

std::vector<Launch> forward(const Extent& e) {
  return {product(e, Product::kScores, e.shape.d), over_rows(e, "softmax", "softmax"),
          product(e, Product::kOutput, e.shape.d_v())};
}

std::vector<Launch> backward(const Extent& e) {
  const std::int64_t d = e.shape.d, d_v = e.shape.d_v();
  std::vector<Launch> launches = {
      product(e, Product::kValueGradients, d_v), product(e, Product::kScoreGradients, d_v),
      over_rows(e, "gradient", "dS = P (dP - D)"), product(e, Product::kQueryGradients, d),
      product(e, Product::kKeyGradients, d)};
  if (e.features.has(Feature::kSinks))
    launches.push_back(sink_gradient("normal_dsinks", e.shape.h));
  return launches;
}

}  // namespace flashbench::cuda::normal_cublas
