#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "app/case/peaks.h"
#include "app/case/results.h"
#include "app/commands.h"
#include "app/terminal/streams.h"
#include "registry/registry.h"
#include "report/environment.h"
#include "report/json.h"
#include "report/units.h"
#include "report/version.h"
#include "system/atomic_file.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

using nlohmann::ordered_json;

constexpr int kReadings = 5;

/// A GPU that cannot be opened, or fails, is no reason to say nothing of the rest.
void read_gpu_peaks(int device, PeakLog& log) {
  Execution e;
  e.backend = Backend::kCuda;
  e.device = device;
  for (int i = 0; i < kReadings; ++i)
    for (const Dtype dtype : kDtypes) log.try_measure(e, dtype);
  if (const std::string why = log.missing(e); !why.empty())
    print_err(fmt::format("flashbench: no peaks of GPU {}: {}\n", device, why));
}

/// The peaks of every level that runs here, or of the one that was asked for, and of every GPU.
std::vector<report::Peak> measure_peaks(const InfoRequest& request) {
  PeakLog log;
  Execution e;
  e.threads = request.threads > 0 ? request.threads : registry::usable_threads();
  for (int i = 0; i < kReadings; ++i)
    for (const Isa isa : registry::available_isas()) {
      if (request.isa && isa != *request.isa) continue;
      e.isa = isa;
      for (const Dtype dtype : kDtypes) log.measure_flops(e, dtype);
      log.measure_bandwidth(e);
    }
  if (!request.isa)
    for (const registry::GpuStatus& g : registry::gpus()) read_gpu_peaks(g.index, log);
  return log.report();
}

void require_isa(const InfoRequest& request) {
  if (!request.isa) return;
  for (const registry::IsaStatus& s : registry::isas())
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
  return text.empty() ? "the system does not say" : text;
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
  text += line(
      "memory",
      fmt::format(
          "{}{}", report::human_bytes(static_cast<double>(c.memory_bytes)),
          c.memory_available_bytes
              ? fmt::format(", {} available to this process",
                            report::human_bytes(static_cast<double>(*c.memory_available_bytes)))
              : ""));
  text += line("cgroup",
               fmt::format("CPUs: {}; memory: {}",
                           cpu.cgroup.cpus ? fmt::format("{:g}", *cpu.cgroup.cpus) : "no limit",
                           cpu.cgroup.memory_bytes
                               ? report::human_bytes(static_cast<double>(*cpu.cgroup.memory_bytes))
                               : "no limit"));
  const report::Omp& omp = c.omp;
  text +=
      line("OpenMP",
           fmt::format("{}; up to {} threads; proc_bind {}; places {}; wait policy "
                       "{}; dynamic {}",
                       omp.version, omp.max_threads, omp.proc_bind, omp.places.value_or("default"),
                       omp.wait_policy.value_or("default"), omp.dynamic ? "on" : "off"));
  return text + line("system", c.os);
}

std::string capability_text(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// "SM clock 1.98 of 1.98 GHz, ..., 55 of 700 W, 31 C", or why NVML says nothing.
std::string reading_text(const registry::GpuStatus& g) {
  const GpuReading r = registry::read_gpu(g.index);
  if (!r.missing.empty()) return "clocks, power and energy unknown: " + r.missing;
  std::vector<std::string> parts;
  const auto pair = [&](const char* what, auto now, auto most, double unit, const char* name) {
    if (now && most)
      parts.push_back(fmt::format("{}{:.4g} of {:.4g} {}", what, *now / unit, *most / unit, name));
  };
  pair("SM clock ", r.sm_clock_hz, r.max_sm_clock_hz, 1e9, "GHz");
  pair("memory clock ", r.memory_clock_hz, r.max_memory_clock_hz, 1e9, "GHz");
  pair("", r.power_w, r.power_limit_w, 1, "W");
  if (r.temperature_c) parts.push_back(fmt::format("{:.0f} C", *r.temperature_c));
  if (!r.throttle_reasons.empty())
    parts.push_back("held down by its " + joined(r.throttle_reasons));
  if (r.ecc_errors) parts.push_back(fmt::format("{} uncorrected ECC errors", *r.ecc_errors));
  if (!g.energy_missing.empty()) parts.push_back("no energy: " + g.energy_missing);
  return joined(parts);
}

/// The devices of the CUDA backend, as --device takes them.
std::string gpus_text() {
  std::string text = "\nCUDA devices\n";
  for (const registry::GpuStatus& g : registry::gpus())
    text += fmt::format(
        "  {:<14}{}, compute capability {}, {} multiprocessors, {}, L2 {} MiB, {} KiB shared "
        "memory a block, driver {}for CUDA {}\n  {:<14}{}\n",
        g.index, g.name, capability_text(g.capability), g.multiprocessors,
        report::human_bytes(static_cast<double>(g.memory_bytes)), g.l2_bytes >> 20,
        g.shared_bytes >> 10, g.driver_version.empty() ? "" : g.driver_version + " ", g.driver, "",
        reading_text(g));
  const auto absent = registry::emulated_device_absent();
  text += fmt::format("  {:<14}{}\n", device_text(kEmulatedDevice),
                      absent ? "absent: " + *absent
                             : "available: executes the kernels' PTX on this processor, for check, "
                               "forward and backward");
  return text;
}

/// Which problems get the level, and why an available one may serve none.
std::string choice_text(const registry::IsaStatus& s) {
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

std::string levels_text() {
  std::string text = "\nISA levels\n";
  for (const registry::IsaStatus& s : registry::isas())
    text += fmt::format("  {:<14}{}\n", name(s.isa),
                        s.absent
                            ? "absent: " + *s.absent
                            : fmt::format("available, register tile {}{}", s.tile, choice_text(s)));
  text += "\nBackends\n";
  for (const registry::BackendStatus& s : registry::backends())
    text += fmt::format("  {:<14}{}\n", name(s.backend),
                        s.absent ? "absent: " + *s.absent : "available");
  text += gpus_text();
  text += "\nKernels\n";
  for (const Kernel* k : registry::kernels())
    text += fmt::format("  {:<14}{:<8}{:<6}{}\n", k->info().name, name(k->info().type),
                        name(k->info().backend), k->info().description);
  return text;
}

std::string peak_text(const report::Peak& p) {
  if (!p.dtype) return fmt::format("read {}/s", report::human_bytes(*p.read_gb_s * 1e9));
  return fmt::format("{} {}{}", *p.dtype, report::human_flop_rate(*p.gflops * 1e9),
                     p.device ? fmt::format(" ({})", p.isa) : "");
}

/// A line for every ISA level and every GPU, whose count of threads would tell nobody anything.
std::string peaks_text(std::vector<report::Peak> peaks) {
  const auto where = [](const report::Peak& p) { return p.device ? "GPU " + *p.device : p.isa; };
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

/// The fields of a report that are about the machine, and what only info knows.
ordered_json info_json(const report::Report& report) {
  ordered_json json = report::to_json(report);
  json.erase("results");
  json.erase("summary");
  const auto availability = [](const std::optional<std::string>& absent) {
    return ordered_json{{"available", !absent},
                        {"reason", absent ? ordered_json(*absent) : ordered_json()}};
  };
  ordered_json isas = ordered_json::object(), backends = ordered_json::object();
  for (const registry::IsaStatus& s : registry::isas()) {
    isas[std::string(name(s.isa))] = availability(s.absent);
    if (!s.absent) isas[std::string(name(s.isa))]["tile"] = s.tile;
  }
  for (const registry::BackendStatus& s : registry::backends())
    backends[std::string(name(s.backend))] = availability(s.absent);
  ordered_json devices = ordered_json::object();
  for (const registry::GpuStatus& g : registry::gpus())
    devices[device_text(g.index)] = {{"available", true},
                                     {"reason", nullptr},
                                     {"name", g.name},
                                     {"compute_capability", capability_text(g.capability)},
                                     {"multiprocessors", g.multiprocessors},
                                     {"memory_bytes", g.memory_bytes},
                                     {"shared_bytes_per_block", g.shared_bytes},
                                     {"l2_bytes", g.l2_bytes},
                                     {"pci_bus_id", g.pci_bus_id},
                                     {"driver", g.driver},
                                     {"driver_version", g.driver_version}};
  devices[device_text(kEmulatedDevice)] = availability(registry::emulated_device_absent());
  ordered_json kernels = ordered_json::array();
  for (const Kernel* k : registry::kernels())
    kernels.push_back({{"name", k->info().name},
                       {"type", name(k->info().type)},
                       {"backend", name(k->info().backend)},
                       {"description", k->info().description}});
  json["isas"] = std::move(isas);
  json["backends"] = std::move(backends);
  json["cuda_devices"] = std::move(devices);
  json["kernels"] = std::move(kernels);
  return json;
}

}  // namespace

ExitCode run_info(const InfoRequest& request) {
  require_isa(request);
  if (!request.json.empty() && request.json != "-") require_writable(request.json);
  report::Report report;
  report.tool = report::tool();
  report.argv = request.argv;
  report.started_at = report::utc_now();
  report.context = machine_context();
  report.peaks = measure_peaks(request);
  const std::string text = report::version_line() + "\n\n" + processor_text(report.context) +
                           levels_text() + peaks_text(report.peaks);
  if (request.json == "-") {
    print_err(text);
    print_out(info_json(report).dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    return ExitCode::kOk;
  }
  if (!request.json.empty())
    write_file_atomically(
        request.json,
        info_json(report).dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  print_out(text);
  return ExitCode::kOk;
}

}  // namespace flashbench::app
