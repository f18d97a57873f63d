#include "compare/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "compare/differences.h"
#include "compare/looks.h"
#include "core/enumerators.h"
#include "measure/disturbance.h"
#include "measure/statistics.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::compare {
namespace {

using report::Report;
using report::Result;
using report::Status;

bool has_number(const Result& r) {
  return report::numbers_hold(r) && r.timing && r.timing->median > 0 &&
         std::all_of(r.timing->times.begin(), r.timing->times.end(),
                     [](double t) { return t > 0; });
}

/// Why a result has no number.
std::string reason_of(const Result& r) {
  if (r.reason) return *r.reason;
  if (r.status != Status::kOk) return std::string(report::name(r.status));
  return r.check.verdict == "pass" ? "no samples" : r.check.verdict;
}

/// Which case it is; what was measured stays behind.
Result identity(const Result& r) {
  Result id = r;
  id.timing.reset();
  id.calibration.reset();
  id.phases.reset();
  id.warnings.clear();
  id.check.worst.clear();
  return id;
}

/// A case that can be compared only if `outcome` says so.
ComparedCase classified(const Pair& pair) {
  const Result& base = *pair.base;
  const Result& fresh = *pair.fresh;
  ComparedCase c;
  c.result = identity(base);
  if (fresh.check.verdict == "fail") {
    c.outcome = Outcome::kWrong;
    c.reason = fresh.reason.value_or("wrong result");
  } else if (fresh.status == Status::kFailed) {
    c.outcome = Outcome::kFailed;
    c.reason = reason_of(fresh);
  } else if (has_number(base) && has_number(fresh)) {
    c.base_s = base.timing->median;
    c.new_s = fresh.timing->median;
    c.rounds = std::min(base.timing->times.size(), fresh.timing->times.size());
  } else {
    c.outcome = has_number(base)    ? Outcome::kMissing
                : has_number(fresh) ? Outcome::kAdded
                                    : Outcome::kNothing;
    c.reason = has_number(fresh) ? fmt::format("base: {}", reason_of(base))
                                 : fmt::format("new: {}", reason_of(fresh));
  }
  return c;
}

/// A case that one side lacks altogether.
ComparedCase unmatched(const Result& r, Outcome if_number, std::string_view where) {
  ComparedCase c;
  c.result = identity(r);
  c.on_both_sides = false;
  c.outcome = has_number(r) ? if_number : Outcome::kNothing;
  c.reason = fmt::format("only in {}", where);
  if (!has_number(r)) c.reason += fmt::format(", {}", reason_of(r));
  if (if_number == Outcome::kAdded && (r.check.verdict == "fail" || r.status == Status::kFailed))
    c.outcome = r.check.verdict == "fail" ? Outcome::kWrong : Outcome::kFailed;
  return c;
}

std::optional<Spread> stored_spread(const Result& r) {
  if (!r.calibration || r.calibration->medians.size() < 2) return std::nullopt;
  return Spread{r.calibration->spread, static_cast<int>(r.calibration->medians.size()) - 1};
}

/// What two runs add. A side without a calibration is taken to be like the other one.
Spread spread_between(const Pair& pair) {
  const std::optional<Spread> base = stored_spread(*pair.base), fresh = stored_spread(*pair.fresh);
  if (base && fresh) return combined(*base, *fresh);
  const std::optional<Spread> known = base ? base : fresh;
  if (known) return {known->sigma * std::sqrt(2.0), known->dof};
  return combined({kAssumedSpread, kKnown}, {kAssumedSpread, kKnown});
}

std::vector<double> log_ratios(const std::vector<double>& base, const std::vector<double>& fresh) {
  std::vector<double> out;
  for (std::size_t i = 0; i < std::min(base.size(), fresh.size()); ++i)
    out.push_back(std::log(fresh[i] / base[i]));
  return out;
}

/// Why nothing is concluded from a pair that has numbers (report::conclusive): others took the
/// processors in so many samples that the rest says nothing, say; "" where something is.
std::string doubt(const Pair& pair) {
  const bool base = pair.base->timing->disturbed, fresh = pair.fresh->timing->disturbed;
  if (!base && !fresh) {
    const std::string of_base = report::doubt(*pair.base), of_new = report::doubt(*pair.fresh);
    if (!of_base.empty()) return "base: " + of_base;
    return of_new.empty() ? "" : "new: " + of_new;
  }
  return fmt::format("{} disturbed by other programs", base && fresh ? "both sides were"
                                                       : base        ? "base was"
                                                                     : "new was");
}

/// Of the rounds in which neither was disturbed.
std::vector<double> log_ratios_of_rounds(const report::Timing& base, const report::Timing& fresh) {
  const auto marked = [](const report::Timing& t, std::size_t i) {
    return i < t.lost.size() && measure::is_disturbed(t.lost[i]);
  };
  std::vector<double> base_s, new_s;
  for (std::size_t i = 0; i < std::min(base.times.size(), fresh.times.size()); ++i) {
    if (marked(base, i) || marked(fresh, i)) continue;
    base_s.push_back(base.times[i]);
    new_s.push_back(fresh.times[i]);
  }
  return log_ratios(base_s, new_s);
}

Evidence evidence_of(const Pair& pair, ComparedCase& c) {
  c.reason = doubt(pair);
  if (!c.reason.empty()) return Evidence::none(c.base_s, c.new_s);
  const report::Timing &base_timing = *pair.base->timing, &new_timing = *pair.fresh->timing;
  const bool one_report = !c.change.empty();
  if (one_report && interleaved(pair)) {
    const std::vector<double> ratios = log_ratios_of_rounds(base_timing, new_timing);
    c.rounds = ratios.size();
    return ratios.empty() ? Evidence::none(c.base_s, c.new_s)
                          : Evidence::from_rounds(ratios, usual_block(ratios.size()));
  }
  const std::vector<double> base =
      measure::undisturbed_of(base_timing.times, base_timing.lost).times_s;
  const std::vector<double> fresh =
      measure::undisturbed_of(new_timing.times, new_timing.lost).times_s;
  c.rounds = std::min(base.size(), fresh.size());
  c.between = spread_between(pair);
  c.drift = drift_between(pair);
  return Evidence::from_runs(base, fresh, *c.between, c.drift->shift);
}

/// Of the ratios that have an interval; the means of its ends hold it.
void add_geometric_mean(Comparison& all) {
  double sum = 0, low = 0, high = 0, n = 0;
  for (const ComparedCase& c : all.cases) {
    if (!judged(c)) continue;
    ++n;
    sum += std::log(c.ratio);
    low += std::log(c.decision.interval.low);
    high += std::log(c.decision.interval.high);
  }
  if (n == 0) return;
  all.geometric_mean = std::exp(sum / n);
  all.geometric_mean_interval = {std::exp(low / n), std::exp(high / n)};
}

/// Ratio, interval and verdict of everything that can be compared.
void conclude(Comparison& all, std::span<const Evidence> evidence) {
  const std::vector<Decision> decisions = decide(evidence, all.rule.threshold, all.rule.alpha);
  std::size_t next = 0;
  for (ComparedCase& c : all.cases) {
    if (c.outcome != Outcome::kCompared) continue;
    c.ratio = evidence[next].ratio();
    c.decision = decisions[next++];
    if (!c.reason.empty()) continue;
    if (c.decision.verdict != Verdict::kAmbiguous) continue;
    if (c.rounds < Evidence::kLeastResampled)
      c.reason = fmt::format("only {} round{}", c.rounds, c.rounds == 1 ? "" : "s");
    else if (c.drift)
      c.reason = fmt::format("{}", fmt::join(c.drift->reasons, "; "));
  }
  add_geometric_mean(all);
}

void compare_pairs(Comparison& all, std::span<const Pair> pairs,
                   const std::function<std::string(const Pair&)>& change) {
  std::vector<Evidence> evidence;
  for (const Pair& pair : pairs) {
    ComparedCase c = classified(pair);
    c.change = change(pair);
    if (c.outcome == Outcome::kCompared) evidence.push_back(evidence_of(pair, c));
    all.cases.push_back(std::move(c));
  }
  conclude(all, evidence);
}

std::string guest_text(const Result& r) {
  constexpr std::size_t kDigits = 12;  // of a digest; enough to see that two differ
  const std::string called = r.plugin.value_or("") + r.worker.value_or("");
  const std::string of =
      r.guest->sha256 ? "sha256 " + r.guest->sha256->substr(0, kDigits) : r.guest->build;
  return of.empty() ? called : fmt::format("{} ({})", called, of);
}

Side side(const std::string& name, const Report& report) {
  Side s{name, report.tool, report.context, report.started_at, {}};
  for (const Result& r : report.results)
    if (r.guest) s.guests.insert(guest_text(r));
  return s;
}

/// Says where the spread between two runs comes from.
void note_spread(Comparison& all, std::span<const Pair> pairs) {
  bool unknown = false;
  for (std::size_t i = 0; i < pairs.size(); ++i)
    unknown = unknown || (all.cases[i].between && !stored_spread(*pairs[i].base) &&
                          !stored_spread(*pairs[i].fresh));
  all.spread_is_assumed = unknown;
  if (unknown)
    all.notes.push_back(fmt::format(
        "no calibration is stored: runs of the same build are assumed to differ by {:g} % "
        "(standard deviation); `flashbench bench --calibrate` measures it, `compare --run` needs "
        "none",
        100 * kAssumedSpread));
}

}  // namespace

std::string_view verdict_name(const ComparedCase& c) {
  switch (c.outcome) {
    case Outcome::kWrong:
      return "WRONG";
    case Outcome::kFailed:
      return "FAILED";
    case Outcome::kMissing:
      return "MISSING";
    case Outcome::kAdded:
      return "ADDED";
    case Outcome::kNothing:
      return "NONE";
    case Outcome::kCompared:
      return name(c.decision.verdict);
  }
  no_such_enumerator();
}

std::size_t count(const Comparison& c, std::string_view verdict) {
  return static_cast<std::size_t>(
      std::count_if(c.cases.begin(), c.cases.end(),
                    [&](const ComparedCase& one) { return verdict_name(one) == verdict; }));
}

bool judged(const ComparedCase& c) {
  return c.outcome == Outcome::kCompared &&
         (c.decision.interval.low > 0 || std::isfinite(c.decision.interval.high));
}

Comparison compare_reports(const std::string& base_name, const Report& base,
                           const std::string& new_name, const Report& fresh, const Rule& rule) {
  Comparison all;
  all.rule = rule;
  all.base = side(base_name, base);
  all.fresh = side(new_name, fresh);
  all.notes = differences(all.base, all.fresh);
  const Matching matching = match(base, fresh);
  compare_pairs(all, matching.both, [](const Pair&) { return std::string(); });
  note_spread(all, matching.both);
  for (const Result* r : matching.only_base)
    all.cases.push_back(unmatched(*r, Outcome::kMissing, base_name));
  for (const Result* r : matching.only_new)
    all.cases.push_back(unmatched(*r, Outcome::kAdded, new_name));
  return all;
}

Comparison compare_by(const std::string& name, const Report& report, std::string_view field,
                      const Rule& rule) {
  Comparison all;
  std::vector<Pair> pairs = match_by(report, field);
  if (pairs.empty() && field == "dtype") {
    pairs = match_by(report, field, {.and_isa = true});
    if (!pairs.empty())
      all.notes.push_back("each dtype at its own ISA level: --isa computes them at one");
  }
  if (pairs.empty())
    throw UsageError(fmt::format("{}: no two cases differ in {} and in nothing else{}", name, field,
                                 nearest_text(report, field)));
  all.rule = rule;
  all.base = all.fresh = side(name, report);
  all.by = field;
  compare_pairs(all, pairs, [&](const Pair& pair) {
    return fmt::format("{} -> {}", field_value(*pair.base, field), field_value(*pair.fresh, field));
  });
  for (ComparedCase& c : all.cases) c.result = without_field(std::move(c.result), field);
  note_spread(all, pairs);
  return all;
}

namespace {

/// One case over all rounds.
struct Series {
  Pair first;  ///< of the first round that has both
  Pair worst;  ///< a round whose new result is wrong or failed
  std::vector<double> base_s, new_s;
  std::size_t disturbed = 0;  ///< rounds that are not among them
};

/// The cases of all rounds by key, in the order of the first.
std::vector<Series> series_of(std::span<const Report> base, std::span<const Report> fresh) {
  std::vector<Series> all;
  std::map<std::string, std::size_t> place;
  for (std::size_t round = 0; round < std::min(base.size(), fresh.size()); ++round) {
    std::map<std::string, int> seen;
    for (const Pair& pair : match(base[round], fresh[round]).both) {
      const std::string key = report::case_key(*pair.base);
      const std::string nth = fmt::format("{}#{}", key, seen[key]++);
      const auto [at, is_new] = place.emplace(nth, all.size());
      if (is_new) all.push_back({pair, {}, {}, {}, 0});
      Series& s = all[at->second];
      const Outcome outcome = classified(pair).outcome;
      if (outcome == Outcome::kWrong || outcome == Outcome::kFailed) s.worst = pair;
      if (outcome != Outcome::kCompared) continue;
      if (s.base_s.empty()) s.first = pair;
      if (!doubt(pair).empty()) {
        ++s.disturbed;
        continue;
      }
      s.base_s.push_back(pair.base->timing->median);
      s.new_s.push_back(pair.fresh->timing->median);
    }
  }
  return all;
}

}  // namespace

std::optional<double> round_spread(std::span<const Report> base, std::span<const Report> fresh) {
  std::optional<double> most;
  for (const Series& s : series_of(base, fresh))
    if (s.base_s.size() > 1)
      most = std::max(most.value_or(0), measure::summarize(log_ratios(s.base_s, s.new_s)).stddev);
  return most;
}

Rule rule_at(const Rule& rule) { return {rule.threshold, rule.alpha / kLooks}; }

Comparison compare_rounds(const std::string& base_name, std::span<const Report> base,
                          const std::string& new_name, std::span<const Report> fresh,
                          const Rule& rule) {
  Comparison all;
  all.rule = rule;
  all.base = side(base_name, base.front());
  all.fresh = side(new_name, fresh.front());
  all.notes = differences(all.base, all.fresh);
  std::vector<Evidence> evidence;
  for (const Series& s : series_of(base, fresh)) {
    ComparedCase c = classified(s.worst.base != nullptr ? s.worst : s.first);
    if (c.outcome == Outcome::kCompared) {
      c.rounds = s.base_s.size();
      if (s.base_s.empty()) {
        const bool rose = s.first.base->rises != false && s.first.fresh->rises != false;
        c.reason = rose ? fmt::format("other programs disturbed all {} rounds", s.disturbed)
                        : doubt(s.first);
        evidence.push_back(Evidence::none(c.base_s, c.new_s));
      } else {
        c.base_s = measure::median(s.base_s);
        c.new_s = measure::median(s.new_s);
        // Fresh processes depend on each other no more than drift makes them.
        evidence.push_back(Evidence::from_rounds(log_ratios(s.base_s, s.new_s), 1));
      }
    }
    all.cases.push_back(std::move(c));
  }
  conclude(all, evidence);
  const Matching first = match(base.front(), fresh.front());
  for (const Result* r : first.only_base)
    all.cases.push_back(unmatched(*r, Outcome::kMissing, base_name));
  for (const Result* r : first.only_new)
    all.cases.push_back(unmatched(*r, Outcome::kAdded, new_name));
  return all;
}

}  // namespace flashbench::compare
