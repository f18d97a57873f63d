#include "report/rises.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "report/units.h"
#include "system/digits.h"

namespace flashbench::report {
namespace {

constexpr std::string_view kKind = "times do not rise: ";

/// Below, starting threads and launching kernels may take most of the time.
constexpr double kFixedCosts_s = 0.2e-3;
/// Work whose growth a time must show.
constexpr double kMoreWork = 1.5;
/// Of the growth of the work, what the time must show at least: short cases run at a lower rate.
constexpr double kShownGrowth = 0.1;
constexpr double kMostGrowthAsked = 0.5;

/// How many times the work of `a` that of `b` is. Where the heads alone fill the threads, the FLOP
/// or the bytes count, whichever bind; else more queries may just occupy more of the processor.
double work_ratio(const Result& a, const Result& b) {
  const double flop = b.flop_visible / a.flop_visible;
  const double bytes = static_cast<double>(b.bytes) / static_cast<double>(a.bytes);
  const bool heads_fill_it = b.threads && b.workload.b * b.workload.h >= *b.threads;
  if (heads_fill_it && b.bound == "compute") return flop;
  if (heads_fill_it && b.bound == "memory") return bytes;
  return std::min(flop, bytes);
}

bool is_longer(const Result& b, const Result& a) {
  return b.workload.q_len >= a.workload.q_len && b.workload.kv_len >= a.workload.kv_len &&
         (b.workload.q_len > a.workload.q_len || b.workload.kv_len > a.workload.kv_len);
}

/// `b` is longer than `a`, and its time does not show it.
bool is_flat(const Result& a, const Result& b) {
  if (!is_longer(b, a) || !(a.flop_visible > 0) || a.bytes == 0) return false;
  const double ratio = work_ratio(a, b);
  if (ratio < kMoreWork || a.timing->median < kFixedCosts_s) return false;
  const double growth = std::min(kShownGrowth * (ratio - 1), kMostGrowthAsked);
  return b.timing->median < (1 + growth) * a.timing->median;
}

std::string length_text(const Workload& w) { return fmt::format("{} x {}", w.q_len, w.kv_len); }

std::string warning_of(const Result& a, const Result& b) {
  return fmt::format(
      "{}{} takes {} at {} queries x keys and {} at {}, with {} times the work: something else "
      "took the time, and nothing is concluded from this sweep; stop other programs, or try "
      "--threads 1",
      kKind, b.type, human_seconds(a.timing->median), length_text(a.workload),
      human_seconds(b.timing->median), length_text(b.workload), digits(work_ratio(a, b), 2));
}

std::string sweep_key(Result r) {
  r.workload.q_len = r.workload.kv_len = 0;
  return case_key(r);
}

void judge(const std::vector<Result*>& sweep) {
  bool swept = false;
  std::string warning;
  for (const Result* a : sweep)
    for (const Result* b : sweep) {
      swept = swept || is_longer(*b, *a);
      if (warning.empty() && is_flat(*a, *b)) warning = warning_of(*a, *b);
    }
  if (!swept) return;
  for (Result* r : sweep) {
    r->rises = warning.empty();
    if (!warning.empty()) r->warnings.push_back(warning);
  }
}

}  // namespace

void derive_rises(std::span<Result> results) {
  std::map<std::string, std::vector<Result*>> sweeps;
  for (Result& r : results) {
    r.rises.reset();
    std::erase_if(r.warnings, [](const std::string& w) { return w.starts_with(kKind); });
    if (conclusive(r) && r.timing && r.timing->median > 0) sweeps[sweep_key(r)].push_back(&r);
  }
  for (const auto& [key, sweep] : sweeps) judge(sweep);
}

}  // namespace flashbench::report
