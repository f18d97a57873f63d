#include "report/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string_view>
#include <utility>

#include "report/csv.h"
#include "report/json.h"
#include "report/markdown.h"
#include "report/trend.h"
#include "system/atomic_file.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/quote.h"

namespace flashbench::report {
namespace {

namespace fs = std::filesystem;

std::vector<NamedOutput> named(const Outputs& o) {
  return {{"--json", o.json},
          {"--csv", o.csv},
          {"--md", o.md},
          {"--bmf", o.bmf},
          {"--github_benchmark", o.github}};
}

std::string partial_of(const std::string& json) { return json + ".partial"; }

bool is_file(const std::string& path) { return !path.empty() && path != "-"; }

/// The same for two names of one file.
std::string identity(const std::string& path) {
  if (!is_file(path)) return path;
  std::error_code unknown;
  // A relative path to nothing would stay as it is spelled.
  const fs::path canonical = fs::weakly_canonical(fs::absolute(path, unknown), unknown);
  return unknown ? path : canonical.string();
}

void put(const std::string& path, const std::string& text) {
  if (path != "-") return write_file_atomically(path, text);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw DeviceError(fmt::format("writing to stdout failed: {}", std::strerror(errno)));
}

}  // namespace

bool names_stdout(const std::string& path) {
  for (const char* name : {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
    if (path == name) return true;
  return false;
}

void require_distinct(const Outputs& reports, std::vector<NamedOutput> outputs,
                      const std::vector<std::string>& inputs) {
  for (NamedOutput& report : named(reports)) outputs.push_back(std::move(report));
  if (is_file(reports.json))
    outputs.push_back({"the unfinished report of --json", partial_of(reports.json)});
  for (std::size_t i = 0; i < outputs.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const std::string& path = outputs[i].path;
      if (path.empty() || path == "/dev/null" || identity(path) != identity(outputs[j].path))
        continue;
      throw UsageError(fmt::format("{} and {} both write to {}; give one of them another file",
                                   outputs[j].flag, outputs[i].flag,
                                   path == "-" ? "stdout ('-')" : path));
    }
  for (const NamedOutput& output : outputs)
    for (const std::string& input : inputs) {
      std::error_code absent;
      if (is_file(output.path) && !input.empty() && fs::equivalent(output.path, input, absent) &&
          is_replaced(output.path))
        throw UsageError(fmt::format("{} {} would replace an input; name another file", output.flag,
                                     quote(output.path)));
    }
}

ReportWriter::ReportWriter(Outputs outputs) : outputs_(std::move(outputs)) {
  for (const NamedOutput& output : named(outputs_)) claim_output(output.path, locks_);
  if (!is_file(outputs_.json) || !is_replaced(outputs_.json)) return;
  partial_ = partial_of(outputs_.json);
  require_writable(partial_);
}

bool ReportWriter::stdout_taken() const {
  const std::vector<NamedOutput> all = named(outputs_);
  return std::any_of(all.begin(), all.end(), [](const NamedOutput& o) { return o.path == "-"; });
}

std::string ReportWriter::update(const Report& report) {
  if (partial_.empty()) return "";
  try {
    write_file_atomically(partial_, to_json_text(report));
    kept_ = report.results.size();
  } catch (const std::exception& e) {
    if (!std::exchange(complained_, true)) return e.what();
  }
  return "";
}

std::string ReportWriter::lost_json(const std::string& why, const Report& report) const {
  std::error_code gone;
  if (partial_.empty() || kept_ == 0 || !fs::exists(partial_, gone)) return why;
  return fmt::format("{}; {} has {} of {} cases, and --resume takes it", why, quote(partial_),
                     kept_, report.results.size());
}

std::vector<std::string> ReportWriter::finish(const Report& report) {
  std::vector<std::string> lost;
  const auto try_to_put = [&](const std::string& path, const auto& text) {
    if (path.empty()) return;
    try {
      put(path, text(report));
    } catch (const Interrupted&) {  // a FIFO that nobody reads; the exit code tells
    } catch (const std::exception& e) {
      lost.push_back(path == outputs_.json ? lost_json(e.what(), report) : e.what());
    }
  };
  try_to_put(outputs_.json, to_json_text);
  std::error_code ignored;
  if (!partial_.empty() && lost.empty()) fs::remove(partial_, ignored);
  try_to_put(outputs_.csv, [](const Report& r) { return csv_text(r); });
  try_to_put(outputs_.md, [](const Report& r) { return markdown_text(r); });
  try_to_put(outputs_.bmf, bmf_text);
  try_to_put(outputs_.github, github_benchmark_text);
  return lost;
}

}  // namespace flashbench::report
