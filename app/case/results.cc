#include "app/case/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <new>
#include <utility>

#include "app/case/prepared_case.h"
#include "app/case/references.h"
#include "app/terminal/streams.h"
#include "kernel/late_refusal.h"
#include "report/environment.h"
#include "report/grid.h"
#include "report/verdict_line.h"
#include "report/version.h"
#include "report/warning_lines.h"
#include "system/error.h"
#include "system/interrupt.h"

namespace flashbench::app {
namespace {

/// The fields that a sweep varied. Those that nobody gave and that follow another one in every case
/// are left out: naming them as well would make two parameters of one.
std::vector<const sweep::Field*> varied_fields(const std::vector<sweep::Case>& cases) {
  std::vector<const sweep::Field*> varied;
  for (const sweep::Field& f : sweep::fields()) {
    if (f.parse == nullptr || f.varies == sweep::Varies::kNever) continue;
    const std::string first = f.text(cases.front());
    const auto is_first = [&](const sweep::Case& c) { return f.text(c) == first; };
    if (std::all_of(cases.begin(), cases.end(), is_first)) continue;
    if (f.follows != nullptr && std::all_of(cases.begin(), cases.end(), f.follows)) continue;
    varied.push_back(&f);
  }
  return varied;
}

/// The device that the first case to number one asks for; 0 where none does.
int first_device(const std::vector<sweep::Group>& groups) {
  for (const sweep::Group& group : groups)
    for (const sweep::Case& c : group.cases)
      if (c.device && *c.device >= 0) return *c.device;
  return 0;
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

report::Gpu device_context(Backend& backend, const DeviceStatus& device) {
  report::Gpu gpu;
  gpu.model = device.name;
  gpu.compute_capability = device.capability;
  gpu.multiprocessors = device.multiprocessors;
  gpu.memory_bytes = device.memory_bytes;
  gpu.driver = device.driver;
  gpu.runtime = device.runtime;
  gpu.driver_version = unless_empty(device.driver_version);
  gpu.pci_bus_id = unless_empty(device.pci_bus_id);
  gpu.l2_bytes = device.cache_bytes;
  gpu.energy.source = unless_empty(device.energy_source);
  gpu.energy.missing = unless_empty(device.energy_missing);
  const std::optional<DeviceReading> now = backend.read({.device = device.index});
  if (!now) return gpu;
  gpu.sm_clock_hz = now->sm_clock_hz;
  gpu.max_sm_clock_hz = now->max_sm_clock_hz;
  gpu.memory_clock_hz = now->memory_clock_hz;
  gpu.max_memory_clock_hz = now->max_memory_clock_hz;
  gpu.throttle_reasons = now->throttle_reasons;
  gpu.power_w = now->power_w;
  gpu.power_limit_w = now->power_limit_w;
  gpu.temperature_c = now->temperature_c;
  gpu.ecc_errors = now->ecc_errors;
  gpu.nvml_missing = unless_empty(now->missing);
  return gpu;
}

/// The ISA level that f32 gets here; "" where no backend has levels.
std::string best_isa(const Backends& backends) {
  for (Backend* b : backends)
    for (const IsaStatus& s : b->isas())
      if (std::find(s.chosen_for.begin(), s.chosen_for.end(), Dtype::kF32) != s.chosen_for.end())
        return std::string(name(s.isa));
  return "";
}

std::optional<double> positive(double v) { return v > 0 ? std::optional(v) : std::nullopt; }

std::vector<std::string> names_of(const ExtraRoundings& rounds) {
  std::vector<std::string> names;
  for (const ExtraRounding r : kExtraRoundings)
    if (rounds.has(r)) names.emplace_back(name(r));
  return names;
}

/// So that nobody takes its limits for those of the others.
std::string limits_of(const std::string& kernel, ExtraRounding r) {
  switch (r) {
    case ExtraRounding::kQueryHeads:
      return fmt::format(
          "limits of {}: with one more rounding, of what each query head adds to dK and dV",
          kernel);
  }
  no_such_enumerator();
}

}  // namespace

report::Result result_of(std::string_view command, const RoutedCase& c, VerifyMode verify) {
  const sweep::Case& request = c.request;
  report::Result r;
  static_cast<sweep::CaseRecord&>(r) = sweep::record_of(request);
  r.command = reproduce(command, c);
  if (verify != VerifyMode::kAuto) r.command += fmt::format(" --verify {}", name(verify));
  if (!request.part.empty()) r.part = request.part;
  r.status = c.runs() ? report::Status::kOk : report::Status::kSkipped;
  if (c.skipped) {
    r.refusal = c.skipped->kind;
    r.reason = c.skipped->reason;
  }
  r.backend = name(c.backend);
  r.isa = c.place.isa;
  r.threads = c.place.threads;
  r.device = c.place.device;
  if (c.route) {
    const auto& [backend, kernel, execution] = *c.route;
    r.kernel = kernel->info().name;
    if (const auto guest = kernel->guest())
      r.guest = {
          kernel->info().description, guest->build, guest->abi, guest->sha256, guest->isolated,
          names_of(guest->rounds)};
    if (c.traits().own_memory) r.device_bytes = kernel->device_bytes(request.problem, execution);
    r.workspace_bytes = kernel->workspace_bytes(request.problem, execution);
  }
  r.warnings = c.warnings;
  if (verify != VerifyMode::kNone && c.runs())
    warn_of_limits(r, *r.kernel, extra_roundings(c, request.problem));
  add_work(r, count_work(request.problem, expected_visible(request.problem)));
  return r;
}

void warn_of_limits(report::Result& result, const std::string& kernel, ExtraRoundings rounds) {
  for (const ExtraRounding r : kExtraRoundings)
    if (rounds.has(r)) result.warnings.push_back(limits_of(kernel, r));
}

void add_work(report::Result& result, const Work& work) {
  const sweep::Workload& w = result.workload;
  result.flop_convention =
      w.d_v() == w.d ? kFlopConvention
                     : "b*h*q*k*(2*d + 2*d_v) forward, (6*d + 4*d_v) backward, visible pairs";
  result.flop_dense = work.flop_dense;
  result.flop_visible = work.flop_visible;
  result.bytes = static_cast<std::uint64_t>(work.bytes);
}

void add_verdict(report::Result& result, const Verdict& verdict, const std::string& check) {
  result.check = report::check_of(verdict);
  if (!verdict.checked() || verdict.ok()) return;
  result.status = report::Status::kFailed;
  for (std::size_t i = 0; i < verdict.tensors.size(); ++i)
    if (!verdict.tensors[i].ok) {
      result.reason =
          fmt::format("wrong result: {}; reproduce: {}",
                      report::verdict_line(result.check.worst[i], result.workload.dtype), check);
      return;
    }
}

void add_failure(report::Result& result, const std::exception& error) {
  const bool no_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  const bool unavailable = dynamic_cast<const UnavailableError*>(&error) != nullptr;
  if (interrupted()) {
    result.status = report::Status::kInterrupted;
    result.reason = "interrupted before it was verified";
    return;
  }
  result.status = report::Status::kFailed;
  result.reason = no_memory ? "not enough memory" : error.what();
  if (!no_memory && !unavailable) return;
  result.status = report::Status::kSkipped;
  if (no_memory || dynamic_cast<const OutOfMemoryError*>(&error) != nullptr)
    result.refusal = Rejection::Kind::kMemory;
  else if (dynamic_cast<const LateRefusal*>(&error) != nullptr)
    result.refusal = Rejection::Kind::kUnsupported;
  else
    result.refusal = Rejection::Kind::kAbsent;
}

void add_phases(report::Result& result, PreparedCase& prepared, PhaseOrder order) {
  std::vector<PhaseProfile::Row> rows;
  try {
    rows = prepared.profile();
  } catch (const Interrupted&) {
    result.warnings.emplace_back("no phases: interrupted while they were timed");
    return;
  }
  std::vector<report::Phase>& phases = result.phases.emplace();
  for (const PhaseProfile::Row& row : rows) {
    report::Phase phase{row.phase, row.seconds, row.calls, row.bytes};
    phase.counts.insert(row.counts.begin(), row.counts.end());
    phase.flop = positive(row.cost.flop);
    phase.bytes_moved = positive(row.cost.bytes);
    for (const PhaseProfile::Share& t : row.threads)
      phase.threads.push_back({t.seconds, t.calls, positive(t.cost.flop), positive(t.cost.bytes)});
    phases.push_back(std::move(phase));
  }
  if (order == PhaseOrder::kTime)
    std::stable_sort(phases.begin(), phases.end(),
                     [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  if (order == PhaseOrder::kMemory)
    std::stable_sort(phases.begin(), phases.end(),
                     [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  result.phase_timer_s = phase_timer_cost_s();
}

void add_parameters(std::vector<report::Result>& results, const std::vector<sweep::Case>& cases) {
  if (cases.empty()) return;
  for (const sweep::Field* f : varied_fields(cases))
    for (std::size_t n = 0; n < results.size() && n < cases.size(); ++n)
      results[n].parameters.emplace(f->name, f->text(cases[n]));
}

report::Context machine_context(const Backends& backends, int device) {
  report::Context context = report::capture_context(best_isa(backends));
  for (Backend* b : backends)
    for (const DeviceStatus& d : b->devices())
      if (d.index == device && d.emulates.empty()) context.gpu = device_context(*b, d);
  return context;
}

report::Report new_report(const RunRequest& run, const Backends& backends) {
  report::Report report;
  report.tool = report::tool();
  report.argv = run.argv;
  report.started_at = report::utc_now();
  report.context = machine_context(backends, first_device(run.groups));
  return report;
}

void print_warnings(const report::Report& report) {
  for (const std::string& warning : report::warning_lines(report)) print_err(warning + "\n");
}

ExitCode exit_code(const std::vector<report::Result>& results) {
  const auto any = [&](report::Status status) {
    return std::any_of(results.begin(), results.end(),
                       [&](const report::Result& r) { return r.status == status; });
  };
  if (any(report::Status::kFailed)) return ExitCode::kFailed;
  if (any(report::Status::kOk)) return ExitCode::kOk;
  return ExitCode::kUnavailable;
}

}  // namespace flashbench::app
