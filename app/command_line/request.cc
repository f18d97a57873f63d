#include "app/command_line/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "app/command_line/options.h"
#include "core/enumerators.h"
#include "registry/registry.h"
#include "report/earlier_run.h"
#include "sweep/number.h"
#include "sweep/parse.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

using sweep::Setting;
using sweep::Settings;

constexpr Shape kCheckShape{1, 1, 1, 2048, 2048, 512};  // of the origin's check_backward.py

/// Whether a name says how to compute and not what: such flags narrow the suite of check.
bool names_execution(std::string_view name) {
  const sweep::Field* field = sweep::find_field(sweep::fields(), name);
  return field != nullptr && field->varies == sweep::Varies::kWithinGroup;
}

VerifyMode verify_mode(const Options& options) {
  const std::string text = options.text("verify");
  if (text.empty()) return VerifyMode::kAuto;
  if (const auto mode = from_name<VerifyMode>(text)) return *mode;
  throw UsageError(fmt::format("{} must be auto, full, sample or none, got {}",
                               options.find("verify")->where, quote(text)));
}

PhaseOrder phase_order(const Options& options) {
  const std::string text = options.text("profile_sort");
  if (text.empty()) return PhaseOrder::kAsTheyRun;
  if (text == "time") return PhaseOrder::kTime;
  if (text == "memory") return PhaseOrder::kMemory;
  throw UsageError(fmt::format("{} must be time or memory, got {}",
                               options.find("profile_sort")->where, quote(text)));
}

std::vector<std::string> given_names(const sweep::SweepPlan& plan) {
  std::vector<std::string> names;
  const auto add = [&](const Settings& settings) {
    for (const auto& [name, setting] : settings)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  add(plan.base);
  for (const Settings& point : plan.zip) add(point);
  return names;
}

/// Everything but the groups.
RunRequest run_request(const CommandLine& line, const Options& options) {
  RunRequest run;
  run.command = line.command->name;
  run.argv = line.argv;
  run.given = given_names(line.plan);
  run.verify = verify_mode(options);
  run.profile = options.on("profile");
  run.profile_sort = phase_order(options);
  if (run.profile_sort != PhaseOrder::kAsTheyRun && !run.profile)
    throw UsageError(fmt::format("{} needs --profile", options.find("profile_sort")->where));
  run.trace = options.text("trace");
  if (run.trace == "-") throw UsageError("--trace needs a file");
  run.quiet = options.on("quiet");
  run.dry_run = options.on("dry_run");
  run.reports = {options.output("json"), options.output("csv"), options.output("md")};
  return run;
}

/// These types, and behind them those of the guests that the plan names.
std::vector<AttentionType> with_guests(const sweep::SweepPlan& plan,
                                       std::vector<AttentionType> types) {
  const auto names = [&](AttentionType type) {
    return sweep::names_guest(plan.base, type) ||
           std::any_of(plan.zip.begin(), plan.zip.end(),
                       [&](const Settings& point) { return sweep::names_guest(point, type); });
  };
  for (const AttentionType type : kEnumerators<AttentionType>)
    if (names(type)) types.push_back(type);
  return types;
}

/// The guests that it names, or what is computed where it names none.
std::vector<AttentionType> guests_or(const sweep::SweepPlan& plan,
                                     std::vector<AttentionType> types) {
  std::vector<AttentionType> guests = with_guests(plan, {});
  return guests.empty() ? types : guests;
}

/// The files that a command reads before it writes any.
std::vector<std::string> files_read(const CommandLine& line, const RunRequest& run) {
  std::set<std::string> files = {line.config};
  for (const sweep::Group& group : run.groups) {
    const InputFiles& f = group.problem().files;
    files.insert({f.bundle, f.q, f.k, f.v, f.d_o, f.mask, f.sinks, f.alibi, f.bias, f.ragged});
  }
  return {files.begin(), files.end()};
}

}  // namespace

sweep::Defaults defaults(Pass pass, std::vector<AttentionType> types, Shape shape,
                         const Backends& backends) {
  sweep::Defaults all;
  all.shape = shape;
  all.pass = pass;
  all.types = std::move(types);
  for (const Backend* b : backends)
    if (!b->info().of_guests) all.backends.push_back(b->info());
  all.type_of_kernel = [&backends](const std::string& kernel) {
    return std::optional<AttentionType>(type_of_kernel(kernel, backends));
  };
  return all;
}

AttentionType type_of_kernel(const std::string& kernel, const Backends& backends) {
  std::vector<std::string> names;
  for (const Kernel* k : registry::kernels(backends)) {
    if (k->info().name == kernel) return k->info().type;
    names.push_back(k->info().name);
  }
  throw UsageError(fmt::format("--kernel {} is not in this build; use {}", quote(kernel),
                               sweep::alternatives(names)));
}

SingleRequest single_request(const CommandLine& line, Pass pass, const Backends& backends) {
  const Options options(line);
  const bool forward = pass == Pass::kForward;
  sweep::require_single(line.plan, line.command->name);
  SingleRequest request{run_request(line, options), options.output("output"),
                        options.text("save_inputs")};
  for (const auto& [flag, path] :
       {std::pair("output", &request.output), {"save_inputs", &request.save_inputs}})
    if (path->ends_with(".npy"))
      throw UsageError(fmt::format("--{} writes several tensors, a .safetensors file; got {}", flag,
                                   quote(*path)));
  request.run.groups = sweep::expand(
      line.plan, defaults(pass, guests_or(line.plan, {AttentionType::kFlash}), {}, backends));
  report::require_distinct(request.run.reports,
                           {{"--output", request.output},
                            {"--save_inputs", request.save_inputs},
                            {"--trace", request.run.trace}},
                           files_read(line, request.run));
  Problem& p = request.run.groups[0].cases[0].problem;
  if (forward && p.pass != Pass::kForward)
    throw UsageError(
        fmt::format("--pass {} in flashbench forward; use flashbench backward or "
                    "bench",
                    name(p.pass)));
  if (!forward && p.pass == Pass::kForward)
    throw UsageError("--pass forward in flashbench backward; use flashbench forward");
  if (!forward) p.pass = Pass::kBoth;      // one forward and one backward pass, either way
  request.run.given.emplace_back("pass");  // by the command
  return request;
}

BenchRequest bench_request(const CommandLine& line, const Backends& backends) {
  const Options options(line);
  BenchRequest request;
  request.run = run_request(line, options);
  request.run.groups = sweep::expand(
      line.plan, defaults(Pass::kForward,
                          with_guests(line.plan, {AttentionType::kFlash, AttentionType::kNormal}),
                          {}, backends));
  measure::Limits& limits = request.limits;
  if (const Setting* s = options.find("max_noise"))
    limits.max_noise = sweep::parse_real(s->values[0], s->where, 1e-6, 1);
  if (const Setting* s = options.find("min_samples"))
    limits.min_samples = static_cast<int>(sweep::parse_count(s->values[0], s->where, {1, 1000000}));
  limits.min_time_s = options.duration("min_time", limits.min_time_s);
  limits.timeout_s = options.duration("timeout", limits.timeout_s);
  if (options.find("budget") != nullptr) request.budget_s = options.duration("budget", 0);
  request.calibrate = options.on("calibrate");
  request.explain = options.on("explain");
  request.resume = options.text("resume");
  request.resume_anyway = options.on("resume_anyway");
  if (request.resume_anyway && request.resume.empty())
    throw UsageError("--resume_anyway needs --resume FILE");
  if (!request.resume.empty() && request.run.reports.json.empty())
    request.run.reports.json = report::without_partial(request.resume);
  const report::Outputs& reports = request.run.reports;
  const std::vector<report::NamedOutput> trace = {{"--trace", request.run.trace}};
  report::require_distinct(reports, trace, files_read(line, request.run));
  // --json may complete the report that it resumes.
  report::require_distinct({.json = "", .csv = reports.csv, .md = reports.md}, trace,
                           {request.resume});
  return request;
}

namespace {

/// Whether --device names one that executes in an order which follows from a seed: an emulator.
bool names_emulator(const Settings& settings, const Backends& backends) {
  const auto device = settings.find("device");
  if (device == settings.end()) return false;
  const sweep::Defaults none;
  for (const auto& choose :
       sweep::find_field(sweep::fields(), "device")->parse({device->second, settings, none})) {
    sweep::Case c;
    choose(c);
    for (Backend* b : backends)
      if (b->info().takes_device() && b->traits({.device = *c.device}).seeded_order) return true;
  }
  return false;
}

std::vector<std::uint64_t> parse_emulated_seeds(const Options& options, const CommandLine& line,
                                                const Backends& backends) {
  std::vector<std::uint64_t> seeds;
  const Setting* setting = options.find("emulated_seeds");
  if (setting == nullptr) return seeds;
  bool any = names_emulator(line.plan.base, backends);
  for (const Settings& point : line.plan.zip) any = any || names_emulator(point, backends);
  if (!any)
    throw UsageError(
        fmt::format("{} needs --device {}", setting->where, device_text(kEmulatedDevice)));
  for (const std::int64_t seed :
       sweep::parse_counts(setting->values[0], setting->where, {.least = 0}))
    seeds.push_back(static_cast<std::uint64_t>(seed));
  return seeds;
}

int parse_repeat(const Options& options) {
  const Setting* setting = options.find("repeat");
  if (setting == nullptr) return 1;
  if (options.find("emulated_seeds") != nullptr)
    throw UsageError("--repeat takes as many orders by itself; leave out --emulated_seeds");
  return static_cast<int>(sweep::parse_count(setting->values[0], setting->where, {.most = 10000}));
}

bool parse_fail_on_skipped(const Options& options) {
  const Setting* s = options.find("fail_on");
  return s != nullptr &&
         sweep::choose<bool>(s->values[0], s->where, {{"skipped", true}, {"none", false}});
}

void vet_outputs(const CommandLine& line, const CheckRequest& request) {
  std::vector<std::string> inputs = files_read(line, request.run);
  inputs.push_back(request.external);
  const std::vector<report::NamedOutput> junit = {{"--junit", request.junit}};
  report::require_distinct(request.run.reports, junit, inputs);
  for (const char* flag : {"json", "csv", "md", "junit", "repeat", "fail_on"})
    if (request.list && line.plan.base.contains(flag))
      throw UsageError(
          fmt::format("--list runs nothing, so that --{} has nothing to do; leave it out", flag));
}

}  // namespace

CheckRequest check_request(const CommandLine& line, const Backends& backends) {
  const Options options(line);
  CheckRequest request;
  request.run = run_request(line, options);
  if (request.run.verify == VerifyMode::kNone)
    throw UsageError("check verifies; use --verify auto, full or sample");
  request.list = options.on("list");
  request.filter = options.text("filter");
  request.junit = options.text("junit");
  request.external = options.text("external");
  if (const Setting* rounds = options.find("rounds")) request.rounds = *rounds;
  if (request.rounds && request.external.empty())
    throw UsageError("--rounds is about --external FILE; a guest says itself what it rounds");
  request.emulated_seeds = parse_emulated_seeds(options, line, backends);
  request.repeat = parse_repeat(options);
  request.fail_on_skipped = parse_fail_on_skipped(options);
  const auto names_problem = [](const std::string& name) {
    return Options::is_workload(name) && !names_execution(name);
  };
  request.suite = std::none_of(request.run.given.begin(), request.run.given.end(), names_problem);
  if (!request.external.empty() && !options.find("input") && !options.find("q"))
    throw UsageError("--external needs the tensors that it was computed from; add --input FILE");
  for (const char* other : {"dry_run", "list", "filter", "repeat"})
    if (!request.external.empty() && options.find(other) != nullptr)
      throw UsageError(fmt::format(
          "--external is one result to judge, which --{} does not do; leave one of them out",
          other));
  if (request.suite) {
    if (!line.plan.zip.empty())
      throw UsageError("a config with 'zip' must name a workload to check");
    for (const auto& [name, setting] : line.plan.base)
      if (names_execution(name)) request.narrow.emplace(name, setting);
    vet_outputs(line, request);
    return request;
  }
  std::vector<AttentionType> types = {AttentionType::kFlash};
  if (request.external.empty())
    types = guests_or(line.plan,
                      {AttentionType::kFlash, AttentionType::kNormal, AttentionType::kPaper});
  sweep::Defaults posed = defaults(Pass::kBoth, types, kCheckShape, backends);
  posed.pass_follows = true;
  request.run.groups = sweep::expand(line.plan, posed);
  vet_outputs(line, request);
  return request;
}

namespace {

void parse_fail_on(CompareRequest& request, const Setting& setting) {
  request.fail_on_slower = false;
  for (const std::string& word : sweep::split_list(setting.values[0], setting.where)) {
    if (word == "slower")
      request.fail_on_slower = true;
    else if (word == "ambiguous")
      request.fail_on_ambiguous = true;
    else if (word == "missing")
      request.fail_on_missing = true;
    else if (word != "none" || setting.values[0] != "none")
      throw UsageError(fmt::format("{} takes slower, ambiguous and missing, or none; got {}",
                                   setting.where, quote(word)));
  }
}

/// What the programs are given besides the flags of the user belongs to compare.
void refuse_flags_of_compare(const std::vector<std::string>& flags) {
  for (const std::string& word : flags) {
    const std::string flag = word.substr(0, word.find('='));
    for (const char* taken : {"--json", "--csv", "--md", "--dry_run", "--calibrate"})
      if (flag == taken)
        throw UsageError(
            fmt::format("{} behind -- is for bench alone; compare takes its own", flag));
  }
  if (!flags.empty() && !flags[0].starts_with("--"))
    throw UsageError(
        fmt::format("behind -- stand flags of bench, such as --q_len 1k; got {}", quote(flags[0])));
}

}  // namespace

CompareRequest compare_request(const CommandLine& line) {
  const Options options(line);
  CompareRequest request;
  request.argv = line.argv;
  request.flags = line.behind;
  request.by = options.text("by");
  request.json = options.output("json");
  request.md = options.output("md");
  request.fail_on_slower = request.by.empty();
  if (const Setting* s = options.find("threshold"))
    request.threshold = sweep::parse_real(s->values[0], s->where, 0, 10);
  if (const Setting* s = options.find("fail_on")) parse_fail_on(request, *s);

  std::vector<std::string> names = line.operands;
  const auto run = line.plan.base.find("run");
  request.run = run != line.plan.base.end();
  if (request.run && !request.by.empty())
    throw UsageError("--by compares the cases of one report; leave it or --run out");
  if (request.run && !names.empty())
    throw UsageError(
        fmt::format("unexpected argument {}; --run names both programs", quote(names[0])));
  if (!request.run && !request.flags.empty())
    throw UsageError("flags of bench behind -- need programs to run; add --run OLD NEW before it");
  if (!request.run && options.find("timeout") != nullptr)
    throw UsageError("--timeout is for --run; reports are compared at once");
  if (request.run) names = run->second.values;
  request.timeout_s = options.duration("timeout", request.timeout_s);
  refuse_flags_of_compare(request.flags);
  const std::size_t wanted = request.by.empty() ? 2 : 1;
  if (names.size() != wanted)
    throw UsageError(fmt::format(
        "compare takes two reports, one with --by FIELD, or --run OLD NEW; got {}", names.size()));
  request.base = names[0];
  if (wanted == 2) request.fresh = names[1];
  report::require_distinct({.json = request.json, .csv = "", .md = request.md}, {},
                           {request.base, request.fresh});
  return request;
}

InfoRequest info_request(const CommandLine& line, const Backends& backends) {
  const Options options(line);
  InfoRequest request;
  request.argv = line.argv;
  request.json = options.output("json");
  sweep::SweepPlan plan;
  for (const sweep::Field& f : sweep::fields())
    if (f.scope == sweep::Scope::kAlsoInfo)
      if (const Setting* s = options.find(f.name)) plan.base.emplace(f.name, *s);
  sweep::require_single(plan, "info");
  const sweep::Case c =
      sweep::expand(plan, defaults(Pass::kForward, {AttentionType::kFlash}, {}, backends))
          .at(0)
          .cases.at(0);
  request.isa = c.isa;
  request.threads = c.threads;
  request.as = options.text("as");
  if (!request.as.empty() && !plan.base.empty())
    throw UsageError(fmt::format("--as prints routes alone, which {} does not change",
                                 plan.base.begin()->second.where));
  return request;
}

}  // namespace flashbench::app
