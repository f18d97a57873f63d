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
#include <sstream>

#include "report/version.h"
#include "system/energy_meter.h"
#include "system/machine.h"

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

/// How many processors a list like "0-3,8" names.
int count_list(const std::string& list) {
  int count = 0;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    int first = 0, last = 0;
    const char* end = part.data() + part.size();
    const auto begin = std::from_chars(part.data(), end, first);
    if (begin.ec != std::errc{}) continue;
    last = first;
    if (begin.ptr != end && *begin.ptr == '-') std::from_chars(begin.ptr + 1, end, last);
    count += std::max(last - first + 1, 0);
  }
  return count;
}

/// "512K", "32M", "1024" to bytes.
std::uint64_t cache_bytes(const std::string& text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr == text.data() + text.size()) return value;
  return *parsed.ptr == 'K' ? value << 10 : *parsed.ptr == 'M' ? value << 20 : value;
}

std::vector<CpuCache> read_caches(const fs::path& cpu_folder) {
  std::vector<CpuCache> caches;
  for (int i = 0;; ++i) {
    const fs::path folder = cpu_folder / fmt::format("cpu0/cache/index{}", i);
    const auto level = read_line(folder / "level");
    const auto size = read_line(folder / "size");
    if (!level) break;
    CpuCache cache;
    std::from_chars(level->data(), level->data() + level->size(), cache.level);
    cache.type = read_line(folder / "type").value_or("");
    std::transform(cache.type.begin(), cache.type.end(), cache.type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (size) cache.bytes = cache_bytes(*size);
    cache.shared_by = std::max(count_list(read_line(folder / "shared_cpu_list").value_or("0")), 1);
    caches.push_back(std::move(cache));
  }
  return caches;
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
  cpu.usable_threads = machine::usable_cpus(root);
  const auto online = read_line(folder / "online");
  cpu.threads = online ? count_list(*online) : machine::affinity_cpus();
  cpu.cores = count_cores(folder, cpu.threads);
  cpu.caches = read_caches(folder);
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
  omp.max_threads = omp_get_max_threads();
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
