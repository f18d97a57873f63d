#include "report/summary_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "report/derive.h"
#include "report/explain.h"
#include "report/ratio.h"
#include "report/shares.h"
#include "report/units.h"
#include "report/verdict_line.h"
#include "system/digits.h"

namespace flashbench::report {
namespace {

using Lines = std::vector<std::string>;

/// " (causal, 2 threads)", or "".
std::string in_brackets(const std::string& text) { return text.empty() ? "" : " (" + text + ")"; }

std::string who(const Result& r, const Label& label) {
  const std::string where = label(r);
  return where.empty() ? r.type : r.type + ", " + where;
}

// ---- wrong results ----

std::vector<const Result*> wrong_results(const Report& report) {
  std::vector<const Result*> wrong;
  for (const Result& r : report.results)
    if (r.check.verdict == "fail") wrong.push_back(&r);
  return wrong;
}

Lines wrong_lines(const Report& report, const Label& label) {
  const std::vector<const Result*> wrong = wrong_results(report);
  if (wrong.empty()) return {};
  const Result& first = *wrong.front();
  std::string text = "WRONG: ";
  if (wrong.size() > 1)
    text += fmt::format("{} of {} results; the first: ", wrong.size(), report.results.size());
  text += who(first, label);
  if (const Worst* worst = worst_output(first.check))
    text += ": " + verdict_line(*worst, first.workload.dtype);
  Lines lines = {text};
  if (!first.command.empty()) lines.push_back("reproduce: " + first.command);
  return lines;
}

void explain_wrong(Lines& lines, const Report& report, const Label& label) {
  for (const Result* r : wrong_results(report)) {
    for (const Worst& w : r->check.worst)
      if (!w.error_over_noise || *w.error_over_noise > w.limit)
        lines.push_back(
            fmt::format("WRONG: {}: {}", who(*r, label), verdict_line(w, r->workload.dtype)));
    if (!r->command.empty()) lines.push_back("reproduce: " + r->command);
  }
}

// ---- who is faster ----

/// A result beside another type on the same case.
struct Pair {
  const Result* result;
  const Result* rival;
  std::optional<Ratio> ratio;  ///< times as fast as the rival; absent where nothing is concluded

  Faster who() const { return ratio ? faster(*ratio) : Faster::kUnknown; }
};

/// By who is compared with whom.
std::map<std::pair<std::string, std::string>, std::vector<Pair>> pairs_of(const Report& report) {
  std::map<std::pair<std::string, std::string>, const Result*> by_type;
  for (const Result& r : report.results)
    if (r.timing && numbers_hold(r)) by_type[{r.type, key_without_type(r)}] = &r;
  std::map<std::pair<std::string, std::string>, std::vector<Pair>> pairs;
  for (const Result& r : report.results) {
    if (!r.timing || !numbers_hold(r)) continue;
    for (const std::string& type : rivals_of(r))
      if (const auto rival = by_type.find({type, key_without_type(r)}); rival != by_type.end())
        pairs[{subject_of(r), type}].push_back({&r, rival->second, speedup_over(r, type)});
  }
  return pairs;
}

/// Why nobody knows which one is faster.
std::string why_unknown(const Pair& p) {
  for (const Result* r : {p.result, p.rival})
    if (const std::string why = doubt(*r); !why.empty())
      return fmt::format("{}: {}", subject_of(*r), why);
  if (!p.ratio) return "too few samples to know their noise; raise --timeout";
  if (practically_equal(*p.ratio))
    return fmt::format("they take the same time within 2 %, {}", ratio_text(*p.ratio));
  return fmt::format(
      "the noise is larger than the difference, {}; raise --min_time, or stop other programs",
      ratio_text(*p.ratio));
}

std::string pair_line(const Pair& p, const Label& label) {
  const std::string subject = subject_of(*p.result);
  if (p.who() == Faster::kUnknown)
    return fmt::format("cannot tell whether {} or {} is faster{}: {}", subject, p.rival->type,
                       in_brackets(label(*p.result)), why_unknown(p));
  return fmt::format("{} is {} than {}{}: {} as fast, {} against {}", subject,
                     p.who() == Faster::kDenominator ? "faster" : "slower", p.rival->type,
                     in_brackets(label(*p.result)), ratio_text(*p.ratio),
                     human_seconds(p.result->timing->median),
                     human_seconds(p.rival->timing->median));
}

/// "flash is faster than normal in 6 of 8 cases: 1.10x [1.05, 1.15] (...) to 2.30x [...] (...)".
std::string tally_line(std::vector<Pair> group, std::size_t all, const Label& label) {
  const Pair& some = group.front();
  const std::string cases = group.size() == all ? fmt::format("all {} cases", all)
                                                : fmt::format("{} of {} cases", group.size(), all);
  if (some.who() == Faster::kUnknown)
    return fmt::format("cannot tell whether {} or {} is faster in {}; {}: {}",
                       subject_of(*some.result), some.rival->type,
                       group.size() == all ? fmt::format("any of {} cases", all) : cases,
                       label(*some.result), why_unknown(some));
  std::sort(group.begin(), group.end(),
            [](const Pair& a, const Pair& b) { return a.ratio->value < b.ratio->value; });
  const auto extreme = [&](const Pair& p) {
    return ratio_text(*p.ratio) + in_brackets(label(*p.result));
  };
  std::string text = fmt::format("{} is {} than {} in {}: {}", subject_of(*some.result),
                                 some.who() == Faster::kDenominator ? "faster" : "slower",
                                 some.rival->type, cases, extreme(group.front()));
  if (group.size() > 1) text += " to " + extreme(group.back());
  return text + " as fast";
}

Lines comparison_lines(const Report& report, const Label& label) {
  Lines lines;
  for (const auto& [who, pairs] : pairs_of(report)) {
    if (pairs.size() == 1) {
      lines.push_back(pair_line(pairs.front(), label));
      continue;
    }
    for (const Faster outcome : {Faster::kDenominator, Faster::kNumerator, Faster::kUnknown}) {
      std::vector<Pair> group;
      for (const Pair& p : pairs)
        if (p.who() == outcome) group.push_back(p);
      if (!group.empty()) lines.push_back(tally_line(group, pairs.size(), label));
    }
  }
  return lines;
}

// ---- sweeps over a length ----

std::string series_or(const std::string& series, const std::string& pass,
                      const std::string& dtype) {
  return series.empty() ? pass + ", " + dtype : series;
}

Lines crossover_lines(const Summary& summary) {
  Lines lines;
  for (const Crossover& c : summary.crossover.value_or(std::vector<Crossover>{}))
    lines.push_back(fmt::format("{} overtakes {} between {} = {:.0f} and {:.0f} ({})", c.above,
                                c.below, c.parameter, c.between[0], c.between[1],
                                series_or(c.series, c.pass, c.dtype)));
  return lines;
}

Lines lead_lines(const Summary& summary) {
  Lines lines;
  for (const Lead& l : summary.lead)
    lines.push_back(fmt::format(
        "{} is faster than {} at every length measured, {} {:.0f} to {:.0f}: {:.2f}x to "
        "{:.2f}x, all within {} ({})",
        l.faster, l.slower, l.parameter, l.from, l.to, l.ratio[0], l.ratio[1],
        interval_text({l.ratio[0], l.interval}), l.series));
  return lines;
}

Lines memory_lines(const Summary& summary) {
  Lines lines;
  for (const MemoryLimit& m : summary.memory_limit)
    lines.push_back(fmt::format("{} {} into memory at {} = {:.0f} ({}: {}){}", m.type,
                                m.predicted ? "would no longer fit" : "no longer fits", m.parameter,
                                m.exceeds, series_or(m.series, m.pass, m.dtype), m.reason,
                                m.fits ? fmt::format("; {:.0f} fits", *m.fits) : ""));
  return lines;
}

/// The first, and how many more there are.
void add_first(Lines& lines, const Lines& more) {
  if (more.empty()) return;
  lines.push_back(
      more.front() +
      (more.size() == 1 ? "" : fmt::format("; {} more such with --explain", more.size() - 1)));
}

// ---- shares of the peak ----

/// "flash reaches 88 %, normal 85 % of the machine's fastest arithmetic".
std::string share_line(const Report& report) {
  std::map<std::string, std::vector<double>> shares;
  std::set<std::string> bounds;
  for (const Result& r : report.results)
    if (r.pct_peak && conclusive(r)) {
      shares[subject_of(r)].push_back(*r.pct_peak);
      bounds.insert(r.bound.value_or(""));
    }
  if (shares.empty()) return "";
  Lines parts;
  for (const auto& [type, of] : shares) {
    const auto [least, most] = std::minmax_element(of.begin(), of.end());
    std::string range = fmt::format("{:.0f} %", *most);
    if (fmt::format("{:.0f} %", *least) != range)
      range = fmt::format("{:.0f} to {}", *least, range);
    parts.push_back(type + (parts.empty() ? " reaches " : " ") + range);
  }
  const std::string limit = bounds.size() > 1 ? "of what limits it here, arithmetic or memory"
                            : bounds.contains("memory")
                                ? "of the speed at which this machine reads memory"
                                : "of this machine's fastest arithmetic";
  return fmt::format("{} {}", fmt::join(parts, ", "), limit);
}

std::string cached_line(const Report& report) {
  const bool any = std::any_of(report.results.begin(), report.results.end(), [](const Result& r) {
    return r.pct_peak.value_or(0) > kMostShare && conclusive(r);
  });
  return any ? "over 100 % of the memory's speed: part of the tensors stays in the caches, which "
               "are faster (--cache cold measures without)"
             : "";
}

/// Why a table is without numbers.
std::string unverified_line(const Report& report) {
  const auto ok = [](const Result& r) { return r.status == Status::kOk; };
  const auto unverified = [](const Result& r) {
    return r.status == Status::kSkipped || r.check.level == "none";
  };
  const bool any = std::any_of(report.results.begin(), report.results.end(), ok);
  const bool all = std::all_of(report.results.begin(), report.results.end(), unverified);
  return any && all
             ? "nothing was verified (--verify none), and no number stands without a passed check: "
               "leave the flag out for numbers"
             : "";
}

/// How to read the table, for who sees one for the first time.
Lines legend(const Report& report) {
  const bool any = std::any_of(report.results.begin(), report.results.end(),
                               [](const Result& r) { return r.timing.has_value(); });
  if (!any) return {};
  Lines types;
  const auto add = [&](std::string_view type, std::string_view is) {
    const auto same = [&](const Result& r) { return r.type == type; };
    if (std::any_of(report.results.begin(), report.results.end(), same))
      types.push_back(fmt::format("{} {}", type, is));
  };
  add("flash", "never stores the scores of all queries and keys");
  add("normal", types.empty() ? "stores the scores of all queries and keys" : "stores them");
  const bool isolated = std::none_of(report.results.begin(), report.results.end(),
                                     [](const Result& r) { return r.guest && !r.guest->isolated; });
  add("plugin", isolated ? "is a plug-in's kernel in a process of its own"
                         : "is a plug-in's kernel in this program's process");
  add("worker", "is another program's");
  add("paper", "is FlashAttention-1 as published, in plain C++");
  return {
      "how to read it: ±, and [ ], are 95 % intervals; min–max are samples; \"of peak\" is of the "
      "fastest arithmetic "
      "(compute) or memory reads (memory) measured here; \"peak mem\" is of one call alone: "
      "inputs, outputs, workspace; \"check\" is the largest error in units of expected rounding "
      "(limit 2x)",
      fmt::format("{}; b is the batch, h heads, then queries x keys, d the head dimension",
                  fmt::join(types, ", "))};
}

}  // namespace

std::vector<std::string> summary_lines(const Report& report, const Label& label) {
  Lines lines = wrong_lines(report, label);
  for (std::string& line : comparison_lines(report, label)) lines.push_back(std::move(line));
  add_first(lines, crossover_lines(report.summary));
  add_first(lines, memory_lines(report.summary));
  for (std::string line : {share_line(report), cached_line(report), unverified_line(report)})
    if (!line.empty()) lines.push_back(std::move(line));
  if (lines.size() > kSummaryLines) {
    const std::size_t more = lines.size() - (kSummaryLines - 1);
    lines.resize(kSummaryLines - 1);
    lines.push_back(fmt::format("{} more lines with --explain", more));
  }
  for (std::string& line : legend(report))
    if (lines.size() < kSummaryLines) lines.push_back(std::move(line));
  return lines;
}

std::vector<std::string> explanation_lines(const Report& report, const Label& label) {
  Lines lines;
  explain_wrong(lines, report, label);
  for (const auto& [names, pairs] : pairs_of(report))
    if (pairs.size() > 1)
      for (const Pair& p : pairs) lines.push_back(pair_line(p, label));
  for (const Lines& more : {comparison_lines(report, label), crossover_lines(report.summary),
                            lead_lines(report.summary), memory_lines(report.summary)})
    lines.insert(lines.end(), more.begin(), more.end());
  for (std::string line : {share_line(report), cached_line(report)})
    if (!line.empty()) lines.push_back(std::move(line));
  std::string last_io;  // the same for all types
  for (const Result& r : report.results) {
    if (r.why) lines.push_back(fmt::format("{}: {}", who(r, label), *r.why));
    if (const std::string io = io_text(r); !io.empty() && r.timing && io != last_io)
      lines.push_back(label(r).empty() ? io : fmt::format("{}: {}", label(r), io));
    last_io = io_text(r);
    if (r.energy_j && r.gflop_per_j)
      lines.push_back(fmt::format("{}: a call takes {} J of energy, {} GFLOP for a joule",
                                  who(r, label), digits(*r.energy_j, 3),
                                  digits(*r.gflop_per_j, 3)));
  }
  return lines;
}

}  // namespace flashbench::report
