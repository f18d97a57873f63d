#include "app/command_line/flags.h"

#include <algorithm>

#include "core/enumerators.h"
#include "sweep/field.h"

namespace flashbench::app {
namespace {

using enum FlagSet;

FlagSet commands(sweep::Scope scope) {
  switch (scope) {
    case sweep::Scope::kWhatComputes:
      return kComputes;
    case sweep::Scope::kAlsoInfo:
      return kMachine;
    case sweep::Scope::kBench:
      return kBench;
  }
  no_such_enumerator();
}

/// The fields of a case under a heading, in the order of the field table.
struct FieldFlags {
  const sweep::Defaults& defaults;
  std::span<const sweep::Field> table;

  std::vector<Flag> under(sweep::Heading heading) const {
    std::vector<Flag> flags;
    for (const sweep::Field& f : table)
      if (f.parse != nullptr && f.heading == heading)
        flags.push_back(
            {f.name, f.value, sweep::help_text(f, defaults), commands(f.scope), f.repeats});
    return flags;
  }
};

void append(std::vector<Flag>& flags, const std::vector<Flag>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
}

FlagGroup workload(const FieldFlags& fields) {
  FlagGroup group{"Workload", fields.under(sweep::Heading::kWorkload)};
  append(group.flags,
         {{"config", "FILE",
           "read flags from JSON, or from one of configs/ by its name; flags given here win",
           kComputes},
          {"part", "TEXT", "of --config only the points whose name holds TEXT", kComputes}});
  return group;
}

FlagGroup execution(const FieldFlags& fields) {
  FlagGroup group{"How it is computed", fields.under(sweep::Heading::kExecution)};
  const Flag seeds = {
      "emulated_seeds", "LIST",
      "orders in which the emulated device executes every case (default: 1,2 for small ones)",
      kCheck};
  const auto device = std::find_if(group.flags.begin(), group.flags.end(),
                                   [](const Flag& f) { return f.name == "device"; });
  group.flags.insert(device == group.flags.end() ? device : device + 1, seeds);
  group.flags.push_back({"repeat", "N",
                         "launch each case N times on the same inputs and compare the bits"
                         " (default: 1)",
                         kCheck});
  group.flags.push_back(
      {"isolate", "BOOL",
       "plug-ins in a process of their own (default: true); false: in this one, for"
       " debuggers and profilers",
       kComputes});
  group.flags.push_back({"patience", "TIME",
                         "how long a plug-in or worker may take to answer (default: 2m)",
                         kComputes});
  group.flags.push_back({"as", "KIND",
                         "only which kernels compute what on such a GPU, which need not be here:"
                         " sm_80, sm_90, ...",
                         kInfo});
  group.flags.push_back({"kernels", "", "only the names of kernels, a line each", kInfo});
  return group;
}

FlagGroup tensors(const FieldFlags& fields) {
  FlagGroup group{"Real tensors", fields.under(sweep::Heading::kTensors)};
  append(
      group.flags,
      {
          {"external", "FILE",
           "verify these o, lse, dq, dk, dv, dsinks, dbias of --input, from any library", kCheck},
          {"rounds", "LIST",
           "what --external's maker rounds besides, which its limits then count:"
           " gradients_of_query_heads (before they are added over a group)",
           kCheck},
          {"output", "FILE", "write the results to this .safetensors; - for stdout", kSingle},
          {"save_inputs", "FILE", "write q, k, v and what else went in to this .safetensors",
           kSingle},
      });
  return group;
}

FlagGroup selection() {
  return {"The suite",
          {
              {"list", "", "name the cases and stop", kCheck},
              {"filter", "TEXT", "only cases whose name holds TEXT, or matches it with * and ?",
               kCheck},
          }};
}

FlagGroup timing(const FieldFlags& fields) {
  FlagGroup group{"Timing",
                  {
                      {"max_noise", "X",
                       "stop below this noise: half of the 95 % interval of the median,"
                       " as a share of it (default: 0.01)",
                       kBench},
                      {"min_samples", "N", "(default: 10)", kBench},
                      {"min_time", "TIME", "of timed calls (default: 0.5s)", kBench},
                      {"timeout", "TIME", "per case, 3 samples at least (default: 20s)", kBench},
                      {"budget", "TIME",
                       "share this time over all cases, everything included; exit 3 where it is too"
                       " little for them",
                       kBench},
                  }};
  append(group.flags, fields.under(sweep::Heading::kTiming));
  append(group.flags,
         {{"calibrate", "",
           "also time every case in fresh processes, for what a run itself adds; compare uses it",
           kBench}});
  return group;
}

FlagGroup comparison() {
  return {
      "Comparison",
      {
          {"threshold", "X", "differences up to this share are the same (default: 0.03)", kCompare},
          {"by", "FIELD",
           "compare the cases of one report that differ in this field: type, isa, threads,"
           " dtype, ...",
           kCompare},
          {"run", "OLD NEW", "two programs, run in turn with the flags behind --", kCompare},
          {"timeout", "TIME", "of --run (default: 10m)", kCompare},
      }};
}

FlagGroup output() {
  return {"Checks and output",
          {
              {"verify", "V", "auto, full, sample or none (default: auto)", kComputes},
              {"profile", "", "calls, time, speed and memory of each phase and thread", kComputes},
              {"profile_sort", "BY", "order of the phases: time or memory (default: as they run)",
               kComputes},
              {"explain", "",
               "every comparison, and what limits each case, in sentences below the table", kBench},
              {"trace", "FILE",
               "every thread tile by tile, for ui.perfetto.dev or chrome://tracing", kTraced},
              {"dry_run", "", "cases with predicted FLOP, bytes, memory and time; run nothing",
               kComputes},
              {"quiet", "", "no progress on stderr", kSweeps},
              {"json", "FILE", "report; - for stdout", kEvery},
              {"resume", "FILE", "complete this report: measure only what it lacks", kBench},
              {"resume_anyway", "", "also a report from another machine or build", kBench},
              {"csv", "FILE", "", kComputes},
              {"md", "FILE", "", kTables},
              {"bmf", "FILE", "times for a trend, as Bencher Metric Format", kBench},
              {"github_benchmark", "FILE",
               "the same for github-action-benchmark, as customSmallerIsBetter", kBench},
              {"junit", "FILE", "results for a CI server", kCheck},
              {"fail_on", "LIST",
               "exit 1 on these, too; check: skipped, or none (the default); compare: slower,"
               " ambiguous, missing, or none (default: slower; with --by: none)",
               kGates},
              {"help", "", "this text", kEvery},
              {"version", "", "git description, compiler and flags", kEvery},
          }};
}

}  // namespace

std::vector<FlagGroup> flag_groups(const sweep::Defaults& defaults,
                                   std::span<const sweep::Field> table) {
  const FieldFlags fields{defaults, table};
  return {workload(fields), execution(fields), tensors(fields), selection(),
          timing(fields),   comparison(),      output()};
}

int value_count(const Flag& flag) {
  if (flag.value.empty()) return 0;
  return 1 + static_cast<int>(std::count(flag.value.begin(), flag.value.end(), ' '));
}

bool may_stand_in_config(std::string_view flag) {
  return flag != "config" && flag != "part" && flag != "help" && flag != "version" &&
         flag != "trace" && flag != "resume" && flag != "resume_anyway";
}

}  // namespace flashbench::app
