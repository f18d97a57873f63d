#include <fmt/format.h>

#include <algorithm>

#include "app/command_line/run_request.h"
#include "core/enumerators.h"
#include "sweep/number.h"
#include "sweep/parse.h"
#include "system/error.h"

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
  request.junit = options.output("junit");
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

}  // namespace flashbench::app
