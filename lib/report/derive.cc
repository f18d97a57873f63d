#include "report/derive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "measure/statistics.h"

namespace flashbench::report {
namespace {

/// Everything of case_key() but type and kernel.
std::string key_without_type(const Result& r) {
  Result other = r;
  other.type.clear();
  other.kernel_request.reset();
  return case_key(other);
}

/// The length that a sweep varies: that of queries and keys together, or that of the keys where
/// the queries are a number of their own (decode).
struct Length {
  const char* parameter;
  double value;
};

Length length_of(const Workload& w) {
  if (w.q_len == w.kv_len) return {"q_len", static_cast<double>(w.q_len)};
  return {"kv_len", static_cast<double>(w.kv_len)};
}

/// The same key for results that differ only in that length.
std::string key_without_length(const Result& r) {
  Result other = r;
  if (r.workload.q_len == r.workload.kv_len) other.workload.q_len = 0;
  other.workload.kv_len = 0;
  return key_without_type(other);
}

struct Point {
  double length, ratio;  ///< normal's time over flash's
};

/// Lengths where the ratio passes 1, by interpolation in the logarithms of both.
void add_crossovers(std::vector<Crossover>& out, const Result& example, std::vector<Point> points) {
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.length < b.length; });
  for (std::size_t i = 1; i < points.size(); ++i) {
    const Point& a = points[i - 1];
    const Point& b = points[i];
    if ((a.ratio < 1) == (b.ratio < 1) || a.length == b.length) continue;
    const double share = std::log(a.ratio) / (std::log(a.ratio) - std::log(b.ratio));
    Crossover c;
    c.pass = example.pass;
    c.dtype = example.workload.dtype;
    c.parameter = length_of(example.workload).parameter;
    c.at = std::exp(std::lerp(std::log(a.length), std::log(b.length), share));
    c.below = a.ratio < 1 ? "normal" : "flash";
    c.above = a.ratio < 1 ? "flash" : "normal";
    out.push_back(std::move(c));
  }
}

std::optional<std::vector<Crossover>> crossovers(std::span<const Result> results) {
  std::map<std::string, std::pair<const Result*, std::vector<Point>>> series;
  for (const Result& r : results) {
    if (r.type != "flash" || !numbers_hold(r) || !r.speedup_over) continue;
    const auto over_normal = r.speedup_over->find("normal");
    if (over_normal == r.speedup_over->end()) continue;
    auto& entry = series[key_without_length(r)];
    entry.first = &r;
    entry.second.push_back({length_of(r.workload).value, over_normal->second});
  }
  std::vector<Crossover> found;
  bool swept = false;
  for (auto& [key, entry] : series) {
    swept = swept || entry.second.size() > 1;
    add_crossovers(found, *entry.first, std::move(entry.second));
  }
  if (!swept) return std::nullopt;
  return found;
}

/// The reasons that a case is skipped with for want of memory begin like this.
bool lacked_memory(const Result& r) {
  return r.status == Status::kSkipped && r.reason &&
         (r.reason->starts_with("needs ") || *r.reason == "not enough memory");
}

std::vector<MemoryLimit> memory_limits(std::span<const Result> results) {
  std::map<std::string, MemoryLimit> limits;
  for (const Result& r : results) {
    if (!lacked_memory(r)) continue;
    const Length length = length_of(r.workload);
    MemoryLimit& limit = limits[r.type + "|" + key_without_length(r)];
    if (limit.exceeds != 0 && limit.exceeds <= length.value) continue;
    limit = {r.pass,       r.workload.dtype, r.type,   length.parameter,
             std::nullopt, length.value,     *r.reason};
  }
  for (const Result& r : results) {
    if (r.status != Status::kOk) continue;
    const auto found = limits.find(r.type + "|" + key_without_length(r));
    if (found == limits.end()) continue;
    MemoryLimit& limit = found->second;
    const double length = length_of(r.workload).value;
    if (length < limit.exceeds) limit.fits = std::max(limit.fits.value_or(0), length);
  }
  std::vector<MemoryLimit> out;
  for (auto& [key, limit] : limits) out.push_back(std::move(limit));
  return out;
}

}  // namespace

std::optional<Timing> timing_of(const measure::Samples& samples) {
  if (samples.times_s.empty()) return std::nullopt;
  const measure::Statistics s = measure::summarize(samples.times_s);
  Timing t;
  t.times = samples.times_s;
  t.iterations_per_sample = samples.iterations_per_sample;
  t.min = s.min;
  t.max = s.max;
  t.median = s.median;
  t.mean = s.mean;
  t.stddev = s.stddev;
  t.mad = s.mad;
  t.p25 = s.p25;
  t.p75 = s.p75;
  t.ci95 = s.ci95;
  t.user = samples.user_s;
  t.system = samples.system_s;
  return t;
}

std::optional<Calibration> calibration_of(std::span<const double> medians) {
  if (medians.size() < 2) return std::nullopt;
  std::vector<double> logs;
  for (const double m : medians) {
    if (!(m > 0)) return std::nullopt;
    logs.push_back(std::log(m));
  }
  return Calibration{{medians.begin(), medians.end()}, measure::summarize(logs).stddev};
}

void derive_rates(Result& r) {
  r.tflops.reset();
  r.gb_s.reset();
  if (!r.timing || !(r.timing->median > 0)) return;
  r.tflops = r.flop_visible / r.timing->median * 1e-12;
  r.gb_s = static_cast<double>(r.bytes) / r.timing->median * 1e-9;
}

Ideal ideal_time(double flop_visible, double bytes, double peak_flop_s, double peak_bytes_s) {
  const double compute_s = flop_visible / peak_flop_s;
  const double memory_s = bytes / peak_bytes_s;
  return compute_s >= memory_s ? Ideal{compute_s, "compute"} : Ideal{memory_s, "memory"};
}

void derive_speedups(std::span<Result> results) {
  std::map<std::string, double> normal_s;
  for (const Result& r : results)
    if (r.type == "normal" && r.timing && numbers_hold(r))
      normal_s[key_without_type(r)] = r.timing->median;
  for (Result& r : results) {
    r.speedup_over.reset();
    const auto normal = normal_s.find(key_without_type(r));
    if (r.type == "normal" || !r.timing || !(r.timing->median > 0) || !numbers_hold(r) ||
        normal == normal_s.end())
      continue;
    r.speedup_over = {{"normal", normal->second / r.timing->median}};
  }
}

Summary summarize(std::span<const Result> results) {
  Summary summary;
  for (const Result& r : results) {
    if (!r.timing || !numbers_hold(r) || r.timing->times.size() < 2 || !(r.timing->median > 0))
      continue;
    if (r.calibration)
      summary.between_run_spread =
          std::max(summary.between_run_spread.value_or(0), r.calibration->spread);
    const double noise = (r.timing->ci95[1] - r.timing->ci95[0]) / 2 / r.timing->median;
    summary.noise = std::max(summary.noise.value_or(0), noise);
  }
  summary.crossover = crossovers(results);
  summary.memory_limit = memory_limits(results);
  return summary;
}

}  // namespace flashbench::report
