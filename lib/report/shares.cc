#include "report/shares.h"

#include <fmt/format.h>

#include <algorithm>

namespace flashbench::report {
namespace {

/// Half of the interval of a median, over it, beyond which its share of a peak says nothing.
constexpr double kMostNoise = 0.5;

bool is_vague(const Result& r) {
  return r.timing && r.timing->ci95[1] - r.timing->ci95[0] > 2 * kMostNoise * r.timing->median;
}

}  // namespace

std::uint64_t last_cache_bytes(const Context& context, const Result& r) {
  if (r.device) return context.gpu ? context.gpu->l2_bytes.value_or(0) : 0;
  std::uint64_t bytes = 0;
  int level = 0;
  for (const CpuCache& c : context.cpu.caches) {
    if (c.type == "instruction" || c.level < level) continue;
    const int sharers = std::max(c.shared_by, 1);
    const int caches = (r.threads.value_or(1) + sharers - 1) / sharers;
    level = c.level;
    bytes = c.bytes * static_cast<std::uint64_t>(std::max(caches, 1));
  }
  return bytes;
}

bool caches_explain(const Context& context, const Result& r) {
  if (r.bound != "memory" || r.cache == "cold" || !r.pct_peak) return false;
  const double bytes = static_cast<double>(r.bytes);
  const double cached = static_cast<double>(last_cache_bytes(context, r));
  // Reading from a cache takes no time at best; the rest comes at the memory's speed.
  return bytes <= cached || *r.pct_peak <= kMostShare * bytes / (bytes - cached);
}

void withhold_shares(Report& report) {
  for (Result& r : report.results) {
    if (!r.pct_peak || !numbers_hold(r)) continue;
    if (!conclusive(r) || is_vague(r)) r.pct_peak.reset();
    if (!r.pct_peak || *r.pct_peak <= kMostShare || caches_explain(report.context, r)) continue;
    r.warnings.push_back(fmt::format(
        "no share of the peak: {:.0f} % of the {} was measured, which cannot be: something else "
        "slowed the probe of the peak, or the peak changed meanwhile; stop other programs, or try "
        "--threads 1",
        *r.pct_peak, r.bound == "memory" ? "memory's speed" : "arithmetic"));
    r.pct_peak.reset();
  }
}

}  // namespace flashbench::report
