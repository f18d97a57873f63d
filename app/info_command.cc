#include "app/info_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "app/case/peaks.h"
#include "app/case/results.h"
#include "app/info_routes.h"
#include "app/terminal/last_outputs.h"
#include "app/terminal/streams.h"
#include "registry/registry.h"
#include "report/environment.h"
#include "report/json.h"
#include "report/units.h"
#include "report/version.h"
#include "system/atomic_file.h"
#include "system/digits.h"
#include "system/error.h"
#include "system/team.h"

namespace flashbench::app {
namespace {

using nlohmann::ordered_json;

constexpr int kReadings = 5;
constexpr const char* kUnsaid = "the system does not say";

/// "GPU 0", "avx2".
std::string where_text(const BackendInfo& backend, const Place& place) {
  return place.device ? fmt::format("{} {}", backend.device_noun, *place.device)
                      : place.isa.value_or(backend.id.text);
}

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// What has peaks of its own; nothing where its threads cannot be had.
std::vector<Execution> executions_with_peaks(Backend& backend, const ExecutionRequest& asked) {
  try {
    return backend.with_own_peaks(asked);
  } catch (const UnavailableError& e) {
    print_err(fmt::format("flashbench: no peaks of {}: {}\n", backend.info().title, e.what()));
    return {};
  }
}

/// The peaks of everything that the request leaves. What cannot be opened, or fails, is no reason
/// to say nothing of the rest.
std::vector<report::Peak> measure_peaks(const InfoRequest& request, const Backends& backends) {
  PeakLog log;
  const ExecutionRequest asked{.isa = request.isa, .threads = request.threads, .device = {}};
  for (Backend* b : backends) {
    if (request.isa && !b->info().takes_isa) continue;
    const std::vector<Execution> executions = executions_with_peaks(*b, asked);
    for (int i = 0; i < kReadings; ++i)
      for (const Execution& e : executions) log.try_measure_all(*b, e);
    std::map<std::string, std::vector<std::string>> missing;  // by the reason
    for (const Execution& e : executions)
      if (const std::string why = log.missing(*b, e); !why.empty())
        missing[why].push_back(where_text(b->info(), b->place(e)));
    for (const auto& [why, where] : missing)
      print_err(fmt::format("flashbench: peaks are missing for {}: {}\n", joined(where), why));
  }
  return log.report();
}

void require_isa(const InfoRequest& request, const Backends& backends) {
  if (!request.isa) return;
  for (Backend* b : backends)
    for (const IsaStatus& s : b->isas())
      if (s.isa == *request.isa && s.absent)
        throw UnavailableError(fmt::format("--isa {}: {}", name(s.isa), *s.absent));
}

std::string line(std::string_view label, const std::string& value) {
  return fmt::format("{:<12}{}\n", label, value);
}

std::string cache_text(const report::Cpu& cpu) {
  std::string text;
  for (const report::CpuCache& c : cpu.caches) {
    const char* kind = c.type == "data" ? "d" : c.type == "instruction" ? "i" : "";
    const std::string size = c.bytes >= (1u << 20) ? fmt::format("{} MiB", c.bytes >> 20)
                                                   : fmt::format("{} KiB", c.bytes >> 10);
    text += fmt::format("{}L{}{} {}", text.empty() ? "" : ", ", c.level, kind, size);
    if (c.shared_by > 1) text += fmt::format(" (shared by {})", c.shared_by);
  }
  return text.empty() ? kUnsaid : text;
}

std::string memory_text(const report::Context& c) {
  const auto human = [](std::uint64_t b) { return report::human_bytes(static_cast<double>(b)); };
  const std::string all = c.memory_bytes ? human(*c.memory_bytes) : kUnsaid;
  if (!c.memory_available_bytes) return all;
  return fmt::format("{}, {} available to this process", all, human(*c.memory_available_bytes));
}

/// What is read where the memory is: without /proc nobody knows the limits.
std::string cgroup_text(const report::Context& c) {
  if (!c.memory_bytes) return kUnsaid;
  const report::Cgroup& group = c.cpu.cgroup;
  return fmt::format(
      "CPUs: {}; memory: {}", group.cpus ? fmt::format("{:g}", *group.cpus) : "no limit",
      group.memory_bytes ? report::human_bytes(static_cast<double>(*group.memory_bytes))
                         : "no limit");
}

std::string processor_text(const report::Context& c) {
  const report::Cpu& cpu = c.cpu;
  std::string text = line("processor", cpu.model);
  text += line("cores", fmt::format("{} cores, {} hardware threads, {} usable by this process",
                                    cpu.cores, cpu.threads, cpu.usable_threads));
  text += line("caches", cache_text(cpu));
  text += line("clocks",
               cpu.governor ? "governor " + *cpu.governor : "the system does not say (no cpufreq)");
  text += line("energy", c.energy.source ? *c.energy.source
                                         : "absent: " + c.energy.missing.value_or("unknown"));
  if (cpu.load) text += line("load", fmt::format("{:.2f}", *cpu.load));
  text += line("memory", memory_text(c)) + line("cgroup", cgroup_text(c));
  const report::Omp& omp = c.omp;
  text +=
      line("OpenMP",
           fmt::format("{}; teams of {}; proc_bind {}; places {}; wait policy "
                       "{}; dynamic {}",
                       omp.version, omp.max_threads, omp.proc_bind, omp.places.value_or("default"),
                       omp.wait_policy.value_or("default"), omp.dynamic ? "on" : "off"));
  return text + line("system", c.os);
}

/// "SM clock 1.98 of 1.98 GHz, ..., 55 of 700 W, 31 C", or why there is no reading.
std::string reading_text(const DeviceReading& r, const DeviceStatus& device) {
  if (!r.missing.empty()) return "clocks, power and energy unknown: " + r.missing;
  std::vector<std::string> parts;
  const auto pair = [&](const char* what, auto now, auto most, double unit, const char* name) {
    if (now && most)
      parts.push_back(fmt::format("{}{} of {} {}", what, digits(*now / unit, 4),
                                  digits(*most / unit, 4), name));
  };
  pair("SM clock ", r.sm_clock_hz, r.max_sm_clock_hz, 1e9, "GHz");
  pair("memory clock ", r.memory_clock_hz, r.max_memory_clock_hz, 1e9, "GHz");
  pair("", r.power_w, r.power_limit_w, 1, "W");
  if (r.temperature_c) parts.push_back(fmt::format("{:.0f} C", *r.temperature_c));
  if (!r.throttle_reasons.empty())
    parts.push_back("held down by its " + joined(r.throttle_reasons));
  if (r.ecc_errors) parts.push_back(fmt::format("{} uncorrected ECC errors", *r.ecc_errors));
  if (!device.energy_missing.empty()) parts.push_back("no energy: " + device.energy_missing);
  return joined(parts);
}

/// What the device says about its hardware; what it does not say is left out.
std::string hardware_text(const DeviceStatus& d, std::string_view title) {
  std::vector<std::string> parts = {d.name};
  if (!d.capability.empty()) parts.push_back("compute capability " + d.capability);
  if (d.multiprocessors > 0) parts.push_back(fmt::format("{} multiprocessors", d.multiprocessors));
  if (d.memory_bytes > 0) parts.push_back(report::human_bytes(static_cast<double>(d.memory_bytes)));
  if (d.cache_bytes > 0) parts.push_back(fmt::format("L2 {} MiB", d.cache_bytes >> 20));
  if (d.shared_bytes > 0)
    parts.push_back(fmt::format("{} KiB shared memory a block", d.shared_bytes >> 10));
  if (!d.driver.empty())
    parts.push_back(fmt::format("driver {}for {} {}",
                                d.driver_version.empty() ? "" : d.driver_version + " ", title,
                                d.driver));
  return joined(parts);
}

std::string device_line(Backend& backend, const DeviceStatus& d) {
  const std::string label = device_text(d.index);
  if (d.absent) return fmt::format("  {:<14}absent: {}\n", label, *d.absent);
  if (!d.emulates.empty()) return fmt::format("  {:<14}available: {}\n", label, d.emulates);
  std::string text = fmt::format("  {:<14}{}\n", label, hardware_text(d, backend.info().title));
  if (const auto now = backend.read({.device = d.index}))
    text += fmt::format("  {:<14}{}\n", "", reading_text(*now, d));
  return text;
}

/// The devices of every backend, as --device takes them.
std::string devices_text(const Backends& backends) {
  std::string text;
  for (Backend* b : backends) {
    const std::vector<DeviceStatus> devices = b->devices();
    if (!devices.empty()) text += fmt::format("\n{} devices\n", b->info().title);
    for (const DeviceStatus& d : devices) text += device_line(*b, d);
  }
  return text;
}

/// Which problems get the level, and why an available one may serve none.
std::string choice_text(const IsaStatus& s) {
  if (s.chosen_for.size() == std::size(kDtypes)) return "; chosen: the fastest that runs here";
  if (!s.chosen_for.empty()) {
    std::vector<std::string_view> dtypes;
    for (const Dtype dtype : s.chosen_for) dtypes.push_back(name(dtype));
    return fmt::format("; chosen for {}", fmt::join(dtypes, ", "));
  }
  if (s.isa == Isa::kAvx512Bf16)
    return "; not chosen: this processor computes bf16 faster in f32 (--isa avx512_bf16 forces it)";
  return "";
}

std::string levels_text(const Backends& backends) {
  std::string text = "\nISA levels\n";
  for (Backend* b : backends)
    for (const IsaStatus& s : b->isas())
      text += fmt::format(
          "  {:<14}{}\n", name(s.isa),
          s.absent ? "absent: " + *s.absent
                   : fmt::format("available, register tile {}{}", s.tile, choice_text(s)));
  return text;
}

std::string backends_text(const Backends& backends) {
  std::string text = "\nBackends\n";
  for (Backend* b : backends) {
    if (b->info().of_guests) continue;
    const auto absent = b->absent(std::nullopt);
    text += fmt::format("  {:<14}{}\n", name(b->info().id),
                        absent ? "absent: " + *absent : "available");
  }
  return text;
}

std::string kernels_text(const Backends& backends) {
  std::string text = "\nKernels\n";
  std::size_t longest = 0;
  for (const Kernel* k : registry::kernels(backends))
    longest = std::max(longest, k->info().name.size());
  for (const Kernel* k : registry::kernels(backends))
    text += fmt::format("  {:<{}}  {:<8}{:<6}{}\n", k->info().name, longest, name(k->info().type),
                        name(registry::owner(backends, *k).info().id), k->info().description);
  return text;
}

std::string peak_text(const report::Peak& p) {
  const char* note = p.disturbed ? " (disturbed by other programs)" : "";
  if (!p.dtype) return fmt::format("read {}/s{}", report::human_bytes(*p.read_gb_s * 1e9), note);
  return fmt::format("{} {}{}{}", *p.dtype, report::human_flop_rate(*p.gflops * 1e9),
                     p.device ? fmt::format(" ({})", p.isa) : "", note);
}

/// A line for every ISA level and every device, whose count of threads would tell nobody anything.
std::string peaks_text(std::vector<report::Peak> peaks, const Backends& backends) {
  const auto where = [&](const report::Peak& p) {
    const Backend* of = registry::find(backends, {p.backend});
    return where_text(of->info(), {.isa = p.isa, .threads = p.threads, .device = p.device});
  };
  std::string text = "\nPeaks, measured now (multiply-adds of a dtype, reads beyond the caches)\n";
  while (!peaks.empty()) {
    const report::Peak first = peaks.front();
    const auto rest = std::stable_partition(
        peaks.begin(), peaks.end(), [&](const auto& p) { return where(p) == where(first); });
    std::stable_partition(peaks.begin(), rest, [](const auto& p) { return p.dtype.has_value(); });
    std::vector<std::string> parts;
    for (auto p = peaks.begin(); p != rest; ++p) parts.push_back(peak_text(*p));
    peaks.erase(peaks.begin(), rest);
    text +=
        fmt::format("  {:<14}{}{}\n", where(first),
                    first.device ? "" : fmt::format("{} threads: ", first.threads), joined(parts));
  }
  return text;
}

ordered_json availability(const std::optional<std::string>& absent) {
  return {{"available", !absent}, {"reason", absent ? ordered_json(*absent) : ordered_json()}};
}

ordered_json device_json(const DeviceStatus& d) {
  ordered_json json = availability(d.absent);
  if (!d.emulates.empty()) return json;
  json.update({{"name", d.name},
               {"compute_capability", d.capability},
               {"multiprocessors", d.multiprocessors},
               {"memory_bytes", d.memory_bytes},
               {"shared_bytes_per_block", d.shared_bytes},
               {"l2_bytes", d.cache_bytes},
               {"pci_bus_id", d.pci_bus_id},
               {"driver", d.driver},
               {"driver_version", d.driver_version}});
  return json;
}

/// The fields of a report that are about the machine, and what only info knows.
ordered_json info_json(const report::Report& report, const Backends& backends) {
  ordered_json json = report::to_json(report);
  json.erase("results");
  json.erase("summary");
  ordered_json isas = ordered_json::object(), availabilities = ordered_json::object();
  for (Backend* b : backends) {
    if (b->info().of_guests) continue;
    availabilities[b->info().id.text] = availability(b->absent(std::nullopt));
    for (const IsaStatus& s : b->isas()) {
      ordered_json& isa = isas[std::string(name(s.isa))] = availability(s.absent);
      if (!s.absent) isa["tile"] = s.tile;
    }
  }
  json["isas"] = std::move(isas);
  json["backends"] = std::move(availabilities);
  for (Backend* b : backends)
    for (const DeviceStatus& d : b->devices())
      json[b->info().id.text + "_devices"][device_text(d.index)] = device_json(d);
  ordered_json& kernels = json["kernels"] = ordered_json::array();
  for (const Kernel* k : registry::kernels(backends))
    kernels.push_back({{"name", k->info().name},
                       {"type", name(k->info().type)},
                       {"backend", name(registry::owner(backends, *k).info().id)},
                       {"description", k->info().description}});
  return json;
}

/// The text, and where --json says so the same as JSON.
ExitCode write_info(const InfoRequest& request, const std::string& text, const ordered_json& json) {
  if (request.json.empty()) {
    print_out(folded(text));
    return ExitCode::kOk;
  }
  const std::string data = json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  if (request.json == "-") {
    print_err(text);
    print_data(data);
    return ExitCode::kOk;
  }
  LastOutputs outputs;
  outputs.attempt([&] { write_file_atomically(request.json, data); });
  print_out(folded(text));
  return outputs.code(ExitCode::kOk);
}

ExitCode run_info(const InfoRequest& request, const Runtime& runtime) {
  const Backends& backends = runtime.backends;
  if (request.kernels) {
    for (const Kernel* k : registry::kernels(backends)) print_out(k->info().name + "\n");
    return ExitCode::kOk;
  }
  require_isa(request, backends);
  std::vector<OutputLock> claimed;
  claim_output(request.json, claimed);
  if (!request.as.empty()) {
    const RouteTable table = find_routes(backends, request.as);
    return write_info(request, routes_text(table), routes_json(table));
  }
  report::Report report;
  report.tool = report::tool();
  report.argv = request.argv;
  report.started_at = report::utc_now();
  team::set_default(team::limited(request.threads > 0 ? request.threads : team::default_threads()));
  report.context = machine_context(backends);
  report.peaks = measure_peaks(request, backends);
  const std::string text = report::version_line() + "\n\n" + processor_text(report.context) +
                           levels_text(backends) + backends_text(backends) +
                           devices_text(backends) + kernels_text(backends) +
                           peaks_text(report.peaks, backends);
  return write_info(request, text, info_json(report, backends));
}

}  // namespace

const Command& info_command() {
  using enum FlagSet;
  static const Command command{.name = "info",
                               .summary = "the processor, its limits, kernels and measured peaks",
                               .more =
                                   "Examples:\n"
                                   "  flashbench info\n"
                                   "  flashbench info --json -\n"
                                   "  flashbench info --as sm_80\n",
                               .takes = {kEvery, kMachine, kInfo},
                               .run = [](const CommandLine& line, const Runtime& runtime) {
                                 return run_info(info_request(line, runtime.backends), runtime);
                               }};
  return command;
}

}  // namespace flashbench::app
