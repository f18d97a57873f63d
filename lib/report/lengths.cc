#include "report/lengths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "report/derive.h"
#include "report/ratio.h"
#include "sweep/shown.h"

namespace flashbench::report {
namespace {

struct Point {
  double length;
  std::optional<Ratio> ratio;  ///< normal's time over flash's; absent where nothing is concluded

  Faster who() const { return ratio ? faster(*ratio) : Faster::kUnknown; }
};

struct Series {
  const Result* example;
  std::vector<Point> points;
};

/// Of sequences of their own lengths there is no one length.
bool has_own_lengths(const Workload& w) {
  const auto ragged = w.others.find("ragged");
  return ragged != w.others.end() && sweep::text_of(ragged->second) != "none";
}

/// Where both types have a number, in the order of the results.
std::vector<Series> all_series(std::span<const Result> results) {
  std::set<std::string> normals;
  for (const Result& r : results)
    if (r.type == "normal" && numbers_hold(r) && r.timing) normals.insert(key_without_type(r));
  std::vector<Series> all;
  std::map<std::string, std::size_t> place;
  for (const Result& r : results) {
    if (r.type != "flash" || !numbers_hold(r) || !r.timing || has_own_lengths(r.workload)) continue;
    if (!normals.contains(key_without_type(r))) continue;
    const auto [at, is_new] = place.emplace(series_key(r), all.size());
    if (is_new) all.push_back({&r, {}});
    all[at->second].points.push_back({length_of(r.workload).value, speedup_over(r, "normal")});
  }
  for (Series& s : all)
    std::sort(s.points.begin(), s.points.end(),
              [](const Point& a, const Point& b) { return a.length < b.length; });
  return all;
}

/// Between neighbours of which surely one and surely the other type is faster, by interpolation in
/// the logarithms of length and ratio.
void add_crossovers(std::vector<Crossover>& out, const Series& s) {
  std::vector<Point> sure;
  for (const Point& p : s.points)
    if (p.who() != Faster::kUnknown) sure.push_back(p);
  for (std::size_t i = 1; i < sure.size(); ++i) {
    const Point& a = sure[i - 1];
    const Point& b = sure[i];
    if (a.who() == b.who() || a.length == b.length) continue;
    const double share =
        std::log(a.ratio->value) / (std::log(a.ratio->value) - std::log(b.ratio->value));
    const bool flash_above = b.who() == Faster::kDenominator;
    Crossover c;
    c.pass = s.example->pass;
    c.dtype = s.example->workload.dtype;
    c.parameter = length_of(s.example->workload).parameter;
    c.at = std::exp(std::lerp(std::log(a.length), std::log(b.length), share));
    c.below = flash_above ? "normal" : "flash";
    c.above = flash_above ? "flash" : "normal";
    c.series = series_text(*s.example);
    c.between = {a.length, b.length};
    out.push_back(std::move(c));
  }
}

/// What results of other lengths share with it. Queries that keys do not follow are no length.
Result without_length(Result r) {
  if (r.workload.q_len == r.workload.kv_len) r.workload.q_len = 0;
  r.workload.kv_len = 0;
  return r;
}

/// nullopt where no type is surely the faster one at every length.
std::optional<Lead> lead_of(const Series& s) {
  const Faster who = s.points.front().who();
  if (who == Faster::kUnknown) return std::nullopt;
  const bool flash = who == Faster::kDenominator;
  std::vector<double> values, lows, highs;
  for (const Point& p : s.points) {
    if (p.who() != who) return std::nullopt;
    const Ratio ratio = flash ? *p.ratio : inverse(*p.ratio);
    values.push_back(ratio.value);
    lows.push_back(ratio.interval[0]);
    highs.push_back(ratio.interval[1]);
  }
  Lead lead;
  lead.series = series_text(*s.example);
  lead.faster = flash ? "flash" : "normal";
  lead.slower = flash ? "normal" : "flash";
  lead.parameter = length_of(s.example->workload).parameter;
  lead.from = s.points.front().length;
  lead.to = s.points.back().length;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  lead.ratio = {*least, *most};
  lead.interval = {*std::min_element(lows.begin(), lows.end()),
                   *std::max_element(highs.begin(), highs.end())};
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
  for (const Series& s : all_series(results)) {
    if (s.points.front().length == s.points.back().length) continue;
    lengths.series.push_back(series_text(*s.example));
    add_crossovers(lengths.crossovers, s);
    if (std::optional<Lead> lead = lead_of(s)) lengths.leads.push_back(std::move(*lead));
  }
  if (lengths.series.empty()) return std::nullopt;
  return lengths;
}

std::vector<MemoryLimit> memory_limits(std::span<const Result> results) {
  std::map<std::string, MemoryLimit> limits;
  for (const Result& r : results) {
    if (r.refusal != Rejection::Kind::kMemory || has_own_lengths(r.workload)) continue;
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
