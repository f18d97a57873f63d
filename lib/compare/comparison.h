#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compare/drift.h"
#include "compare/match.h"
#include "compare/verdict.h"
#include "report/record.h"

namespace flashbench::compare {

/// When a difference counts, and how often a comparison may err.
struct Rule {
  double threshold = 0.03;  ///< t: ratios from 1 / (1 + t) to 1 + t are the same
  double alpha = 0.05;      ///< over all cases together
};

/// Without a calibration two files say nothing of what a run itself adds, and this much is assumed:
/// the standard deviation of ln(median) from run to run on a shared machine.
inline constexpr double kAssumedSpread = 0.05;

enum class Outcome {
  kCompared,  ///< both sides have a number: see Decision
  kWrong,     ///< the new result is wrong
  kFailed,    ///< the new case failed at run time
  kMissing,   ///< base has a number and new has none
  kAdded,     ///< new has a number and base has none
  kNothing,   ///< neither has one
};

struct ComparedCase {
  report::Result result;  ///< which case it is: base's, without its samples
  std::string change;     ///< "avx2 -> avx512" between the cases of one report; else ""
  Outcome outcome = Outcome::kCompared;
  bool on_both_sides = true;
  std::string reason;  ///< for all but kCompared; of AMBIGUOUS where there is more to say

  // Of kCompared:
  double base_s = 0, new_s = 0;  ///< medians
  std::size_t rounds = 0;        ///< samples of the side that has fewer, or rounds of processes
  double ratio = 1;              ///< new over base
  Decision decision;
  std::optional<Spread> between;  ///< what the two runs add, where it was taken into account
  std::optional<Drift> drift;     ///< likewise, what the machine changed between them
};

/// "SLOWER", ..., or "WRONG", "FAILED", "MISSING", "ADDED", "NONE".
std::string_view verdict_name(const ComparedCase& c);

/// One side of a comparison, for the reader.
struct Side {
  std::string name;  ///< a path
  report::Tool tool;
  report::Context context;
  std::string started_at;
  /// Each guest once: how it was called, its file's digest or what it says of its build.
  std::set<std::string> guests;
};

struct Comparison {
  Rule rule;
  Side base, fresh;
  std::string by;  ///< the field, between the cases of one report; else ""
  std::vector<ComparedCase> cases;
  std::optional<double> geometric_mean;  ///< of the ratios of what was judged()
  Interval geometric_mean_interval;      ///< that of their intervals' ends, which holds it
  std::vector<std::string> notes;        ///< what differs between the sides, and what was assumed
  bool spread_is_assumed = false;        ///< of some case no run measured it
  std::optional<double> aa_spread;       ///< of rounds of base against itself, in logarithms
};

/// Something is known of its ratio, be it that it is AMBIGUOUS.
bool judged(const ComparedCase& c);

/// How many cases have this verdict_name().
std::size_t count(const Comparison& c, std::string_view verdict);

/// Base against new, one run each. The names are what the reader knows the reports by.
Comparison compare_reports(const std::string& base_name, const report::Report& base,
                           const std::string& new_name, const report::Report& fresh,
                           const Rule& rule);

/// The cases of one report that differ in one field. Throws UsageError where no two do.
Comparison compare_by(const std::string& name, const report::Report& report, std::string_view field,
                      const Rule& rule);

/// Rounds of fresh processes: base[i] ran next to fresh[i]. At least one round.
Comparison compare_rounds(const std::string& base_name, std::span<const report::Report> base,
                          const std::string& new_name, std::span<const report::Report> fresh,
                          const Rule& rule);

}  // namespace flashbench::compare
