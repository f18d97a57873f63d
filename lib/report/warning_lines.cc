#include "report/warning_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "measure/warnings.h"
#include "report/grid.h"

namespace flashbench::report {
namespace {

constexpr std::size_t kShown = 3;

/// Kinds by what they do to the numbers, the worst first: what makes them wrong, what makes them
/// vague, then (unknown kinds before it) what is good to know.
constexpr std::string_view kWorstFirst[] = {"disturbed",          "times do not rise",
                                            "threads take turns", measure::kLoadFromOthers,
                                            "throttled",          "noisy"};
constexpr std::string_view kGoodToKnow[] = {"no share of the peak", "outliers", "slow first run"};

std::size_t rank(std::string_view kind) {
  const auto worst = std::find(std::begin(kWorstFirst), std::end(kWorstFirst), kind);
  if (worst != std::end(kWorstFirst))
    return static_cast<std::size_t>(worst - std::begin(kWorstFirst));
  const auto last = std::find(std::begin(kGoodToKnow), std::end(kGoodToKnow), kind);
  const std::size_t unknown = std::size(kWorstFirst);
  if (last == std::end(kGoodToKnow)) return unknown;
  return unknown + 1 + static_cast<std::size_t>(last - std::begin(kGoodToKnow));
}

/// Warnings of one kind, "throttled: ...; let it cool", from any number of results.
struct Kind {
  std::string name;                  ///< what stands before the colon
  std::string rest;                  ///< behind it, as the noisiest result says it
  std::string where;                 ///< that result
  double noise = -1;                 ///< its
  std::vector<std::string> of = {};  ///< all results that say so, once each
};

double noise_of(const Result& r) {
  if (!r.timing || !(r.timing->median > 0)) return 0;
  return (r.timing->ci95[1] - r.timing->ci95[0]) / r.timing->median;
}

std::vector<Kind> kinds_of(const Report& report) {
  std::vector<Kind> kinds;
  for (const Result& r : report.results)
    for (const std::string& text : r.warnings) {
      const std::size_t colon = std::min(text.find(": "), text.size());
      const std::string name = text.substr(0, colon);
      auto kind =
          std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.name == name; });
      if (kind == kinds.end()) kind = kinds.insert(kind, {name, "", "", -1});
      const std::string where = result_text(r);
      if (noise_of(r) > kind->noise) {
        kind->rest = text.substr(colon);
        kind->where = where;
        kind->noise = noise_of(r);
      }
      if (std::find(kind->of.begin(), kind->of.end(), where) == kind->of.end())
        kind->of.push_back(where);
    }
  std::stable_sort(kinds.begin(), kinds.end(), [](const Kind& a, const Kind& b) {
    return rank(a.name) != rank(b.name) ? rank(a.name) < rank(b.name) : a.of.size() > b.of.size();
  });
  return kinds;
}

}  // namespace

std::vector<std::string> warning_lines(const Report& report) {
  std::vector<std::string> lines, left_out;
  std::size_t count = 0;
  for (const Kind& k : kinds_of(report)) {
    if (lines.size() == kShown) {
      left_out.push_back(k.name);
      count += k.of.size();
      continue;
    }
    lines.push_back(k.of.size() == 1
                        ? fmt::format("warning: {}: {}{}", k.where, k.name, k.rest)
                        : fmt::format("warning: {} in {} of {} results, the worst {}{}", k.name,
                                      k.of.size(), report.results.size(), k.where, k.rest));
  }
  if (count > 0)
    lines.push_back(fmt::format("{} more warning{} ({}), which --json FILE writes down", count,
                                count == 1 ? "" : "s", fmt::join(left_out, ", ")));
  return lines;
}

}  // namespace flashbench::report
