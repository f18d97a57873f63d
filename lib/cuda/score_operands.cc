#include "cuda/score_operands.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <vector>

#include "cuda/need.h"

namespace flashbench::cuda {
namespace {

/// A number in f32; one beyond its range stays finite, so that 0 times it is 0.
float finite(double x) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(x, -kMost, kMost));
}

bool gives_dsinks(const Problem& p) { return p.sinks != Sinks::kNone && p.needs_gradients(); }

std::size_t alibi_bytes(const Problem& p) {
  return p.alibi == Alibi::kNone ? 0
                                 : static_cast<std::size_t>(p.shape.b * p.shape.h) * sizeof(float);
}
std::size_t sink_bytes(const Problem& p) {
  return p.sinks == Sinks::kNone ? 0 : static_cast<std::size_t>(p.shape.h) * sizeof(float);
}

/// Normal attention keeps the slopes of its scores until the backward.
std::size_t slope_bytes(const KernelFamily& family, const Problem& p) {
  return materialises(family) && p.softcap > 0 && p.needs_gradients() ? scores_bytes(p) : 0;
}

/// It keeps D for the gradient of sinks alone; others have it for all gradients.
std::size_t delta_bytes(const KernelFamily& family, const Problem& p) {
  return materialises(family) && gives_dsinks(p) ? rows_bytes(p) : 0;
}

}  // namespace

ScoreFactors score_factors(const KernelFamily& family, const Problem& p) {
  const bool capped = p.softcap > 0, alibi = p.alibi != Alibi::kNone, changes = capped || alibi;
  // A score is outer · (q.k, or tanh(cap · q.k)), less a distance.
  const double scale = p.softmax_scale(), outer = capped ? p.softcap : scale;
  const double cap = capped ? scale / p.softcap : 1;
  ScoreFactors f{};
  f.change = {capped ? 1 : 0, finite(cap), finite(outer), nullptr};
  f.scale_log2 = finite((alibi ? 1 : outer) * std::numbers::log2e);
  f.product_factor = changes ? finite(capped ? cap : outer) : f.scale_log2;
  if (!materialises(family)) return f;
  // The product has the first factor.
  (capped ? f.change.cap : changes ? f.change.outer : f.scale_log2) = 1;
  return f;
}

ScoreOperands::ScoreOperands(Device& device, const KernelFamily& family, const Problem& p)
    : device_(device), factors_(score_factors(family, p)) {
  const auto allocate = [&](DeviceBuffer& buffer, std::size_t bytes, const char* what) {
    if (bytes > 0) buffer = {device, bytes, what};
  };
  allocate(score_slopes_, slope_bytes(family, p), "slopes of scores");
  allocate(alibi_slopes_, alibi_bytes(p), "slopes of ALiBi");
  allocate(sinks_, sink_bytes(p), "logits of sinks");
  allocate(dsinks_, gives_dsinks(p) ? sink_bytes(p) : 0, "gradients of sinks");
  allocate(delta_, delta_bytes(family, p), "delta");
}

std::size_t ScoreOperands::tensor_bytes(const Problem& p) {
  return alibi_bytes(p) + sink_bytes(p) * (gives_dsinks(p) ? 2 : 1);
}

std::size_t ScoreOperands::workspace_bytes(const KernelFamily& family, const Problem& p) {
  return slope_bytes(family, p) + delta_bytes(family, p);
}

void ScoreOperands::describe(Attention& a) const {
  a.change = factors_.change;
  a.change.alibi_slopes = alibi_slopes_.as<float>();
  a.scale_log2 = factors_.scale_log2;
  a.product_factor = factors_.product_factor;
  a.score_slopes = score_slopes_.as<float>();
  a.sinks = sinks_.as<float>();
  a.dsinks = dsinks_.as<float>();
  if (delta_.bytes() > 0) a.delta = delta_.as<float>();
}

void ScoreOperands::prepare(const Inputs& in) {
  const auto write = [&](const DeviceBuffer& to, const std::vector<float>& from) {
    if (to.bytes() > 0) device_.write(to.address(), from.data(), to.bytes());
  };
  write(alibi_slopes_, in.alibi_slopes);
  write(sinks_, in.sinks);
  if (dsinks_.bytes() > 0) device_.poison(dsinks_.address(), dsinks_.bytes());
}

void ScoreOperands::collect(Outputs& out) {
  if (dsinks_.bytes() > 0) device_.read(out.dsinks.data(), dsinks_.address(), dsinks_.bytes());
}

}  // namespace flashbench::cuda
