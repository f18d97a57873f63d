#include "report/derive.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "measure/statistics.h"
#include "report/explain.h"
#include "report/lengths.h"
#include "report/models.h"
#include "report/ratio.h"
#include "report/rises.h"
#include "report/shares.h"

namespace flashbench::report {
std::string key_without_type(const Result& r) {
  Result other = r;
  other.type.clear();
  other.kernel_request.reset();
  other.plugin.reset();
  other.worker.reset();
  return case_key(other);
}

std::optional<Timing> timing_of(const measure::Samples& samples) {
  if (samples.times_s.empty()) return std::nullopt;
  const measure::Undisturbed undisturbed = samples.undisturbed();
  const measure::Statistics s = measure::summarize(undisturbed.times_s);
  Timing t;
  t.times = samples.times_s;
  t.lost = samples.lost;
  t.marked = static_cast<std::int64_t>(undisturbed.marked);
  t.disturbed = !undisturbed.enough;
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

double ideal_s(double flop_visible, double bytes, double peak_flop_s, double peak_bytes_s) {
  return std::max(flop_visible / peak_flop_s, bytes / peak_bytes_s);
}

std::string subject_of(const Result& r) {
  return r.plugin || r.worker ? r.kernel.value_or(r.type) : r.type;
}

void tell_guests_apart(std::span<Result> results) {
  const auto guest = [](const Result& r) { return r.plugin ? r.plugin : r.worker; };
  std::map<std::string, std::set<std::string>> guests;  // by the kernel's name
  for (const Result& r : results)
    if (r.kernel && guest(r)) guests[*r.kernel].insert(*guest(r));
  for (Result& r : results) {
    if (!r.kernel || !guest(r) || guests[*r.kernel].size() < 2) continue;
    const std::string named = ":" + *r.kernel;
    const bool says_it = guest(r)->find(named) != std::string::npos;
    r.kernel = *guest(r) + (says_it ? "" : named);
  }
}

std::vector<std::string> rivals_of(const Result& r) {
  if (r.plugin || r.worker) return {"flash", "normal"};
  if (r.type == "flash") return {"normal", "paper"};
  return r.type == "normal" ? std::vector<std::string>{} : std::vector<std::string>{"normal"};
}

void derive_speedups(std::span<Result> results) {
  std::map<std::pair<std::string, std::string>, const Result*> by_type;
  for (const Result& r : results)
    if (r.timing && conclusive(r)) by_type[{r.type, key_without_type(r)}] = &r;
  for (Result& r : results) {
    r.speedup_over.reset();
    r.speedup_ci95.reset();
    if (!r.timing || !conclusive(r)) continue;
    for (const std::string& type : rivals_of(r)) {
      const auto rival = by_type.find({type, key_without_type(r)});
      if (rival == by_type.end()) continue;
      const std::optional<Ratio> ratio = time_ratio(*rival->second->timing, *r.timing);
      if (!ratio) continue;
      if (!r.speedup_over) r.speedup_over.emplace(), r.speedup_ci95.emplace();
      r.speedup_over->emplace(type, ratio->value);
      r.speedup_ci95->emplace(type, ratio->interval);
    }
  }
}

Summary summarize(std::span<const Result> results) {
  Summary summary;
  for (const Result& r : results) {
    if (!r.timing || !conclusive(r) || r.timing->times.size() < 2 || !(r.timing->median > 0))
      continue;
    if (r.calibration)
      summary.between_run_spread =
          std::max(summary.between_run_spread.value_or(0), r.calibration->spread);
    const double noise = (r.timing->ci95[1] - r.timing->ci95[0]) / 2 / r.timing->median;
    summary.noise = std::max(summary.noise.value_or(0), noise);
  }
  if (std::optional<Lengths> lengths = compare_lengths(results)) {
    summary.crossover = std::move(lengths->crossovers);
    summary.lead = std::move(lengths->leads);
  }
  summary.memory_limit = memory_limits(results);
  summary.models = model_times(results);
  return summary;
}

void conclude(Report& report) {
  derive_rises(report.results);
  derive_speedups(report.results);
  derive_bounds(report);
  withhold_shares(report);
  derive_explanations(report);
  report.summary = summarize(report.results);
}

}  // namespace flashbench::report
