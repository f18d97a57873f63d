#include "app/single_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>

#include "app/case/dry_run.h"
#include "app/case/memory.h"
#include "app/case/prepared_case.h"
#include "app/case/references.h"
#include "app/case/results.h"
#include "app/case/trace.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/streams.h"
#include "core/work.h"
#include "data/inputs.h"
#include "data/outputs.h"
#include "measure/sampler.h"
#include "oracle/verify.h"
#include "report/derive.h"
#include "report/grid.h"
#include "report/table.h"
#include "report/units.h"
#include "report/verdict_line.h"
#include "system/atomic_file.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/quote.h"

// forward and backward: one case, once.
namespace flashbench::app {
namespace {

std::string line(std::string_view label, const std::string& value) {
  return fmt::format("{:<10}{}\n", label, value);
}

std::string check_lines(const report::Result& r) {
  if (r.check.verdict == "not verified") return line("check", "not verified");
  std::string text;
  for (const report::Worst& w : r.check.worst)
    text += line(text.empty() ? "check" : "", report::verdict_line(w, r.workload.dtype));
  return text +
         line("verdict",
              fmt::format("{} ({} {})", r.check.verdict == "pass" ? "pass" : "FAIL",
                          r.check.level == "full" ? "every element against" : "a sample against",
                          "the fp64 oracle"));
}

/// What computed it: "avx512, 8 threads", "scalar code, 8 threads", "device 0".
std::string where_text(const report::Result& r) {
  if (r.device) return "device " + *r.device;
  return fmt::format("{}, {} thread{}",
                     r.plugin || r.worker ? r.backend
                     : r.type == "paper"  ? "scalar code"
                                          : r.isa.value_or(""),
                     r.threads.value_or(1), r.threads.value_or(1) == 1 ? "" : "s");
}

std::string summary(const report::Result& r, const PreparedCase& prepared, double seconds) {
  const report::Workload& w = r.workload;
  std::string text = line(r.pass == "forward" ? "forward" : "backward",
                          fmt::format("{}, {} {}, {}", r.type, report::workload_text(w), w.dtype,
                                      report::mask_phrase(w)));
  if (w.input != "random") text += line("input", escape(w.input));
  text += line("kernel", fmt::format("{}, {}", r.kernel.value_or(""), where_text(r)));
  if (!prepared.routed().traits().has_speed)
    text += line("time", "none: an emulator has no speed");
  else
    text += line("time", fmt::format("{}, {} (one call, nothing warm; bench measures)",
                                     report::human_seconds(seconds),
                                     report::human_flop_rate(r.flop_visible / seconds)));
  const MemoryNeed need = memory_need(prepared.routed());
  text += line("memory",
               fmt::format("{} of tensors, {} of workspace",
                           report::human_bytes(static_cast<double>(need.inputs + need.outputs)),
                           report::human_bytes(static_cast<double>(prepared.workspace_bytes()))));
  return text + check_lines(r);
}

/// What becomes of --profile.
std::string phases(report::Result& result, PreparedCase& prepared, PhaseOrder sort) {
  add_phases(result, prepared, sort);
  if (!result.phases) return "";  // a warning says why
  if (result.phases->empty())
    return line("phases", "none: nobody counts what a plug-in launches here");
  return fmt::format("\n{}", report::phases_text(result, table_width()));
}

/// What becomes of --trace.
std::string traced(const SingleRequest& request, TraceFile& trace, const RoutedCase& c,
                   const Inputs& in, LastOutputs& outputs) {
  std::string text;
  try {
    const std::string missing = trace.add(c, in);
    outputs.attempt([&] {
      trace.write(request.run.argv);
      text = line("trace", missing.empty() ? escape(request.run.trace) : missing);
    });
  } catch (const Interrupted&) {
    text = line("trace", "none: interrupted before it was complete");
  }
  return text;
}

/// The reports that went to files, by name.
std::string files_of(const report::Outputs& reports) {
  std::vector<std::string> files;
  for (const std::string* path : {&reports.json, &reports.csv, &reports.md})
    if (!path->empty() && *path != "-") files.push_back(escape(*path));
  return fmt::format("{}", fmt::join(files, ", "));
}

/// The one case, ready to run, or UnavailableError with the reason.
RoutedGroup ready(const SingleRequest& request, const Backends& backends, VerifyLevel& level) {
  size_host_team(request.run.groups, backends);
  RoutedGroup group = route_group(request.run.groups.at(0), request.run.given, backends);
  level = oracle::choose_level(request.run.verify, group.problem);
  return group;
}

report::Result timed_result(const PreparedCase& prepared, const Inputs& in, double seconds,
                            VerifyMode verify) {
  const RoutedCase& c = prepared.routed();
  const Problem& p = c.request.problem;
  report::Result r = result_of(p.pass == Pass::kForward ? "forward" : "backward", c, verify);
  add_work(r, count_work(p, count_visible(p, in.key_mask)));
  r.flop_executed = prepared.flop_executed();
  if (!c.traits().has_speed) return r;
  measure::Samples once;
  once.times_s = {seconds};
  r.timing = report::timing_of(once);
  report::derive_rates(r);
  return r;
}

ExitCode run_single(const SingleRequest& request, const Runtime& runtime) {
  report::ReportWriter writer(request.run.reports);
  const bool stdout_taken = writer.stdout_taken() || request.output == "-";
  const std::string output = request.output == "-" ? "/dev/stdout" : request.output;
  std::vector<OutputLock> claimed;
  claim_output(output, claimed);
  claim_output(request.save_inputs, claimed);
  TraceFile trace(request.run.trace, 1);
  VerifyLevel level{};
  RoutedGroup group = ready(request, runtime.backends, level);
  if (request.run.dry_run) {
    std::vector<RoutedGroup> groups = {group};
    return show_dry_run(request.run, groups, runtime);
  }
  ExtraMemory extra;
  if (level == VerifyLevel::kFull) extra.shared = reference_bytes(group.problem);
  skip_what_does_not_fit(group, extra);
  const RoutedCase& c = group.cases.at(0);
  if (!c.runs()) throw_refusal(*c.skipped);

  const Inputs in = data::make_inputs(group.problem);
  if (!request.save_inputs.empty()) data::write_inputs(request.save_inputs, group.problem, in);
  auto prepared = std::make_unique<PreparedCase>(c, in);
  stop_if_interrupted();
  const double before_s = runtime.clock.now_s();
  prepared->launch();
  prepared->wait();
  const double seconds = runtime.clock.now_s() - before_s;
  stop_if_interrupted();
  report::Report report = new_report(request.run, runtime.backends);
  report::Result result = timed_result(*prepared, in, seconds, request.run.verify);
  add_verdict(result, References(group.problem, in, level).of(c).verify(prepared->collect()),
              result_of("check", c, request.run.verify).command);
  stop_if_interrupted();
  std::string text = summary(result, *prepared, seconds);
  LastOutputs outputs;
  if (!output.empty())
    outputs.attempt([&] {
      data::write_outputs(output, group.problem, prepared->outputs(), group.problem.pass);
      text += line("written", escape(output));
    });
  if (!request.save_inputs.empty()) text += line("inputs", escape(request.save_inputs));
  if (request.run.profile) text += phases(result, *prepared, request.run.profile_sort);
  prepared.reset();
  if (trace.wanted() && !interrupted()) text += traced(request, trace, c, in, outputs);
  if (result.status == report::Status::kFailed) text += line("reproduce", reproduce("check", c));
  report.results.push_back(std::move(result));
  const std::vector<std::string> lost = writer.finish(report);
  if (const std::string files = files_of(request.run.reports); lost.empty() && !files.empty())
    text += line("report", files);
  outputs.add_lost(lost);
  if (stdout_taken)
    print_err(text);
  else
    print_out(folded(text));
  print_warnings(report);
  return interrupted() ? interrupted_code() : outputs.code(exit_code(report.results));
}

}  // namespace

const Command& forward_command() {
  using enum FlagSet;
  static const Command command{
      .name = "forward",
      .summary = "one forward pass on random or real tensors, verified",
      .more =
          "Prints a summary; --output writes o and lse. The defaults are --b 1 --h 2 --q_len 4096\n"
          "--d 512 --type flash.\n"
          "\n"
          "Examples:\n"
          "  flashbench forward --causal\n"
          "  flashbench forward --mask random --dtype bf16\n"
          "  flashbench forward --input qkv.safetensors --output o.safetensors --causal\n",
      .takes = {kEvery, kMachine, kComputes, kTables, kSingle, kTraced},
      .run = [](const CommandLine& line, const Runtime& runtime) {
        return run_single(single_request(line, Pass::kForward, runtime.backends), runtime);
      }};
  return command;
}

const Command& backward_command() {
  using enum FlagSet;
  static const Command command{
      .name = "backward",
      .summary = "one forward and backward pass, verified",
      .more =
          "Prints a summary; --output writes o, lse, dq, dk and dv. The defaults are --b 1 --h 2\n"
          "--q_len 4096 --d 512 --type flash.\n"
          "\n"
          "Examples:\n"
          "  flashbench backward --causal --do random\n"
          "  flashbench backward --q q.npy --k k.npy --v v.npy --do do.npy --output "
          "g.safetensors\n",
      .takes = {kEvery, kMachine, kComputes, kTables, kSingle, kTraced},
      .run = [](const CommandLine& line, const Runtime& runtime) {
        return run_single(single_request(line, Pass::kBoth, runtime.backends), runtime);
      }};
  return command;
}

}  // namespace flashbench::app
