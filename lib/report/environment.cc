#include "report/environment.h"

#include <fmt/format.h>
#include <omp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>

#include "report/version.h"
#include "system/caches.h"
#include "system/energy_meter.h"
#include "system/machine.h"
#include "system/team.h"

namespace flashbench::report {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line) || line.empty()) return std::nullopt;
  return line;
}

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

/// The value of the first "key<separator>value" line, blanks and quotes around it removed.
std::optional<std::string> find_value(const fs::path& path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find(separator);
    if (at == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_first_not_of(" \t", key.size()) != at) continue;  // a longer key
    const std::size_t first = line.find_first_not_of(" \t\"", at + 1);
    const std::size_t last = line.find_last_not_of(" \t\"");
    if (first != std::string::npos && last >= first) return line.substr(first, last - first + 1);
  }
  return std::nullopt;
}

std::vector<CpuCache> caches_of_first(const fs::path& root) {
  std::vector<CpuCache> all;
  for (const machine::Cache& c : machine::caches(0, root))
    all.push_back({c.level, c.type, c.bytes, std::max(static_cast<int>(c.cpus.size()), 1)});
  return all;
}

/// Processors that share a core list each other: distinct lists are cores.
int count_cores(const fs::path& cpu_folder, int online) {
  std::set<std::string> cores;
  for (int cpu = 0; cpu < 4096; ++cpu) {
    const fs::path topology = cpu_folder / fmt::format("cpu{}/topology", cpu);
    if (const auto siblings = read_line(topology / "thread_siblings_list")) cores.insert(*siblings);
  }
  return cores.empty() ? online : static_cast<int>(cores.size());
}

Cpu capture_cpu(const std::string& isa, const std::string& architecture, const fs::path& root) {
  const fs::path folder = root / "sys/devices/system/cpu";
  const fs::path cpuinfo = root / "proc/cpuinfo";
  Cpu cpu;
  cpu.model = find_value(cpuinfo, "model name", ':')
                  .value_or(find_value(cpuinfo, "Model", ':').value_or(architecture));
  cpu.usable_threads = team::limited(machine::usable_cpus(root));
  const auto online = read_line(folder / "online");
  cpu.threads =
      online ? static_cast<int>(machine::parse_cpu_list(*online).size()) : machine::affinity_cpus();
  cpu.cores = count_cores(folder, cpu.threads);
  cpu.caches = caches_of_first(root);
  cpu.isa = isa;
  cpu.governor = read_line(folder / "cpu0/cpufreq/scaling_governor");
  if (const auto load = read_line(root / "proc/loadavg")) {
    double value = 0;
    if (std::from_chars(load->data(), load->data() + load->size(), value).ec == std::errc{})
      cpu.load = value;
  }
  const machine::CgroupLimits limits = machine::cgroup_limits(root);
  cpu.cgroup = {limits.cpus, limits.memory_bytes};
  return cpu;
}

std::string_view proc_bind_name(omp_proc_bind_t bind) {
  switch (bind) {
    case omp_proc_bind_true:
      return "true";
    case omp_proc_bind_master:
      return "primary";
    case omp_proc_bind_close:
      return "close";
    case omp_proc_bind_spread:
      return "spread";
    case omp_proc_bind_false:
    default:
      return "false";
  }
}

Omp capture_omp() {
  Omp omp;
  omp.version = _OPENMP;
  omp.max_threads = team::limited(omp_get_max_threads());
  omp.proc_bind = proc_bind_name(omp_get_proc_bind());
  omp.places = environment_variable("OMP_PLACES");
  omp.wait_policy = environment_variable("OMP_WAIT_POLICY");
  omp.dynamic = omp_get_dynamic() != 0;
  return omp;
}

}  // namespace

Context capture_context(const std::string& isa, const fs::path& root) {
  utsname system{};
  uname(&system);
  const BuildInfo& build = build_info();
  Context c;
  c.host = system.nodename;
  const auto distribution = find_value(root / "etc/os-release", "PRETTY_NAME", '=');
  c.os = fmt::format("{}{} {} {}", distribution ? *distribution + ", " : "", system.sysname,
                     system.release, system.machine);
  c.compiler = build.compiler;
  c.flags = fmt::format("{}: {}", build.build_type, build.flags);
  c.cpu = capture_cpu(isa, system.machine, root);
  c.omp = capture_omp();
  c.memory_bytes = machine::physical_memory_bytes(root);
  c.memory_available_bytes = machine::available_memory_bytes(root);
  const EnergyMeter meter(root);
  if (meter.missing().empty())
    c.energy.source =
        fmt::format("RAPL, {} package{}", meter.packages(), meter.packages() == 1 ? "" : "s");
  else
    c.energy.missing = meter.missing();
  return c;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace flashbench::report
