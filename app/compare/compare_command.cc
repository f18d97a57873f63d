#include "app/compare/compare_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/compare/compare_programs.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/streams.h"
#include "compare/comparison.h"
#include "compare/evidence.h"
#include "compare/render.h"
#include "report/json.h"
#include "system/atomic_file.h"
#include "system/error.h"
#include "system/interrupt.h"

namespace flashbench::app {
namespace {

void put(const std::string& path, const std::string& text) {
  if (path == "-")
    print_data(text);
  else if (!path.empty())
    write_file_atomically(path, text);
}

void show(const compare::Comparison& c, const CompareRequest& request, LastOutputs& outputs) {
  outputs.attempt([&] { put(request.json, compare::json_text(c, request.argv)); });
  outputs.attempt([&] { put(request.md, compare::markdown_text(c)); });
  const bool stdout_taken = request.json == "-" || request.md == "-";
  (stdout_taken ? print_err : print_out)(folded(compare::table_text(c, table_width())));
}

/// Nothing has a number on both sides: why, and what to do.
std::string why_nothing_compared(const compare::Comparison& c) {
  const auto both = std::find_if(c.cases.begin(), c.cases.end(),
                                 [](const auto& one) { return one.on_both_sides; });
  if (both == c.cases.end())
    return fmt::format(
        "nothing was compared: no case of {} is also in {}; give both runs the same flags, or "
        "compare the cases of one report with --by FIELD",
        c.base.name, c.fresh.name);
  return fmt::format(
      "nothing was compared: no case has a number on both sides ({}); bench gives one to what "
      "runs and passes its check",
      both->reason);
}

/// "" where at least one case could be judged.
std::string why_no_verdict(const compare::Comparison& c) {
  if (std::any_of(c.cases.begin(), c.cases.end(), compare::judged)) return "";
  const auto compared = [](const auto& one) { return one.outcome == compare::Outcome::kCompared; };
  if (std::none_of(c.cases.begin(), c.cases.end(), compared)) return why_nothing_compared(c);
  const auto first = std::find_if(c.cases.begin(), c.cases.end(), [&](const auto& one) {
    return compared(one) && !one.reason.empty();
  });
  if (first == c.cases.end()) return "no case could be judged";
  const bool few = std::all_of(c.cases.begin(), c.cases.end(), [&](const auto& one) {
    return !compared(one) || one.rounds < compare::Evidence::kLeastResampled;
  });
  return fmt::format("no case could be judged: {}; {}", first->reason,
                     few ? "take more samples: bench with a longer --timeout (forward and backward "
                           "time one call)"
                         : "measure again while no other program runs, or let --run OLD NEW take "
                           "both in turns");
}

ExitCode exit_code(const compare::Comparison& c, const CompareRequest& request) {
  const auto any = [&](std::string_view verdict) { return compare::count(c, verdict) > 0; };
  const bool failed = any("WRONG") || any("FAILED") || (request.fail_on_slower && any("SLOWER")) ||
                      (request.fail_on_ambiguous && any("AMBIGUOUS")) ||
                      (request.fail_on_missing && any("MISSING"));
  if (failed) return ExitCode::kFailed;
  // Nothing compared, or nothing to judge by, is no success: a gate in CI must notice.
  return why_no_verdict(c).empty() ? ExitCode::kOk : ExitCode::kUnavailable;
}

compare::Comparison comparison_of(const CompareRequest& request, const compare::Rule& rule,
                                  measure::Clock& clock) {
  if (request.run) return compare_programs(request, rule, clock);
  const report::Report base = report::read_report(request.base);
  if (!request.by.empty()) return compare::compare_by(request.base, base, request.by, rule);
  const report::Report fresh = report::read_report(request.fresh);
  return compare::compare_reports(request.base, base, request.fresh, fresh, rule);
}

ExitCode run_compare(const CompareRequest& request, const Runtime& runtime) {
  std::vector<OutputLock> claimed;
  for (const std::string* path : {&request.json, &request.md}) claim_output(*path, claimed);
  const compare::Rule rule{request.threshold};
  const compare::Comparison c = comparison_of(request, rule, runtime.clock);
  LastOutputs outputs;
  show(c, request, outputs);
  const ExitCode code = exit_code(c, request);
  if (const std::string why = why_no_verdict(c); !why.empty())
    print_err(fmt::format(
        "flashbench: {}{}\n", why,
        code == ExitCode::kUnavailable ? "; exit code 3, which is neither pass nor fail" : ""));
  return interrupted() ? interrupted_code() : outputs.code(code);
}

}  // namespace

const Command& compare_command() {
  using enum FlagSet;
  static const Command command{
      .name = "compare",
      .summary = "two reports, or two programs in turn: SLOWER, FASTER, SAME or AMBIGUOUS",
      .more =
          "  flashbench compare BASE.json NEW.json\n"
          "  flashbench compare REPORT.json --by isa\n"
          "  flashbench compare --run OLD_PROGRAM NEW_PROGRAM -- flags of bench\n"
          "\n"
          "A ratio of medians, new over base, with an interval that holds for all cases together\n"
          "(95 %, Holm). A verdict needs the whole interval on one side of the threshold; noise\n"
          "makes it AMBIGUOUS. Two reports cannot show what the machine did between them: store\n"
          "it with bench --calibrate, or use --run, which interleaves both programs in rounds of\n"
          "fresh processes and goes on while a case is AMBIGUOUS.\n"
          "\n"
          "Exit 1: a case is SLOWER (or what --fail_on names), a new result is wrong or failed.\n"
          "Exit 3: no case could be compared, or none could be judged: the reason is printed.\n"
          "\n"
          "Examples:\n"
          "  flashbench compare base.json new.json --fail_on slower,missing --md comment.md\n"
          "  flashbench compare sweep.json --by type\n"
          "  flashbench compare --run build/old/flashbench build/new/flashbench -- --q_len 1k --d "
          "64\n",
      .takes = {kEvery, kTables, kCompare, kGates},
      .takes_operands = true,
      .run = [](const CommandLine& line, const Runtime& runtime) {
        return run_compare(compare_request(line), runtime);
      }};
  return command;
}

}  // namespace flashbench::app
