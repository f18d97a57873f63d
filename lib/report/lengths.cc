#include "report/lengths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "report/derive.h"
#include "sweep/shown.h"

namespace flashbench::report {
namespace {

struct Point {
  double length, ratio;  ///< normal's time over flash's
};

struct Series {
  const Result* example;
  std::vector<Point> points;
};

/// Where both types ran, in the order of the results.
std::vector<Series> all_series(std::span<const Result> results) {
  std::vector<Series> all;
  std::map<std::string, std::size_t> place;
  for (const Result& r : results) {
    if (r.type != "flash" || !numbers_hold(r) || !r.speedup_over) continue;
    const auto over_normal = r.speedup_over->find("normal");
    if (over_normal == r.speedup_over->end()) continue;
    const auto [at, is_new] = place.emplace(series_key(r), all.size());
    if (is_new) all.push_back({&r, {}});
    all[at->second].points.push_back({length_of(r.workload).value, over_normal->second});
  }
  for (Series& s : all)
    std::sort(s.points.begin(), s.points.end(),
              [](const Point& a, const Point& b) { return a.length < b.length; });
  return all;
}

/// Lengths where the ratio passes 1, by interpolation in the logarithms of both.
void add_crossovers(std::vector<Crossover>& out, const Series& s) {
  for (std::size_t i = 1; i < s.points.size(); ++i) {
    const Point& a = s.points[i - 1];
    const Point& b = s.points[i];
    if ((a.ratio < 1) == (b.ratio < 1) || a.length == b.length) continue;
    const double share = std::log(a.ratio) / (std::log(a.ratio) - std::log(b.ratio));
    Crossover c;
    c.pass = s.example->pass;
    c.dtype = s.example->workload.dtype;
    c.parameter = length_of(s.example->workload).parameter;
    c.at = std::exp(std::lerp(std::log(a.length), std::log(b.length), share));
    c.below = a.ratio < 1 ? "normal" : "flash";
    c.above = a.ratio < 1 ? "flash" : "normal";
    c.series = series_text(*s.example);
    out.push_back(std::move(c));
  }
}

/// What results of other lengths share with it. Queries that keys do not follow are no length.
Result without_length(Result r) {
  if (r.workload.q_len == r.workload.kv_len) r.workload.q_len = 0;
  r.workload.kv_len = 0;
  return r;
}

Lead lead_of(const Series& s) {
  const auto [least, most] =
      std::minmax_element(s.points.begin(), s.points.end(),
                          [](const Point& a, const Point& b) { return a.ratio < b.ratio; });
  const bool flash = least->ratio >= 1;
  Lead lead;
  lead.series = series_text(*s.example);
  lead.faster = flash ? "flash" : "normal";
  lead.slower = flash ? "normal" : "flash";
  lead.parameter = length_of(s.example->workload).parameter;
  lead.from = s.points.front().length;
  lead.to = s.points.back().length;
  lead.ratio = {flash ? least->ratio : 1 / most->ratio, flash ? most->ratio : 1 / least->ratio};
  return lead;
}

}  // namespace

Length length_of(const Workload& w) {
  if (w.q_len == w.kv_len) return {"q_len", static_cast<double>(w.q_len)};
  return {"kv_len", static_cast<double>(w.kv_len)};
}

std::string series_key(const Result& r) { return key_without_type(without_length(r)); }

std::string series_text(const Result& r) {
  return sweep::described(without_length(r),
                          [](const sweep::Field& f) { return f.recorded.tells_apart; });
}

std::optional<Lengths> compare_lengths(std::span<const Result> results) {
  Lengths lengths;
  bool swept = false;
  for (const Series& s : all_series(results)) {
    if (s.points.front().length == s.points.back().length) continue;
    swept = true;
    const std::size_t before = lengths.crossovers.size();
    add_crossovers(lengths.crossovers, s);
    if (lengths.crossovers.size() == before) lengths.leads.push_back(lead_of(s));
  }
  if (!swept) return std::nullopt;
  return lengths;
}

std::vector<MemoryLimit> memory_limits(std::span<const Result> results) {
  std::map<std::string, MemoryLimit> limits;
  for (const Result& r : results) {
    if (r.refusal != Rejection::Kind::kMemory) continue;
    const Length length = length_of(r.workload);
    MemoryLimit& limit = limits[r.type + "|" + series_key(r)];
    if (limit.exceeds != 0 && limit.exceeds <= length.value) continue;
    limit = {r.pass,       r.workload.dtype,      r.type,        length.parameter, std::nullopt,
             length.value, r.reason.value_or(""), series_text(r)};
  }
  for (const Result& r : results) {
    if (r.status != Status::kOk) continue;
    const auto found = limits.find(r.type + "|" + series_key(r));
    if (found == limits.end()) continue;
    MemoryLimit& limit = found->second;
    const double length = length_of(r.workload).value;
    if (length < limit.exceeds) limit.fits = std::max(limit.fits.value_or(0), length);
  }
  std::vector<MemoryLimit> out;
  for (auto& [key, limit] : limits) out.push_back(std::move(limit));
  return out;
}

}  // namespace flashbench::report
