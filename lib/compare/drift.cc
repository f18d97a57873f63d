#include "compare/drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "compare/student.h"
#include "measure/statistics.h"
#include "measure/warnings.h"
#include "system/digits.h"

namespace flashbench::compare {
namespace {

using report::Result;

constexpr double kWorthSaying = 0.01;  // of a ratio
constexpr double kCalibrationTail = 0.025;
// Where every sample was watched, those in which a thread waited for a processor are left out. What
// others did on processors of their own may still have cost a share of the memory's bandwidth, and
// of caches at least this much.
constexpr double kSharedCaches = 0.1;

double percent(double log_change) { return 100 * std::abs(std::expm1(log_change)); }

/// Logarithm of the seconds that the case takes at the peaks of its run.
std::optional<double> log_time_at_peak(const Result& r) {
  if (!r.pct_peak || !(*r.pct_peak > 0)) return std::nullopt;
  return std::log(*r.pct_peak / 100 * r.timing->median);
}

bool same_work(const Result& a, const Result& b) {
  return a.flop_visible == b.flop_visible && a.bytes == b.bytes && a.isa == b.isa &&
         a.threads == b.threads && a.workload.dtype == b.workload.dtype && a.bound == b.bound;
}

void add_peaks(Drift& drift, const Pair& pair) {
  const std::optional<double> base = log_time_at_peak(*pair.base);
  const std::optional<double> fresh = log_time_at_peak(*pair.fresh);
  if (!base || !fresh || !same_work(*pair.base, *pair.fresh)) return;
  const double slower = *fresh - *base;
  drift.shift.low = std::min(drift.shift.low, -slower);
  drift.shift.high = std::max(drift.shift.high, -slower);
  if (std::abs(slower) < kWorthSaying) return;
  drift.reasons.push_back(
      fmt::format("the {} of the machine {} by {} % from base to new",
                  pair.base->bound == "memory" ? "read bandwidth" : "multiply-add rate",
                  slower > 0 ? "fell" : "rose", digits(percent(-slower), 2)));
}

/// By how much the time of a side may be too long, as a logarithm, for what others did meanwhile.
double lengthened_by_load(const char* side, const Result& r, Drift& drift) {
  for (const std::string& warning : r.warnings) {
    if (!warning.starts_with(measure::kLoadFromOthers)) continue;
    drift.reasons.push_back(fmt::format("{}: {}", side, warning.substr(0, warning.find(';'))));
    const double taken = r.others_cpus.value_or(1);
    const double by_load =
        taken < 1 ? -std::log1p(-taken) : std::numeric_limits<double>::infinity();
    if (r.timing->lost.empty()) return by_load;
    const double beside = r.others_cpus ? *r.others_cpus / std::max(r.threads.value_or(1), 1)
                                        : std::numeric_limits<double>::infinity();
    return std::min(by_load, std::log1p(std::max(kSharedCaches, beside)));
  }
  return 0;
}

/// ln(samples / calibration), less what the spread of the calibration explains (the 95 % prediction
/// interval of one more run).
double unexplained_by_calibration(const char* side, const Result& r, Drift& drift) {
  if (!r.calibration || r.calibration->medians.size() < 2) return 0;
  const auto runs = static_cast<double>(r.calibration->medians.size());
  const double change = std::log(r.timing->median / measure::median(r.calibration->medians));
  const double explained = student_quantile(kCalibrationTail, static_cast<int>(runs) - 1) *
                           r.calibration->spread * std::sqrt(1 + 1 / runs);
  const double rest = std::max(0.0, std::abs(change) - explained);
  if (rest >= kWorthSaying)
    drift.reasons.push_back(fmt::format("{}: its samples took {} % {} than its calibration", side,
                                        digits(percent(change), 2),
                                        change > 0 ? "longer" : "less"));
  return std::copysign(rest, change);
}

/// What the true logarithm of a side's time may be away from the measured one.
Shift shift_of(const char* side, const Result& r, Drift& drift) {
  const double load = lengthened_by_load(side, r, drift);
  const double rest = unexplained_by_calibration(side, r, drift);
  return {std::min(-load, -std::max(rest, 0.0)), std::max(-rest, 0.0)};
}

}  // namespace

Drift drift_between(const Pair& pair) {
  Drift drift;
  const Shift base = shift_of("base", *pair.base, drift);
  const Shift fresh = shift_of("new", *pair.fresh, drift);
  drift.shift = {fresh.low - base.high, fresh.high - base.low};
  add_peaks(drift, pair);  // the same change seen otherwise: the wider of both counts
  return drift;
}

}  // namespace flashbench::compare
