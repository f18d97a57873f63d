#include "system/machine.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::machine {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::nullopt;
  return line;
}

/// nullopt for "max" and everything else that is not a number.
std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> read_number(const fs::path& path) {
  const std::optional<std::string> line = read_line(path);
  return line ? to_number(*line) : std::nullopt;
}

/// The number behind `key` in a file of "key value" lines (memory.stat, /proc/meminfo).
std::optional<std::int64_t> read_field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::string value;
    if (word == key && file >> value) return to_number(value);
    std::getline(file, value);
  }
  return std::nullopt;
}

/// mountinfo writes a space as \040, and so on.
std::string unescape_octal(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 4], code, 8).ptr == &text[i + 4]) {
      out += static_cast<char>(code);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

struct Mount {
  std::string root, point;  ///< which folder of the hierarchy is mounted, and where
};

/// Where a v1 controller, or v2 (an empty name), is mounted.
std::optional<Mount> find_mount(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> left = split(line.substr(0, dash), ' ');
    const std::vector<std::string> right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool matches = controller.empty()
                             ? right[0] == "cgroup2"
                             : right[0] == "cgroup" && contains(split(right[2], ','), controller);
    if (matches) return Mount{unescape_octal(left[3]), unescape_octal(left[4])};
  }
  return std::nullopt;
}

/// This process's group in the hierarchy of a v1 controller, or v2 (an empty name).
std::optional<std::string> find_group(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:memory:/a/b", "0::/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? line.starts_with("0::") : contains(split(names, ','), controller))
      return line.substr(second + 1);
  }
  return std::nullopt;
}

/// The folders from this process's group up to the mounted root of the hierarchy. A container may
/// see only a part of it, or a group outside of what is mounted: then what exists counts.
std::vector<fs::path> group_folders(const fs::path& root, std::string_view controller) {
  const std::optional<Mount> mount = find_mount(root, controller);
  const std::optional<std::string> group = find_group(root, controller);
  if (!mount || !group) return {};
  const fs::path top = root / fs::path(mount->point).relative_path();
  fs::path below = fs::path(*group).lexically_relative(mount->root);
  if (below.empty() || *below.begin() == "..") below = ".";
  std::vector<fs::path> folders;
  for (fs::path at = (top / below).lexically_normal();; at = at.parent_path()) {
    std::error_code ignored;
    if (fs::is_directory(at, ignored)) folders.push_back(at);
    if (at == top.lexically_normal() || !at.has_relative_path()) break;
  }
  return folders;
}

template <typename T>
void lower(std::optional<T>& limit, T value) {
  limit = limit ? std::min(*limit, value) : value;
}

void apply_memory(CgroupLimits& limits, std::int64_t limit, std::int64_t used,
                  std::int64_t reclaimable) {
  // v1 writes "no limit" as the largest multiple of the page size.
  if (limit >= (std::int64_t{1} << 62)) return;
  lower(limits.memory_bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(limit, 0)));
  const std::int64_t free = limit - std::max<std::int64_t>(used - reclaimable, 0);
  lower(limits.memory_free_bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(free, 0)));
}

void apply_v2(CgroupLimits& limits, const fs::path& folder) {
  if (const auto line = read_line(folder / "cpu.max")) {  // "50000 100000" or "max 100000"
    const std::vector<std::string> words = split(*line, ' ');
    const auto quota = to_number(words.empty() ? "" : words[0]);
    const auto period = to_number(words.size() < 2 ? "" : words[1]);
    if (quota && period && *quota > 0 && *period > 0)
      lower(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
  }
  const fs::path stat = folder / "memory.stat";
  for (const char* file : {"memory.max", "memory.high"})  // beyond `high` the kernel throttles
    if (const auto limit = read_number(folder / file))
      apply_memory(limits, *limit, read_number(folder / "memory.current").value_or(0),
                   read_field(stat, "inactive_file").value_or(0) +
                       read_field(stat, "active_file").value_or(0));
}

void apply_v1_cpu(CgroupLimits& limits, const fs::path& folder) {
  const auto quota = read_number(folder / "cpu.cfs_quota_us");  // -1: none
  const auto period = read_number(folder / "cpu.cfs_period_us");
  if (quota && period && *quota > 0 && *period > 0)
    lower(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
}

void apply_v1_memory(CgroupLimits& limits, const fs::path& folder) {
  const fs::path stat = folder / "memory.stat";
  if (const auto limit = read_number(folder / "memory.limit_in_bytes"))
    apply_memory(limits, *limit, read_number(folder / "memory.usage_in_bytes").value_or(0),
                 read_field(stat, "total_inactive_file").value_or(0) +
                     read_field(stat, "total_active_file").value_or(0));
}

/// What a limit of this process leaves of what /proc/self/status counts as `used`.
std::optional<std::uint64_t> rlimit_left(const fs::path& root, decltype(RLIMIT_AS) resource,
                                         std::string_view used_field) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  const auto used_kib = read_field(root / "proc/self/status", used_field).value_or(0);
  const std::uint64_t used = static_cast<std::uint64_t>(used_kib) * 1024;
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  for (const fs::path& folder : group_folders(root, "")) apply_v2(limits, folder);
  for (const fs::path& folder : group_folders(root, "cpu")) apply_v1_cpu(limits, folder);
  for (const fs::path& folder : group_folders(root, "memory")) apply_v1_memory(limits, folder);
  return limits;
}

int usable_cpus(int affinity, const CgroupLimits& limits) {
  int cpus = affinity;
  if (limits.cpus) cpus = std::min(cpus, static_cast<int>(std::ceil(std::min(*limits.cpus, 1e6))));
  return std::max(cpus, 1);
}

int usable_cpus(const fs::path& root) { return usable_cpus(affinity_cpus(), cgroup_limits(root)); }

std::optional<std::uint64_t> physical_memory_bytes(const fs::path& root) {
  const auto kib = read_field(root / "proc/meminfo", "MemTotal:");
  if (!kib) return std::nullopt;
  return static_cast<std::uint64_t>(*kib) * 1024;
}

std::optional<std::uint64_t> available_memory_bytes(const fs::path& root) {
  std::optional<std::uint64_t> bytes;
  if (const auto kib = read_field(root / "proc/meminfo", "MemAvailable:"))
    bytes = static_cast<std::uint64_t>(*kib) * 1024;
  if (const auto left = cgroup_limits(root).memory_free_bytes) lower(bytes, *left);
  if (const auto left = rlimit_left(root, RLIMIT_AS, "VmSize:")) lower(bytes, *left);
  if (const auto left = rlimit_left(root, RLIMIT_DATA, "VmData:")) lower(bytes, *left);
  return bytes;
}

}  // namespace flashbench::machine
