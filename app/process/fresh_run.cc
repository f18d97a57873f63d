#include "app/process/fresh_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/process/child.h"
#include "report/json.h"
#include "system/error.h"
#include "system/process.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of(" \n\r") + 1);
  return text.substr(text.find_last_of('\n') + 1);
}

}  // namespace

bool names_flag(const std::vector<std::string>& flags, std::string_view flag) {
  return std::any_of(flags.begin(), flags.end(), [&](const std::string& word) {
    return word.substr(0, word.find('=')) == flag;
  });
}

report::Report fresh_run(const std::string& program, const std::vector<std::string>& flags) {
  std::vector<std::string> argv = {program, "bench"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  argv.insert(argv.end(), {"--json", "-"});
  const ChildResult child = run_child(argv);
  const auto code = static_cast<ExitCode>(child.exit_code);
  // A report comes with exit 1 too: something in it is wrong or failed.
  if (!child.out.empty() && (code == ExitCode::kOk || code == ExitCode::kFailed))
    return report::from_json_text(child.out, fmt::format("what {} wrote", quote(program)));
  const std::string said = code == ExitCode::kOk ? "but no report" : last_line(child.err);
  const std::string what = fmt::format("{}: exit {}{}", command_line(argv), child.exit_code,
                                       said.empty() ? "" : fmt::format(", {}", said));
  if (code == ExitCode::kUsage || child.exit_code == process::kCannotExecute)
    throw UsageError(what);
  if (code == ExitCode::kUnavailable) throw UnavailableError(what);
  throw DeviceError(what);
}

std::vector<std::string> brief(std::vector<std::string> flags) {
  constexpr std::pair<const char*, const char*> kDefaults[] = {{"--min_time", "100ms"},
                                                               {"--min_samples", "5"},
                                                               {"--max_noise", "0.1"},
                                                               {"--timeout", "5s"},
                                                               {"--verify", "sample"}};
  const std::vector<std::string> given = flags;
  for (const auto& [flag, value] : kDefaults)
    if (!names_flag(given, flag)) flags.insert(flags.end(), {flag, value});
  return flags;
}

}  // namespace flashbench::app
