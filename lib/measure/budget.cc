#include "measure/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench::measure {
namespace {

struct Unit {
  std::string_view name;
  double seconds;
};
constexpr Unit kUnits[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600}};

/// What is left for foretelling too little.
constexpr double kReserve = 0.05;
/// By how much of itself a budget may be exceeded, less what ends a program.
constexpr double kTolerance = 0.08;
/// Of the sampling time, what may be spent although the median is already known.
constexpr double kMinTimeShare = 0.25;

}  // namespace

double parse_duration_s(std::string_view text, std::string_view flag) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc{})
    for (const Unit& u : kUnits)
      if (unit == u.name && value * u.seconds > 0 && std::isfinite(value * u.seconds))
        return value * u.seconds;
  throw UsageError(fmt::format(
      "{} {} is not a time; use a positive number of seconds, or one with a unit: 500ms, 60s, 2m",
      flag, quote(text)));
}

double Budget::spent_s() const { return total_s_ - (end_s_ - clock_->now_s()); }

double Budget::left_s() const { return std::max(end_s_ - clock_->now_s(), 0.0); }

bool Budget::exceeded_by(double needed_s) const {
  return clock_->now_s() + needed_s > end_s_ + kTolerance * total_s_;
}

Need& Need::operator+=(const Need& other) {
  fixed_s += other.fixed_s;
  sampling_s += other.sampling_s;
  cases += other.cases;
  return *this;
}

Limits Budget::next(const Limits& base, const Need& now, const Need& later) const {
  const double over_s =
      std::max(left_s() - kReserve * total_s_ - now.total_s() - later.total_s(), 0.0);
  const double share_s =
      now.sampling_s / std::max(now.cases, 1) + over_s / std::max(now.cases + later.cases, 1);
  Limits limits = base;
  limits.timeout_s = std::min(base.timeout_s, share_s);
  limits.min_time_s = std::min(base.min_time_s, kMinTimeShare * share_s);
  return limits;
}

}  // namespace flashbench::measure
