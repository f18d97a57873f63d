#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// What keeps the numbers of two runs out of one report: another machine, another build. One phrase
/// each, such as "host a, now b"; empty when nothing does.
std::vector<std::string> setup_differences(const Report& then, const Report& now);

/// Whether equal versions may still hide different programs: built from files that no commit has.
bool same_build_is_certain(const Report& then, const Report& now);

/// What a run that was cut short has left, for the run that completes it.
class EarlierRun {
 public:
  explicit EarlierRun(Report report) : report_(std::move(report)) {}

  /// The result of the case that `wanted` names, if it is done: its numbers hold, or it ran
  /// unverified and `unverified_counts`. Asked for once per case: from then on the case belongs to
  /// the new run, and rest() no longer has it.
  std::optional<Result> take(const Result& wanted, bool unverified_counts);

  /// The plug-ins and workers that were something else then, as far as take() has been asked: their
  /// results are not done.
  const std::set<std::string>& replaced() const { return replaced_; }

  /// The results that nobody asked for yet, in their order.
  const std::vector<Result>& rest() const { return report_.results; }

  /// Peaks of both runs; where both have one, that of the new run.
  std::vector<Peak> with_earlier_peaks(std::vector<Peak> peaks) const;

  const std::string& started_at() const { return report_.started_at; }

  /// "host a, flashbench 0.1.0 (1234abcd)"
  std::string setup() const;

 private:
  Report report_;
  std::set<std::string> replaced_;
};

/// FILE.partial if there is one, which is younger than FILE, else FILE. Throws UsageError when
/// there is neither.
std::string find_resumable(const std::string& file);

/// FILE, when it names FILE.partial.
std::string without_partial(const std::string& file);

}  // namespace flashbench::report
