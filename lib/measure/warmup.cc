#include "measure/warmup.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "measure/statistics.h"

namespace flashbench::measure {
namespace {

/// Calls that fill a sample of `sample_s`, with a tenth to spare.
double calls_for(double sample_s, double call_s) {
  return std::ceil(1.1 * sample_s / std::max(call_s, 1e-12));
}

}  // namespace

void Warmup::add(double batch_s) {
  const double call_s = batch_s / static_cast<double>(iterations_);
  info_.calls += iterations_;
  info_.seconds += batch_s;
  per_call_s_.push_back(call_s);
  if (batch_s < limits_.min_sample_s && iterations_ < max_iterations_) {
    // A short batch says little about a long one: grow, and watch for stability from there on. Not
    // more than a hundredfold at once: a call too short for the clock must not start minutes.
    const double wanted = std::min(calls_for(limits_.min_sample_s, call_s), 1e12);
    iterations_ = std::min({static_cast<std::int64_t>(wanted), iterations_ * 100, max_iterations_});
    per_call_s_.clear();
    return;
  }
  info_.stable = windows_agree();
}

bool Warmup::windows_agree() const {
  if (per_call_s_.size() < 2 * kWindow) return false;
  const std::span<const double> all(per_call_s_);
  const double before = median(all.subspan(all.size() - 2 * kWindow, kWindow));
  const double now = median(all.last(kWindow));
  return std::abs(now - before) <= kTolerance * before;
}

}  // namespace flashbench::measure
