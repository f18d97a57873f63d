#include "app/check/check_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "app/case/dry_run.h"
#include "app/case/memory.h"
#include "app/case/references.h"
#include "app/case/results.h"
#include "app/check/check_chain.h"
#include "app/check/check_external.h"
#include "app/check/check_report.h"
#include "app/check/check_suite.h"
#include "app/check/forward_alone.h"
#include "app/check/over_ranks.h"
#include "app/check/verify_case.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/progress.h"
#include "app/terminal/streams.h"
#include "core/work.h"
#include "data/input_files.h"
#include "data/inputs.h"
#include "data/outputs.h"
#include "measure/clock.h"
#include "oracle/verify.h"
#include "system/atomic_file.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

/// `auto` goes further here than in bench: a whole reference is the point. Some seconds' worth.
constexpr double kFullBelowFlop = 5e10;
constexpr double kFullBelowDenseFlop = 8 * kFullBelowFlop;  ///< hidden pairs are passed over

VerifyLevel level_of(VerifyMode mode, const Problem& p) {
  const VerifyLevel level = oracle::choose_level(mode, p);
  if (mode != VerifyMode::kAuto || level == VerifyLevel::kFull) return level;
  const Work work = count_work(p, expected_visible(p));
  const bool fits = work.flop_visible <= kFullBelowFlop && work.flop_dense <= kFullBelowDenseFlop;
  return fits ? VerifyLevel::kFull : level;
}

/// An emulator takes up to 4 ns per FLOP: what takes it most of a minute is no case of a suite.
constexpr double kMostEmulatedFlop = 1e10;

void skip_what_is_long_to_emulate(RoutedGroup& group) {
  for (RoutedCase& c : group.cases) {
    if (!c.runs() || c.traits().has_speed) continue;
    const double flop = c.route->kernel->predicted_flop(c.request.problem, c.route->execution);
    if (flop > kMostEmulatedFlop)
      c.skipped = {Rejection::Kind::kUnsupported,
                   fmt::format("{:.1g} FLOP take the emulated device too long; the suite stops at "
                               "{:.0g}",
                               flop, kMostEmulatedFlop)};
  }
}

std::vector<sweep::Group> groups_of(const std::vector<NamedGroup>& named_groups) {
  std::vector<sweep::Group> groups;
  for (const NamedGroup& named_group : named_groups) {
    sweep::Group& group = groups.emplace_back();
    for (const NamedCase& c : named_group.cases) group.cases.push_back(c.request);
  }
  return groups;
}

std::vector<NamedGroup> selected(const CheckRequest& request, const OverRanks& ranks,
                                 const Backends& backends) {
  std::vector<NamedGroup> groups = ranks.cases(request, backends);
  for (NamedGroup& group : groups)
    std::erase_if(group.cases,
                  [&](const NamedCase& c) { return !selects(request.filter, c.name); });
  std::erase_if(groups, [](const NamedGroup& group) { return group.cases.empty(); });
  return groups;
}

/// The chain belongs to the suite unless that is narrowed to some kernels, which threads do not do,
/// or is over ranks.
std::vector<ChainCase> selected_chain(const CheckRequest& request, const OverRanks& ranks) {
  std::vector<ChainCase> cases;
  const bool narrowed = std::any_of(request.narrow.begin(), request.narrow.end(),
                                    [](const auto& setting) { return setting.first != "threads"; });
  if (!request.suite || narrowed || ranks.asked()) return cases;
  for (ChainCase& c : chain_suite())
    if (selects(request.filter, c.name)) cases.push_back(std::move(c));
  return cases;
}

class Check {
 public:
  Check(const CheckRequest& request, measure::Clock& clock) : request_(request), clock_(clock) {}

  void run(const NamedGroup& named, RoutedGroup& group, ProgressLine& progress) {
    progress.begin(static_cast<int>(checked_.size()) + 1, named.cases.front().name);
    const VerifyLevel level = level_of(request_.run.verify, group.problem);
    ExtraMemory extra;
    if (level == VerifyLevel::kFull) extra.shared = reference_bytes(group.problem);
    // What the first launch wrote is kept beside the next.
    if (request_.repeat > 1)
      extra.own = [](const RoutedCase& c) { return operand_bytes(c.request.problem).outputs; };
    skip_what_does_not_fit(group, extra);
    Inputs in;
    const std::size_t first = checked_.size();
    try {
      if (group.any_runs()) in = data::make_inputs(group.problem);
      verify_cases(named, group, in, level);
    } catch (const UsageError&) {
      throw;
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& e) {
      for (std::size_t i = checked_.size() - first; i < group.cases.size(); ++i) {
        report::Result result = started(named.cases[i], group.cases[i]);
        if (group.cases[i].runs()) add_failure(result, e);
        add(named.cases[i], std::move(result), 0, &group.cases[i].request);
      }
      return;
    }
    const bool over_ranks = named.cases.front().over.has_value();
    if (!request_.suite && !over_ranks && group.any_runs())
      run_chain_of_workload(group.problem, in);
  }

  void run_chain(const ChainCase& c, const Inputs& in) {
    for (Checked& link : check_chain(c, in)) {
      link.result.parameters = {{"case", link.name}};
      checked_.push_back(std::move(link));
    }
  }

  /// `as`: the case with what its files say; of a workload, its name.
  void add(const NamedCase& c, report::Result result, double seconds,
           const sweep::Case* as = nullptr) {
    const std::string name =
        as == nullptr || request_.suite ? c.name : sweep::flags(*as) + c.more_flags;
    result.parameters = {{"case", name}};
    const std::string dtype = result.workload.dtype;
    checked_.push_back({c.row, name, std::move(result), seconds, dtype});
  }

  const std::vector<Checked>& checked() const { return checked_; }
  std::vector<report::Result> results() const {
    std::vector<report::Result> all;
    for (const Checked& c : checked_) all.push_back(c.result);
    return all;
  }
  measure::Clock& clock() { return clock_; }
  /// What stands above the table.
  void set_preface(std::string text) { preface_ = std::move(text); }
  const std::string& preface() const { return preface_; }

 private:
  /// One result per case, in order; fewer when interrupted.
  void verify_cases(const NamedGroup& named, const RoutedGroup& group, const Inputs& in,
                    VerifyLevel level) {
    if (!group.any_runs()) {
      for (std::size_t i = 0; i < group.cases.size(); ++i)
        add(named.cases[i], started(named.cases[i], group.cases[i]), 0, &group.cases[i].request);
      return;
    }
    const Work work = count_work(group.problem, count_visible(group.problem, in.key_mask));
    References references(group.problem, in, level);
    for (std::size_t i = 0; i < group.cases.size() && !interrupted(); ++i) {
      const RoutedCase& c = group.cases[i];
      const oracle::Reference* const reference = c.runs() ? &references.of(c) : nullptr;
      const double before_s = clock_.now_s();
      report::Result result = started(named.cases[i], c);
      add_work(result, work);
      if (reference != nullptr) verify_case(request_, c, in, *reference, result);
      add(named.cases[i], std::move(result), clock_.now_s() - before_s, &c.request);
    }
  }

  report::Result started(const NamedCase& named, const RoutedCase& c) const {
    report::Result result = result_of("check", c, request_.run.verify);
    result.command += named.more_flags;
    return result;
  }

  /// What judges the gradients is judged itself, once for every formula of a sweep.
  void run_chain_of_workload(const Problem& p, const Inputs& in) {
    Formula formula = {p.causal,       p.window_left,
                       p.window_right, p.padding,
                       p.softcap != 0, p.alibi,
                       p.bias,         p.shape.d_v() == p.shape.d,
                       p.sinks,        {}};
    if (p.bias != Bias::kNone) formula.bias_shape = p.bias_shape;
    const bool seen = std::find(formulas_.begin(), formulas_.end(), formula) != formulas_.end();
    if (seen || interrupted() || !p.needs_gradients()) return;
    formulas_.push_back(formula);
    run_chain({"gradient_chain/" + sweep::flags(p), p}, in);
  }

  using Window = std::optional<std::int64_t>;
  struct Formula {
    bool causal;
    Window window_left, window_right;
    PaddingMask padding;
    bool softcap;
    Alibi alibi;
    Bias bias;
    bool one_width;
    Sinks sinks;
    std::optional<BiasShape> bias_shape;
    bool operator==(const Formula&) const = default;
  };

  const CheckRequest& request_;
  measure::Clock& clock_;
  std::vector<Formula> formulas_;
  std::string preface_;
  std::vector<Checked> checked_;
};

/// Verifies what another library computed from the same file.
void check_external(const CheckRequest& request, const Backends& backends, Check& check) {
  External external = read_external(request, backends);
  const Problem& p = external.judged.problem;
  const double before_s = check.clock().now_s();
  const Inputs in = data::make_inputs(p);
  RoutedCase routed;
  routed.request = external.judged;
  routed.warnings = external.warnings;
  report::Result result = result_of("check", routed, request.run.verify);
  result.status = report::Status::kOk;
  result.kernel = "external: " + request.external;
  result.command += fmt::format(" --external {}", shell_word(request.external));
  if (request.rounds) result.command += " --rounds " + shell_word(request.rounds->values[0]);
  const ExtraRoundings rounds = that_matter(external.rounds, p);
  warn_of_limits(result, request.external, rounds);
  add_work(result, count_work(p, count_visible(p, in.key_mask)));
  add_verdict(result, oracle::verify(p, in, external.out, level_of(request.run.verify, p), rounds),
              result.command);
  check.set_preface(judged_as(external, in, result.status == report::Status::kOk));
  check.add({escape(request.external), request.external, external.judged}, std::move(result),
            check.clock().now_s() - before_s);
}

ExitCode list_cases(const std::vector<NamedGroup>& groups, const std::vector<ChainCase>& chain) {
  std::string text;
  for (const NamedGroup& group : groups)
    for (const NamedCase& c : group.cases) text += c.name + "\n";
  for (const ChainCase& c : chain) text += c.name + "\n";
  print_out(text);
  return ExitCode::kOk;
}

/// Without --md, which is a summary here.
report::Outputs whole_reports(report::Outputs outputs) {
  outputs.md.clear();
  return outputs;
}

/// Keeps FILE.partial at most this old; the cases of the suite take milliseconds each.
constexpr double kPartialEvery_s = 1;

/// To stdout, or to a file.
void put(const std::string& path, const std::string& text) {
  if (path == "-")
    print_data(text);
  else
    write_file_atomically(path, text);
}

void write_files(const CheckRequest& request, const std::vector<Checked>& checked, double seconds,
                 LastOutputs& outputs) {
  if (!request.junit.empty())
    outputs.attempt(
        [&] { put(request.junit, report::junit_text("flashbench check", junit_cases(checked))); });
  const std::string& md = request.run.reports.md;
  if (md.empty()) return;
  outputs.attempt([&] { put(md, check_markdown(checked, seconds, request.fail_on_skipped)); });
}

ExitCode finish(const CheckRequest& request, report::ReportWriter& writer, Check& check,
                report::Report& report, double seconds) {
  report.results = check.results();
  if (report.results.empty()) return interrupted_code();
  LastOutputs outputs;
  outputs.add_lost(writer.finish(report));
  write_files(request, check.checked(), seconds, outputs);
  const std::string text =
      folded(check.preface() + check_text(check.checked(), seconds, request.fail_on_skipped));
  if (writer.stdout_taken() || request.run.reports.md == "-" || request.junit == "-")
    print_err(text);
  else
    print_out(text);
  print_warnings(report);
  if (interrupted()) return interrupted_code();
  const ExitCode code = exit_code(report.results);
  if (code != ExitCode::kOk) return code;
  if (only_the_oracle(check.checked())) return ExitCode::kUnavailable;
  return request.fail_on_skipped && any_skipped(check.checked()) ? ExitCode::kFailed
                                                                 : outputs.code(code);
}

ExitCode run_check(const CheckRequest& request, OverRanks ranks, const Runtime& runtime) {
  report::ReportWriter writer(whole_reports(request.run.reports));
  std::vector<OutputLock> claimed;
  for (const std::string* path : {&request.junit, &request.run.reports.md})
    claim_output(*path, claimed);
  // What --external holds says more of its case than the flags and --input do.
  std::vector<NamedGroup> named_groups;
  if (request.external.empty()) named_groups = selected(request, ranks, runtime.backends);
  size_host_team(request.external.empty() ? groups_of(named_groups) : request.run.groups,
                 runtime.backends);
  Check check(request, runtime.clock);
  report::Report report = new_report(request.run, runtime.backends);
  const double before_s = check.clock().now_s();
  if (!request.external.empty()) {
    check_external(request, runtime.backends, check);
    return finish(request, writer, check, report, check.clock().now_s() - before_s);
  }
  const std::vector<ChainCase> chain = selected_chain(request, ranks);
  if (named_groups.empty() && chain.empty())
    throw UsageError(fmt::format("--filter {} selects no case; flashbench check --list names them",
                                 quote(request.filter)));
  if (request.list) return list_cases(named_groups, chain);
  const std::optional<int> device =
      named_groups.empty() ? std::nullopt : named_groups.front().cases.front().request.device;
  if (request.suite && device) report.context = machine_context(runtime.backends, *device);
  std::vector<RoutedGroup> groups;
  int cases = 0;
  for (const sweep::Group& group : groups_of(named_groups)) {
    groups.push_back(route_group(group, request.run.given, runtime.backends));
    if (request.suite) skip_what_is_long_to_emulate(groups.back());
    cases += static_cast<int>(group.cases.size());
  }
  ranks.route(named_groups, groups);
  const auto& given = request.run.given;
  if (!ranks.asked() &&  // who computes no parts is skipped there, not asked for less
      (request.suite || std::find(given.begin(), given.end(), "pass") == given.end()))
    ask_guests_for_forward_alone(named_groups, groups, request.run.given, runtime.backends);
  check.set_preface(pass_preface(request, groups));
  if (request.run.dry_run) return show_dry_run(request.run, groups, runtime, check.preface());
  ProgressLine progress(cases, request.run.quiet);
  double updated_s = before_s;
  try {
    for (std::size_t i = 0; i < groups.size() && !interrupted(); ++i) {
      if (groups[i].cases.empty()) continue;  // asked for the forward alone
      check.run(named_groups[i], groups[i], progress);
      if (check.clock().now_s() - updated_s < kPartialEvery_s) continue;
      report.results = check.results();
      print_err(going_on(writer.update(report)));
      updated_s = check.clock().now_s();
    }
    for (const ChainCase& c : chain) {
      stop_if_interrupted();
      progress.begin(cases, c.name);
      check.run_chain(c, data::make_inputs(c.problem));
    }
  } catch (const Interrupted&) {  // the cases before this one are kept
  }
  progress.clear();
  return finish(request, writer, check, report, check.clock().now_s() - before_s);
}

}  // namespace

const Command& check_command() {
  using enum FlagSet;
  static const Command command{
      .name = "check",
      .summary = "verify against the fp64 oracles; every workload flag takes lists and ranges",
      .more =
          "Without flags of the group Workload it runs its suite: types, passes, masks, dtypes "
          "and\n"
          "awkward shapes, and the chain from automatic differentiation to every kernel. Flags of\n"
          "the group \"How it is computed\" narrow the suite to what they name.\n"
          "With workload flags it checks that workload, by default --b 1 --h 1 --q_len 2048 --d "
          "512\n"
          "--pass both (K and V in pages or of 8 bits, V in K: forward), every type that takes "
          "it.\n"
          "\n"
          "Examples:\n"
          "  flashbench check\n"
          "  flashbench check --isa avx2 --filter '*bf16*' --junit check.xml\n"
          "  flashbench check --pass backward --causal\n"
          "  flashbench check --input qkv.safetensors --external o.safetensors\n",
      .takes = {kEvery, kMachine, kComputes, kTables, kSweeps, kCheck, kGates},
      .own_flags = {over_ranks_flags()},
      .run = [](const CommandLine& line, const Runtime& runtime) {
        const CheckRequest request = check_request(line, runtime.backends);
        return run_check(request, OverRanks(line, request.suite), runtime);
      }};
  return command;
}

}  // namespace flashbench::app
