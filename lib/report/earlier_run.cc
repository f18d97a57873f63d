#include "report/earlier_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "report/version.h"
#include "system/error.h"

namespace flashbench::report {
namespace {

constexpr std::string_view kPartial = ".partial";

std::string gpu_of(const Report& r) { return r.context.gpu ? r.context.gpu->model : "no GPU"; }

/// Stricter than case_key(): also what the case was asked for in words, deterministic gradients
/// and block sizes included. Without what stands last: how long a guest may take to answer, and the
/// level of verification: a case that was not verified then is measured again and verified now.
std::string request_key(const Result& r) {
  std::string asked = r.command;
  for (const char* last : {" --patience ", " --verify "})
    asked.resize(std::min(asked.size(), asked.find(last)));
  return asked + "|" + case_key(r);
}

/// Whether the guest of the case is another one by now: its file, or what it says of its build.
bool another_guest(const std::optional<Guest>& then, const std::optional<Guest>& now) {
  return then && now && (then->sha256 != now->sha256 || then->build != now->build);
}

}  // namespace

std::vector<std::string> setup_differences(const Report& then, const Report& now) {
  std::vector<std::string> out;
  const auto compare = [&](std::string_view what, const std::string& a, const std::string& b) {
    if (a != b) out.push_back(fmt::format("{} {}, now {}", what, a, b));
  };
  const Context& a = then.context;
  const Context& b = now.context;
  compare("host", a.host, b.host);
  compare("processor", a.cpu.model, b.cpu.model);
  compare("processor threads", fmt::format("{}", a.cpu.threads), fmt::format("{}", b.cpu.threads));
  compare("GPU", gpu_of(then), gpu_of(now));
  compare("build", tool_text(then.tool), tool_text(now.tool));
  compare("compiler", a.compiler, b.compiler);
  compare("compiler flags", a.flags, b.flags);
  return out;
}

bool same_build_is_certain(const Report& then, const Report& now) {
  return then.tool.git_sha && now.tool.git_sha && !then.tool.dirty.value_or(true) &&
         !now.tool.dirty.value_or(true);
}

std::optional<Result> EarlierRun::take(const Result& wanted, bool unverified_counts) {
  const std::string key = request_key(wanted);
  std::vector<Result>& results = report_.results;
  const auto found = std::find_if(results.begin(), results.end(),
                                  [&](const Result& r) { return request_key(r) == key; });
  if (found == results.end()) return std::nullopt;
  Result result = std::move(*found);
  results.erase(found);
  const bool unverified = result.status == Status::kOk && result.check.verdict == "not verified";
  const bool done = result.status == Status::kOk &&
                    ((numbers_hold(result) && result.timing) || (unverified && unverified_counts));
  if (!done) return std::nullopt;
  if (another_guest(result.guest, wanted.guest)) {
    replaced_.insert(wanted.plugin.value_or(wanted.worker.value_or("")));
    return std::nullopt;
  }
  return result;
}

std::vector<Peak> EarlierRun::with_earlier_peaks(std::vector<Peak> peaks) const {
  for (const Peak& earlier : report_.peaks) {
    const bool read_again = std::any_of(peaks.begin(), peaks.end(), [&](const Peak& p) {
      return p.backend == earlier.backend && p.isa == earlier.isa && p.threads == earlier.threads &&
             p.dtype == earlier.dtype && p.device == earlier.device;
    });
    if (!read_again) peaks.push_back(earlier);
  }
  return peaks;
}

std::string EarlierRun::setup() const {
  return fmt::format("host {}, {}", report_.context.host, tool_text(report_.tool));
}

std::string find_resumable(const std::string& file) {
  std::error_code ignored;
  const std::string partial = file + std::string(kPartial);
  if (std::filesystem::exists(partial, ignored)) return partial;
  if (std::filesystem::exists(file, ignored)) return file;
  throw UsageError(fmt::format("--resume {}: no such report, and no {}", file, partial));
}

std::string without_partial(const std::string& file) {
  return file.ends_with(kPartial) ? file.substr(0, file.size() - kPartial.size()) : file;
}

}  // namespace flashbench::report
