#include "app/command_line/flags.h"

#include <algorithm>

#include "core/enumerators.h"
#include "sweep/field.h"

namespace flashbench::app {
namespace {

// Which commands take a flag, by the letters of letter() below.
constexpr std::string_view kAll = "fwbcim";     // every command
constexpr std::string_view kHere = "fwbci";     // every command that looks at this machine
constexpr std::string_view kWork = "fwbc";      // every command that computes
constexpr std::string_view kTables = "fwbcm";   // every command that ends with a table
constexpr std::string_view kSingle = "fw";      // forward and backward
constexpr std::string_view kTraced = "fwb";     //
constexpr std::string_view kSweeps = "bc";      //
constexpr std::string_view kBenchOnly = "b";    //
constexpr std::string_view kCheckOnly = "c";    //
constexpr std::string_view kCompareOnly = "m";  //

char letter(Command c) {
  switch (c) {
    case Command::kForward:
      return 'f';
    case Command::kBackward:
      return 'w';
    case Command::kBench:
      return 'b';
    case Command::kCheck:
      return 'c';
    case Command::kCompare:
      return 'm';
    case Command::kInfo:
      return 'i';
  }
  no_such_enumerator();
}

std::string_view commands(sweep::Scope scope) {
  switch (scope) {
    case sweep::Scope::kWhatComputes:
      return kWork;
    case sweep::Scope::kAlsoInfo:
      return kHere;
    case sweep::Scope::kBench:
      return kBenchOnly;
  }
  no_such_enumerator();
}

/// The fields of a case under this heading, in the order of the field table.
std::vector<Flag> field_flags(sweep::Heading heading) {
  std::vector<Flag> flags;
  for (const sweep::Field& f : sweep::fields())
    if (f.parse != nullptr && f.heading == heading)
      flags.push_back({f.name, f.value, f.help, commands(f.scope)});
  return flags;
}

void append(std::vector<Flag>& flags, const std::vector<Flag>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
}

FlagGroup workload() {
  FlagGroup group{"Workload", field_flags(sweep::Heading::kWorkload)};
  append(group.flags, {{"config", "FILE", "read flags from JSON; flags given here win", kWork}});
  return group;
}

FlagGroup execution() {
  FlagGroup group{"How it is computed", field_flags(sweep::Heading::kExecution)};
  const Flag seeds = {
      "emulated_seeds", "LIST",
      "orders in which the emulated device executes every case (default: 1,2,3 for small ones)",
      kCheckOnly};
  const auto device = std::find_if(group.flags.begin(), group.flags.end(),
                                   [](const Flag& f) { return f.name == "device"; });
  group.flags.insert(device == group.flags.end() ? device : device + 1, seeds);
  return group;
}

FlagGroup tensors() {
  FlagGroup group{"Real tensors", field_flags(sweep::Heading::kTensors)};
  append(group.flags,
         {
             {"external", "FILE", "verify these o, lse, dq, dk, dv of --input, from any library",
              kCheckOnly},
             {"output", "FILE", "write the results to this .safetensors; - for stdout", kSingle},
             {"save_inputs", "FILE", "write q, k, v and what else went in to this .safetensors",
              kSingle},
         });
  return group;
}

FlagGroup selection() {
  return {"The suite",
          {
              {"list", "", "name the cases and stop", kCheckOnly},
              {"filter", "TEXT", "only cases whose name holds TEXT, or matches it with * and ?",
               kCheckOnly},
          }};
}

FlagGroup timing() {
  FlagGroup group{"Timing",
                  {
                      {"max_noise", "X",
                       "stop below this noise: half of the 95 % interval of the median,"
                       " as a share of it (default: 0.01)",
                       kBenchOnly},
                      {"min_samples", "N", "(default: 10)", kBenchOnly},
                      {"min_time", "TIME", "of timed calls (default: 0.5s)", kBenchOnly},
                      {"timeout", "TIME", "per case (default: 20s)", kBenchOnly},
                      {"budget", "TIME", "share this time over all cases", kBenchOnly},
                  }};
  append(group.flags, field_flags(sweep::Heading::kTiming));
  append(group.flags,
         {{"calibrate", "",
           "also time every case in fresh processes, for what a run itself adds; compare uses it",
           kBenchOnly}});
  return group;
}

FlagGroup comparison() {
  return {
      "Comparison",
      {
          {"threshold", "X", "differences up to this share are the same (default: 0.03)",
           kCompareOnly},
          {"fail_on", "LIST",
           "exit 1 on slower, ambiguous, missing, or none (default: slower; with --by: none)",
           kCompareOnly},
          {"by", "FIELD",
           "compare the cases of one report that differ in this field: type, isa, threads,"
           " dtype, ...",
           kCompareOnly},
          {"run", "OLD NEW", "two programs, run in turn with the flags behind --", kCompareOnly},
          {"timeout", "TIME", "of --run (default: 10m)", kCompareOnly},
      }};
}

FlagGroup output() {
  return {
      "Checks and output",
      {
          {"verify", "V", "auto, full, sample or none (default: auto)", kWork},
          {"profile", "", "calls, time, speed and memory of each phase and thread", kWork},
          {"profile_sort", "BY", "order of the phases: time or memory (default: as they run)",
           kWork},
          {"trace", "FILE", "every thread tile by tile, for ui.perfetto.dev or chrome://tracing",
           kTraced},
          {"dry_run", "", "cases with predicted FLOP, bytes, memory and time; run nothing", kWork},
          {"quiet", "", "no progress on stderr", kSweeps},
          {"json", "FILE", "report; - for stdout", kAll},
          {"resume", "FILE", "complete this report: measure only what it lacks", kBenchOnly},
          {"resume_anyway", "", "also a report from another machine or build", kBenchOnly},
          {"csv", "FILE", "", kWork},
          {"md", "FILE", "", kTables},
          {"junit", "FILE", "results for a CI server", kCheckOnly},
          {"help", "", "this text", kAll},
          {"version", "", "git description, compiler and flags", kAll},
      }};
}

bool may_stand_in_config(std::string_view flag) {
  return flag != "config" && flag != "help" && flag != "version" && flag != "trace" &&
         flag != "resume" && flag != "resume_anyway";
}

}  // namespace

std::string_view name(Command c) {
  switch (c) {
    case Command::kForward:
      return "forward";
    case Command::kBackward:
      return "backward";
    case Command::kBench:
      return "bench";
    case Command::kCheck:
      return "check";
    case Command::kCompare:
      return "compare";
    case Command::kInfo:
      return "info";
  }
  no_such_enumerator();
}

std::optional<Command> command_from_name(std::string_view text) {
  for (const Command c : kCommands)
    if (text == name(c)) return c;
  return std::nullopt;
}

const std::vector<FlagGroup>& flag_groups() {
  static const std::vector<FlagGroup> groups = {workload(), execution(),  tensors(), selection(),
                                                timing(),   comparison(), output()};
  return groups;
}

int value_count(const Flag& flag) {
  if (flag.value.empty()) return 0;
  return 1 + static_cast<int>(std::count(flag.value.begin(), flag.value.end(), ' '));
}

bool takes(Command c, const Flag& flag) {
  return flag.commands.find(letter(c)) != std::string_view::npos;
}

std::vector<std::string> flag_names(Command c) {
  std::vector<std::string> names;
  for (const FlagGroup& group : flag_groups())
    for (const Flag& flag : group.flags)
      if (takes(c, flag)) names.emplace_back(flag.name);
  return names;
}

std::vector<std::string> config_names(Command c) {
  std::vector<std::string> names = flag_names(c);
  std::erase_if(names, [](const std::string& flag) { return !may_stand_in_config(flag); });
  return names;
}

}  // namespace flashbench::app
