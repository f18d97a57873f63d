#include "app/command_line/run_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/enumerators.h"
#include "sweep/parse.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

using sweep::Settings;

VerifyMode verify_mode(const Options& options) {
  const std::string text = options.text("verify");
  if (text.empty()) return VerifyMode::kAuto;
  sweep::Choices<VerifyMode> modes;
  for (const VerifyMode mode : kEnumerators<VerifyMode>)
    modes.emplace_back(std::string(name(mode)), mode);
  return sweep::choose(text, options.find("verify")->where, modes);
}

PhaseOrder phase_order(const Options& options) {
  const std::string text = options.text("profile_sort");
  if (text.empty()) return PhaseOrder::kAsTheyRun;
  return sweep::choose<PhaseOrder>(text, options.find("profile_sort")->where,
                                   {{"time", PhaseOrder::kTime}, {"memory", PhaseOrder::kMemory}});
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

}  // namespace

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
  run.trace = options.output("trace");
  if (run.trace == "-") throw UsageError("--trace needs a file");
  run.quiet = options.on("quiet");
  run.dry_run = options.on("dry_run");
  run.reports = {options.output("json"), options.output("csv"), options.output("md")};
  return run;
}

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

std::vector<AttentionType> guests_or(const sweep::SweepPlan& plan,
                                     std::vector<AttentionType> types) {
  std::vector<AttentionType> guests = with_guests(plan, {});
  return guests.empty() ? types : guests;
}

std::vector<std::string> files_read(const CommandLine& line, const RunRequest& run) {
  std::set<std::string> files = {line.config};
  for (const sweep::Group& group : run.groups) {
    const InputFiles& f = group.problem().files;
    files.insert({f.bundle, f.q, f.k, f.v, f.d_o, f.mask, f.sinks, f.alibi, f.bias, f.ragged});
  }
  return {files.begin(), files.end()};
}

}  // namespace flashbench::app
