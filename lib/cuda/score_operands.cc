#include "cuda/score_operands.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "cuda/need.h"

namespace flashbench::cuda {
namespace {

/// A number in f32; one beyond its range stays finite, so that 0 times it is 0.
float finite(double x) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(x, -kMost, kMost));
}

/// Normal attention keeps the slopes of its scores until the backward.
std::size_t slope_bytes(const KernelFamily& family, const Problem& p) {
  return materialises(family) && p.softcap > 0 && p.needs_gradients() ? scores_bytes(p) : 0;
}

}  // namespace

ScoreFactors score_factors(const KernelFamily& family, const Problem& p) {
  double product = p.softmax_scale(), score = 1;
  if (p.softcap > 0) {
    product /= p.softcap;
    score = p.softcap;
  }
  const bool changes = p.softcap > 0;
  ScoreFactors f{};
  f.change.capped = p.softcap > 0 ? 1 : 0;
  f.change.cap = finite(product);
  f.scale_log2 = static_cast<float>(score * std::numbers::log2e * (changes ? 1 : product));
  f.product_factor = changes ? finite(product) : f.scale_log2;
  if (!materialises(family)) return f;
  f.change.cap = 1;
  if (!changes) f.scale_log2 = 1;
  return f;
}

ScoreOperands::ScoreOperands(Device& device, const KernelFamily& family, const Problem& p)
    : factors_(score_factors(family, p)) {
  if (const std::size_t bytes = slope_bytes(family, p); bytes > 0)
    score_slopes_ = {device, bytes, "slopes of scores"};
}

std::size_t ScoreOperands::workspace_bytes(const KernelFamily& family, const Problem& p) {
  return slope_bytes(family, p);
}

void ScoreOperands::describe(Attention& a) const {
  a.change = factors_.change;
  a.scale_log2 = factors_.scale_log2;
  a.product_factor = factors_.product_factor;
  a.score_slopes = score_slopes_.as<float>();
}

}  // namespace flashbench::cuda
