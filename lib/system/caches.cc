#include "system/caches.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

namespace flashbench::machine {
namespace {

namespace fs = std::filesystem;

constexpr int kMostCpus = 1 << 16;  // beyond what any kernel is built for

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "512K", "32M", "1024" to bytes.
std::uint64_t to_bytes(const std::string& text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr == text.data() + text.size()) return value;
  return *parsed.ptr == 'K' ? value << 10 : *parsed.ptr == 'M' ? value << 20 : value;
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& list) {
  std::vector<int> cpus;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    int first = 0;
    const char* end = part.data() + part.size();
    const auto begin = std::from_chars(part.data(), end, first);
    if (begin.ec != std::errc{}) continue;
    int last = first;
    if (begin.ptr != end && *begin.ptr == '-') std::from_chars(begin.ptr + 1, end, last);
    for (int cpu = first; cpu <= std::min(last, kMostCpus); ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<Cache> caches(int cpu, const fs::path& root) {
  std::vector<Cache> all;
  for (int i = 0;; ++i) {
    const fs::path folder =
        root / fmt::format("sys/devices/system/cpu/cpu{}/cache/index{}", cpu, i);
    const std::string level = read_line(folder / "level");
    if (level.empty()) break;
    Cache cache;
    std::from_chars(level.data(), level.data() + level.size(), cache.level);
    cache.type = lower_case(read_line(folder / "type"));
    cache.bytes = to_bytes(read_line(folder / "size"));
    cache.cpus = parse_cpu_list(read_line(folder / "shared_cpu_list"));
    all.push_back(std::move(cache));
  }
  return all;
}

std::optional<std::uint64_t> last_level_bytes(std::span<const int> cpus, const fs::path& root) {
  std::optional<std::uint64_t> bytes;
  std::set<int> counted;  // whose last cache is in the sum
  for (const int cpu : cpus) {
    if (counted.contains(cpu)) continue;
    std::vector<Cache> own = caches(cpu, root);
    std::erase_if(own, [](const Cache& c) { return c.type == "instruction" || c.bytes == 0; });
    const auto last = std::max_element(
        own.begin(), own.end(), [](const Cache& a, const Cache& b) { return a.level < b.level; });
    if (last == own.end()) continue;
    bytes = bytes.value_or(0) + last->bytes;
    counted.insert(last->cpus.begin(), last->cpus.end());
    counted.insert(cpu);
  }
  return bytes;
}

}  // namespace flashbench::machine
