#include "cuda/normal/normal_cublas.h"

#include <fmt/format.h>

#include "cuda/device/device_tensor.h"
#include "cuda/normal/simt_normal_layout.h"

namespace flashbench::cuda::normal_cublas {
namespace {

Launch product(const Extent& e, Product which) {
  Launch launch;
  launch.product = which;
  launch.pair_flop = 2 * DeviceTensor::row_elements(e.dtype, e.shape.d);
  return launch;
}

/// The part of a kernel's name that says that it does more than scale and mask.
const char* variant(const Extent& e) { return e.features.has(Feature::kSoftcap) ? "_general" : ""; }

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
  return {product(e, Product::kScores), over_rows(e, "softmax", "softmax"),
          product(e, Product::kOutput)};
}

std::vector<Launch> backward(const Extent& e) {
  return {product(e, Product::kValueGradients), product(e, Product::kScoreGradients),
          over_rows(e, "gradient", "dS = P (dP - D)"), product(e, Product::kQueryGradients),
          product(e, Product::kKeyGradients)};
}

}  // namespace flashbench::cuda::normal_cublas
