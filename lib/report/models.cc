#include "report/models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "report/ratio.h"
#include "report/units.h"

namespace flashbench::report {
namespace {

/// A sum as it grows.
struct Sum {
  ModelTime time;
  std::set<std::string> parts = {};
  double square_of_half_width = 0, at_peak_s = 0;
  bool complete = true, has_peak = true;

  void add(const Result& r) {
    const double layers = *r.part->layers;
    time.layers += *r.part->layers;
    parts.insert(r.part->name);
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
  return std::tuple(m.model, m.pass, m.dtype, m.kv_dtype, m.ragged, m.b, m.q_len, m.kv_len,
                    m.backend, m.isa, m.threads, m.device, m.cache, m.number, m.layers);
}
/// And those of one sum, but for what sets `number`.
auto key_of(const ModelTime& m) {
  return std::tuple(m.model, m.pass, m.dtype, m.kv_dtype, m.ragged, m.b, m.q_len, m.kv_len,
                    m.backend, m.isa, m.threads, m.device, m.cache, m.type);
}

/// Where and how a line was computed, of what differs among all of them: ", avx2, 1 threads".
std::string place_text(const ModelTime& m, const std::vector<ModelTime>& all) {
  std::string text;
  const auto add = [&](auto member, const std::string& words) {
    const auto same = [&](const ModelTime& other) { return other.*member == m.*member; };
    if (!words.empty() && !std::all_of(all.begin(), all.end(), same)) text += ", " + words;
  };
  add(&ModelTime::backend, m.backend);
  add(&ModelTime::isa, m.isa.value_or(""));
  add(&ModelTime::threads, m.threads ? fmt::format("threads {}", *m.threads) : "");
  add(&ModelTime::device, m.device ? "device " + *m.device : "");
  add(&ModelTime::cache, m.cache);
  add(&ModelTime::number, fmt::format("case {} of its parts", m.number));
  return text;
}

/// A field of the workload where it is not as usual: the dtype of K and V where it is not that of
/// Q, lengths of sequences.
std::optional<std::string> own_text(const Workload& w, std::string_view name,
                                    std::string_view usual) {
  const auto own = w.others.find(name);
  if (own == w.others.end()) return std::nullopt;
  const std::string text = sweep::text_of(own->second);
  return text == usual ? std::nullopt : std::optional(text);
}

std::string lengths_text(const ModelTime& m) {
  return m.ragged.value_or(fmt::format("b{} {}x{}", m.b, m.q_len, m.kv_len));
}

std::string dtype_text(const ModelTime& m) {
  return m.kv_dtype ? fmt::format("{}, kv {}", m.dtype, *m.kv_dtype) : m.dtype;
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
  std::vector<Sum> sums;
  for (const Result& r : results) {
    if (!r.part || !r.part->layers) continue;
    const Workload& w = r.workload;
    ModelTime time = {r.part->model,
                      r.pass,
                      r.type,
                      w.dtype,
                      own_text(w, "kv_dtype", ""),
                      own_text(w, "ragged", "none"),
                      w.b,
                      w.q_len,
                      w.kv_len,
                      r.backend,
                      r.isa,
                      r.threads,
                      r.device,
                      r.cache};
    // A part that comes again differs in something that was swept: it belongs to another sum.
    const auto takes = [&](const Sum& sum) {
      return key_of(sum.time) == key_of(time) && !sum.parts.contains(r.part->name);
    };
    auto sum = std::find_if(sums.begin(), sums.end(), takes);
    if (sum == sums.end()) {
      time.number += static_cast<int>(std::count_if(
          sums.begin(), sums.end(), [&](const Sum& s) { return key_of(s.time) == key_of(time); }));
      sum = sums.insert(sum, Sum{std::move(time)});
    }
    sum->add(r);
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
    lines.push_back(fmt::format("{}, {} layers {}, {}, {}{}: {}{}", m->model, m->layers, m->pass,
                                dtype_text(*m), lengths_text(*m), place_text(*m, models),
                                fmt::join(times, ", "), ratios));
  }
  return lines;
}

}  // namespace flashbench::report
