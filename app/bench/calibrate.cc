#include "app/bench/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "app/bench/bench_command.h"
#include "app/process/fresh_run.h"
#include "app/terminal/streams.h"
#include "compare/match.h"
#include "report/derive.h"
#include "sweep/expand.h"
#include "system/interrupt.h"

namespace flashbench::app {
namespace {

bool says_what_to_compute(const std::string& flag) {
  return flag == "config" || sweep::find_field(sweep::fields(), flag) != nullptr;
}

bool is_switch(const std::string& name) {
  for (const FlagGroup& group : flags_of(bench_command()))
    for (const Flag& flag : group.flags)
      if (flag.name == name) return value_count(flag) == 0;
  return false;
}

/// The flags of this run that say what is computed; how long, what else and where to is left out.
std::vector<std::string> workload_flags(const std::vector<std::string>& argv) {
  std::vector<std::string> flags;
  for (std::size_t i = 2; i < argv.size(); ++i) {
    if (!argv[i].starts_with("--")) continue;
    const std::string name = argv[i].substr(2, argv[i].find('=') - 2);
    const bool has_value = argv[i].find('=') == std::string::npos && i + 1 < argv.size() &&
                           !(is_switch(name) && argv[i + 1].starts_with("--"));
    if (says_what_to_compute(name)) flags.push_back(argv[i]);
    if (!has_value) continue;
    ++i;
    if (says_what_to_compute(name)) flags.push_back(argv[i]);
  }
  return flags;
}

/// A config may hold what a calibration must not do: write files, calibrate, share a budget.
std::vector<std::string> without_extras(std::vector<std::string> flags,
                                        const BenchRequest& request) {
  flags.insert(flags.end(), {"--calibrate", "false", "--profile", "false"});
  if (request.budget_s) flags.insert(flags.end(), {"--budget", "24h"});
  const report::Outputs& outputs = request.run.reports;
  for (const auto& [flag, path] : {std::pair("--csv", outputs.csv),
                                   {"--md", outputs.md},
                                   {"--bmf", outputs.bmf},
                                   {"--github_benchmark", outputs.github}})
    if (!path.empty()) flags.insert(flags.end(), {flag, "/dev/null"});
  return flags;
}

std::string this_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "/proc/self/exe" : path.string();
}

}  // namespace

void calibrate(report::Report& report, const BenchRequest& request) {
  const std::vector<std::string> flags =
      brief(without_extras(workload_flags(request.run.argv), request));
  std::vector<std::vector<double>> medians(report.results.size());
  try {
    for (int run = 0; run < kCalibrationRuns; ++run) {
      say(fmt::format("calibrating: run {} of {}", run + 1, kCalibrationRuns));
      const report::Report fresh = fresh_run(this_program(), flags);
      for (const compare::Pair& pair : compare::match(report, fresh).both)
        if (pair.fresh->timing && report::conclusive(*pair.fresh))
          medians[static_cast<std::size_t>(pair.base - report.results.data())].push_back(
              pair.fresh->timing->median);
    }
  } catch (const Interrupted&) {
    say("");
    return;
  } catch (const std::exception& e) {
    say("");
    for (report::Result& r : report.results)
      if (r.timing) r.warnings.push_back(fmt::format("no calibration: {}", e.what()));
    return;
  }
  say("");
  for (std::size_t i = 0; i < medians.size(); ++i) {
    report::Result& r = report.results[i];
    if (medians[i].size() == kCalibrationRuns)
      r.calibration = report::calibration_of(medians[i]);
    else if (report::conclusive(r))
      r.warnings.push_back(
          fmt::format("no calibration: only {} of {} runs gave a number to conclude from",
                      medians[i].size(), kCalibrationRuns));
  }
  report.summary.between_run_spread = report::summarize(report.results).between_run_spread;
}

}  // namespace flashbench::app
