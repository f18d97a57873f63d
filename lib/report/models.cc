#include "report/models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "report/ratio.h"
#include "report/units.h"

namespace flashbench::report {
namespace {

/// A sum as it grows.
struct Sum {
  ModelTime time;
  double square_of_half_width = 0, at_peak_s = 0;
  bool complete = true, has_peak = true;

  void add(const Result& r) {
    const double layers = *r.part->layers;
    time.layers += *r.part->layers;
    if (!r.timing || !numbers_hold(r)) {
      complete = false;
      return;
    }
    const double half_width = (r.timing->ci95[1] - r.timing->ci95[0]) / 2;
    time.seconds += layers * r.timing->median;
    square_of_half_width += layers * half_width * layers * half_width;
    time.conclusive = time.conclusive && conclusive(r);
    has_peak = has_peak && r.pct_peak.has_value();
    at_peak_s += layers * r.timing->median * r.pct_peak.value_or(0) / 100;
  }
  ModelTime finished() {
    const double half_width = std::sqrt(square_of_half_width);
    time.ci95 = {time.seconds - half_width, time.seconds + half_width};
    if (has_peak && time.seconds > 0) time.pct_peak = 100 * at_peak_s / time.seconds;
    return time;
  }
};

/// What the times of one line have in common.
auto line_of(const ModelTime& m) {
  return std::tuple(m.model, m.pass, m.dtype, m.b, m.q_len, m.kv_len, m.layers);
}

std::string time_text(const ModelTime& m) {
  std::string text =
      fmt::format("{} {}", m.type, human_seconds(m.seconds, (m.ci95[1] - m.ci95[0]) / 2));
  if (!m.conclusive) return text + " (disturbed)";
  return m.pct_peak ? text + fmt::format(" ({:.0f} % of peak)", *m.pct_peak) : text;
}

/// How many times as fast as normal, by the ends of both intervals.
std::string ratio_to(const ModelTime& normal, const ModelTime& m) {
  if (!normal.conclusive || !m.conclusive || m.ci95[0] <= 0) return "";
  const Ratio ratio = {normal.seconds / m.seconds,
                       {normal.ci95[0] / m.ci95[1], normal.ci95[1] / m.ci95[0]}};
  if (faster(ratio) == Faster::kUnknown)
    return fmt::format("; cannot tell whether {} or normal is faster, {}", m.type,
                       ratio_text(ratio));
  return fmt::format("; {} is {} as fast as normal", m.type, ratio_text(ratio));
}

}  // namespace

std::vector<ModelTime> model_times(std::span<const Result> results) {
  using Key = std::tuple<std::string, std::string>;
  std::map<Key, std::size_t> at;
  std::vector<Sum> sums;
  for (const Result& r : results) {
    if (!r.part || !r.part->layers) continue;
    const Workload& w = r.workload;
    // Kernels may differ from part to part; where and how they run may not.
    const std::string place =
        fmt::format("{}|{}|{}|{}|{}|{}", r.backend, r.isa.value_or(""), r.threads.value_or(0),
                    r.device.value_or(""), r.cache, r.deterministic);
    const Key key = {fmt::format("{}|{}|{}|{}", r.part->model, r.pass, r.type, w.dtype),
                     fmt::format("{}|{}|{}|{}", w.b, w.q_len, w.kv_len, place)};
    const auto [found, is_new] = at.try_emplace(key, sums.size());
    if (is_new)
      sums.push_back(
          {{r.part->model, r.pass, r.type, w.dtype, w.b, w.q_len, w.kv_len, 0, 0, {}, {}, true}});
    sums[found->second].add(r);
  }
  std::vector<ModelTime> times;
  for (Sum& sum : sums)
    if (sum.complete) times.push_back(sum.finished());
  return times;
}

std::vector<std::string> model_lines(const std::vector<ModelTime>& models) {
  std::vector<std::string> lines;
  for (auto m = models.begin(); m != models.end(); ++m) {
    const auto of_line = [&](const ModelTime& other) { return line_of(other) == line_of(*m); };
    if (std::any_of(models.begin(), m, of_line)) continue;
    std::vector<std::string> times;
    std::string ratios;
    const auto normal = std::find_if(models.begin(), models.end(), [&](const ModelTime& other) {
      return of_line(other) && other.type == "normal";
    });
    for (const ModelTime& other : models) {
      if (!of_line(other)) continue;
      times.push_back(time_text(other));
      if (normal != models.end() && other.type != "normal") ratios += ratio_to(*normal, other);
    }
    lines.push_back(fmt::format("{}, {} layers {}, {}, b{} {}x{}: {}{}", m->model, m->layers,
                                m->pass, m->dtype, m->b, m->q_len, m->kv_len,
                                fmt::join(times, ", "), ratios));
  }
  return lines;
}

}  // namespace flashbench::report
