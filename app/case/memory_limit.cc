#include "app/case/memory_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "app/case/memory.h"
#include "report/lengths.h"

namespace flashbench::app {
namespace {

/// `c` with another length: of queries and keys where they are as many, else of the keys.
RoutedCase with_length(RoutedCase c, std::int64_t length) {
  Shape& s = c.request.problem.shape;
  if (s.q_len == s.kv_len) s.q_len = length;
  s.kv_len = length;
  return c;
}

double bytes_at(const RoutedCase& c, std::int64_t length) {
  return static_cast<double>(memory_need(with_length(c, length)).total());
}

/// The least length that takes more than `available`; the one of `c` fits.
std::int64_t first_that_exceeds(const RoutedCase& c, double available) {
  std::int64_t fits = c.request.problem.shape.kv_len, exceeds = 2 * fits;
  for (; bytes_at(c, exceeds) <= available; exceeds *= 2) fits = exceeds;
  while (exceeds - fits > 1) {
    const std::int64_t middle = fits + (exceeds - fits) / 2;
    (bytes_at(c, middle) <= available ? fits : exceeds) = middle;
  }
  return exceeds;
}

bool has_limit(const report::Summary& summary, const std::string& series) {
  return std::any_of(
      summary.memory_limit.begin(), summary.memory_limit.end(),
      [&](const report::MemoryLimit& m) { return m.type == "normal" && m.series == series; });
}

/// No file fixes its lengths, and it computes in the memory of this machine.
bool can_grow(const RoutedCase& c) {
  return c.runs() && !c.traits().own_memory && !has_fixed_lengths(c.request.problem);
}

}  // namespace

void add_predicted_limits(report::Report& report, const std::vector<RoutedCase>& cases) {
  const std::optional<double> available = bytes_for_cases(report.context.memory_available_bytes);
  const std::optional<report::Lengths> lengths = report::compare_lengths(report.results);
  if (!available || !lengths) return;
  const auto is_compared = [&](const std::string& series) {
    return std::find(lengths->series.begin(), lengths->series.end(), series) !=
           lengths->series.end();
  };
  for (std::size_t i = 0; i < report.results.size() && i < cases.size(); ++i) {
    const report::Result& r = report.results[i];
    const std::string series = report::series_text(r);
    const double length = report::length_of(r.workload).value;
    const bool longest = std::none_of(
        report.results.begin(), report.results.end(), [&](const report::Result& other) {
          return other.type == r.type && report::series_text(other) == series &&
                 report::length_of(other.workload).value > length;
        });
    if (r.type != "normal" || !longest || !can_grow(cases[i]) || !is_compared(series) ||
        has_limit(report.summary, series) ||
        bytes_at(cases[i], cases[i].request.problem.shape.kv_len) > *available)
      continue;
    const std::int64_t exceeds = first_that_exceeds(cases[i], *available);
    report::MemoryLimit limit;
    limit.pass = r.pass;
    limit.dtype = r.workload.dtype;
    limit.type = r.type;
    limit.parameter = report::length_of(r.workload).parameter;
    limit.fits = length;
    limit.exceeds = static_cast<double>(exceeds);
    limit.reason = does_not_fit(bytes_at(cases[i], exceeds), *available).reason;
    limit.series = series;
    limit.predicted = true;
    report.summary.memory_limit.push_back(std::move(limit));
  }
}

}  // namespace flashbench::app
