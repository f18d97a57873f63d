#include "app/compare/compare_programs.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "app/process/fresh_run.h"
#include "app/terminal/streams.h"
#include "compare/looks.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

namespace fs = std::filesystem;

constexpr int kCalibrationRounds = 3;
constexpr double kCalibrationShare = 0.25;  // of --timeout; one round is always run

/// A name without a slash is looked for in PATH, by the system.
void require_program(const std::string& path) {
  if (path.find('/') == std::string::npos) return;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const char* problem = !fs::exists(status)            ? "does not exist"
                        : !fs::is_regular_file(status) ? "is not a program"
                        : (status.permissions() & fs::perms::others_exec) == fs::perms::none &&
                                (status.permissions() & fs::perms::owner_exec) == fs::perms::none
                            ? "is not executable"
                            : nullptr;
  if (problem != nullptr)
    throw UsageError(
        fmt::format("--run {} {}; name a flashbench that was built", quote(path), problem));
}

/// The cases that a program would run; nullopt where it does not say, since it is older or broken,
/// which its first round will tell.
std::optional<std::set<std::string>> planned(const std::string& program,
                                             std::vector<std::string> flags) {
  flags.emplace_back("--dry_run");
  try {
    std::set<std::string> keys;
    for (const report::Result& r : fresh_run(program, flags).results)
      keys.insert(report::case_key(r));
    return keys;
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

/// Two programs that have no case in common (another default ISA level, say) need no round.
void require_common_cases(const CompareRequest& request, const std::vector<std::string>& flags) {
  const auto base = planned(request.base, flags);
  const auto fresh = base ? planned(request.fresh, flags) : std::nullopt;
  if (!fresh || base->empty() || fresh->empty()) return;
  for (const std::string& key : *fresh)
    if (base->contains(key)) return;
  throw UnavailableError(fmt::format(
      "nothing to compare: no case of {} is one of {} (another ISA level, kernel or number of "
      "threads?); compare two levels of one program with --by isa",
      quote(request.fresh), quote(request.base)));
}

/// Two programs, one fresh process of each a round; who goes first changes from round to round.
class Rounds {
 public:
  Rounds(std::string base, std::string fresh, std::vector<std::string> flags)
      : base_(std::move(base)), fresh_(std::move(fresh)), flags_(std::move(flags)) {}

  void run_one() {
    const bool base_first = base_reports.size() % 2 == 0;
    report::Report first = fresh_run(base_first ? base_ : fresh_, flags_);
    report::Report second = fresh_run(base_first ? fresh_ : base_, flags_);
    base_reports.push_back(std::move(base_first ? first : second));
    fresh_reports.push_back(std::move(base_first ? second : first));
  }
  int count() const { return static_cast<int>(base_reports.size()); }

  std::vector<report::Report> base_reports, fresh_reports;

 private:
  std::string base_, fresh_;
  std::vector<std::string> flags_;
};

/// The machine's own noise: the old program against itself.
std::optional<double> calibrate(const CompareRequest& request, measure::Clock& clock,
                                const std::vector<std::string>& flags) {
  Rounds rounds(request.base, request.base, flags);
  const double end_s = clock.now_s() + kCalibrationShare * request.timeout_s;
  for (int i = 0; i < kCalibrationRounds && (i == 0 || clock.now_s() < end_s); ++i) {
    say(fmt::format("calibrating: round {} of {}", i + 1, kCalibrationRounds));
    rounds.run_one();
  }
  return compare::round_spread(rounds.base_reports, rounds.fresh_reports);
}

}  // namespace

compare::Comparison compare_programs(const CompareRequest& request, const compare::Rule& rule,
                                     measure::Clock& clock) {
  require_program(request.base);
  require_program(request.fresh);
  const std::vector<std::string> flags = brief(request.flags);
  require_common_cases(request, flags);
  const double end_s = clock.now_s() + request.timeout_s;
  const std::optional<double> aa_spread = calibrate(request, clock, flags);

  Rounds rounds(request.base, request.fresh, flags);
  compare::Comparison c;
  const double began_s = clock.now_s();
  for (int look = 0; look < compare::kLooks; ++look) {
    bool over = false;
    while (rounds.count() < compare::rounds_at(look) && !over) {
      say(fmt::format("round {} of {} before look {} of {}", rounds.count() + 1,
                      compare::rounds_at(look), look + 1, compare::kLooks));
      try {
        rounds.run_one();
      } catch (const Interrupted&) {
        if (rounds.count() == 0) throw;
        over = true;
      }
      const double round_s = (clock.now_s() - began_s) / rounds.count();
      over = over || clock.now_s() + round_s > end_s;
    }
    c = compare::compare_rounds(request.base, rounds.base_reports, request.fresh,
                                rounds.fresh_reports, compare::rule_at(rule));
    if (over || compare::count(c, "AMBIGUOUS") == 0) {
      if (over && compare::count(c, "AMBIGUOUS") > 0)
        c.notes.push_back(fmt::format("{} after {} rounds",
                                      interrupted() ? "interrupted" : "the time was over",
                                      rounds.count()));
      break;
    }
  }
  say("");
  c.rule = rule;
  c.aa_spread = aa_spread;
  c.notes.push_back(fmt::format("rounds of fresh processes: {} each, in turn; flags: {}",
                                rounds.count(), fmt::join(flags, " ")));
  return c;
}

}  // namespace flashbench::app
