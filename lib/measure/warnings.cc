#include "measure/warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "measure/statistics.h"
#include "system/digits.h"

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;

// Each threshold is where a reader would act on the warning, not where a test of significance
// fires.
constexpr double kSlowFirstRun = 3;  // times the median
constexpr double kSlowFirstRunLeast_s = 0.05;
constexpr double kOutlierDeviations = 10;  // robust standard deviations from the median
constexpr double kOutlierLeast = 0.05;     // and at least this share of it
constexpr double kOthersShare = 0.05;      // of the processors
constexpr double kStealShare = 0.01;
constexpr double kSlowClock = 0.75;        // of the highest
constexpr double kClockDrop = 0.9;         // of what it was before
constexpr double kHeldDown = 0.98;         // of a device's highest: below, medians show it
constexpr double kShortestWindow_s = 0.2;  // /proc/stat counts in ticks of 10 ms
constexpr double kTicksPerSecond = 100;    // USER_HZ, fixed in Linux's interface

std::optional<double> read_number(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

void add(std::optional<double>& sum, std::optional<double> value) {
  if (value) sum = sum.value_or(0) + *value;
}

struct ProcessorTime {
  double busy_s, steal_s;
};

/// Of each of these processors, in the system's order.
std::vector<ProcessorTime> read_proc_stat(std::span<const int> cpus, const fs::path& root) {
  std::vector<ProcessorTime> all;
  std::ifstream file(root / "proc/stat");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    const bool counts = std::any_of(cpus.begin(), cpus.end(),
                                    [&](int cpu) { return name == fmt::format("cpu{}", cpu); });
    double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    if (!counts || !(words >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal))
      continue;
    all.push_back(
        {(user + nice + system + irq + softirq) / kTicksPerSecond, steal / kTicksPerSecond});
  }
  return all;
}

void read_clocks(Snapshot& s, std::span<const int> cpus, const fs::path& root) {
  std::optional<double> sum_khz, max_khz, throttles;
  for (const int cpu : cpus) {
    const fs::path folder = root / fmt::format("sys/devices/system/cpu/cpu{}", cpu);
    add(sum_khz, read_number(folder / "cpufreq/scaling_cur_freq"));
    add(max_khz, read_number(folder / "cpufreq/cpuinfo_max_freq"));
    add(throttles, read_number(folder / "thermal_throttle/core_throttle_count"));
  }
  const double n = static_cast<double>(std::max<std::size_t>(cpus.size(), 1));
  if (sum_khz) s.clock_hz = *sum_khz * 1e3 / n;
  if (max_khz) s.max_clock_hz = *max_khz * 1e3 / n;
  if (throttles) s.throttles = static_cast<std::int64_t>(*throttles);
}

std::optional<std::string> noisy(const Samples& s, const Statistics& stats, const Limits& limits) {
  if (s.stopped_by == StoppedBy::kNoise || stats.noise() <= limits.max_noise) return std::nullopt;
  if (stats.count < 2)
    return "noisy: one sample says nothing about its noise; raise --timeout so that more fit";
  std::string rest = static_cast<int>(stats.count) < limits.min_samples
                         ? "; raise --timeout so that more samples fit"
                         : "; stop other programs, or raise --timeout";
  if (s.stopped_by == StoppedBy::kNoiseStays)
    rest =
        ", and more samples have stopped narrowing that, so that sampling ended before --timeout; "
        "stop other programs and fix the clocks, or raise --max_noise";
  if (s.stopped_by == StoppedBy::kOutOfReach)
    rest = fmt::format(
        ", which would take {} times as many, so that sampling ended before --timeout; stop "
        "other programs and fix the clocks, or raise --max_noise or --timeout",
        digits(std::pow(stats.noise() / limits.max_noise, 2), 2));
  return fmt::format("noisy: the median of {} samples is known to +-{} % (asked: {} %){}",
                     stats.count, digits(100 * stats.noise(), 2), digits(100 * limits.max_noise, 2),
                     rest);
}

std::optional<std::string> disturbed(const Samples& samples, const Conditions& c) {
  const Undisturbed undisturbed = samples.undisturbed();
  if (undisturbed.marked == 0) return std::nullopt;
  const std::string what =
      fmt::format("{}: in {} of {} samples a thread of ours waited for a processor that was taken",
                  kDisturbed, undisturbed.marked, samples.times_s.size());
  if (undisturbed.enough)
    return what + ", which are left out; stop other programs if more samples matter";
  if (c.threads > c.usable_cpus)
    return fmt::format(
        "{}, by our own threads too: too few are left to conclude from; use --threads {}", what,
        c.usable_cpus);
  const std::string fewer =
      c.threads > 1 ? fmt::format(", or leave them one (--threads {})", c.threads - 1) : "";
  return fmt::format(
      "{}: too few are left to conclude from; stop other programs{}, or wait until the machine is "
      "quiet",
      what, fewer);
}

std::optional<std::string> slow_first_run(const Samples& s, const Statistics& stats) {
  if (s.first_run_s < kSlowFirstRun * stats.median || s.first_run_s < kSlowFirstRunLeast_s)
    return std::nullopt;
  return fmt::format(
      "slow first run: {} s, {:.1f}x the median; it is not among the samples: where it "
      "matters, touch buffers and make one call before the work that counts",
      digits(s.first_run_s, 3), s.first_run_s / stats.median);
}

/// "number 1, 2, 7, ...", counted from 1.
std::string positions(const std::vector<std::size_t>& which) {
  constexpr std::size_t kShown = 4;
  std::string text = "number";
  for (std::size_t i = 0; i < std::min(which.size(), kShown); ++i)
    text += fmt::format("{} {}", i == 0 ? "" : ",", which[i] + 1);
  return which.size() > kShown ? text + ", ..." : text;
}

/// Where outliers lie says what they come from.
std::string_view outlier_remedy(const std::vector<std::size_t>& which,
                                const std::vector<double>& times_s, const Statistics& stats) {
  const bool fast = std::all_of(which.begin(), which.end(),
                                [&](std::size_t i) { return times_s[i] < stats.median; });
  const bool at_start = which.back() < std::max<std::size_t>(times_s.size() / 10, 1);
  if (fast && at_start)
    return "fast at the start: a turbo that does not last; fix the clocks (cpupower frequency-set "
           "-g performance) or raise --min_time";
  if (at_start)
    return "slow at the start: memory touched first or clocks that still rise; raise --min_time";
  return "read the median, and stop other programs or pin this one (taskset) if the mean matters";
}

std::optional<std::string> outliers(const Samples& s, const Statistics& stats) {
  const double robust_deviation = 1.4826 * stats.mad;
  const double tolerance =
      std::max(kOutlierDeviations * robust_deviation, kOutlierLeast * stats.median);
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < s.times_s.size(); ++i)
    if (!(i < s.lost.size() && is_disturbed(s.lost[i])) &&
        std::abs(s.times_s[i] - stats.median) > tolerance)
      which.push_back(i);
  if (which.empty()) return std::nullopt;
  return fmt::format(
      "outliers: {} of {} samples ({}; the slowest {}x the median), which stay in the "
      "statistics; {}",
      which.size(), stats.count, positions(which), digits(stats.max / stats.median, 2),
      outlier_remedy(which, s.times_s, stats));
}

std::optional<std::string> too_many_threads(const Conditions& c) {
  if (c.threads <= c.usable_cpus) return std::nullopt;
  return fmt::format("threads take turns: {} on {} usable processor{}; use --threads {}", c.threads,
                     c.usable_cpus, c.usable_cpus == 1 ? "" : "s", c.usable_cpus);
}

/// What others took of the processors in between, in seconds of processor time; absent where the
/// system does not tell.
struct Taken {
  double wall_s = 0;
  std::optional<double> busy_s, steal_s;
};

std::optional<Taken> taken_by_others(const Conditions& c) {
  Taken taken{c.after.wall_s - c.before.wall_s, {}, {}};
  if (taken.wall_s < kShortestWindow_s || c.before.cpus == 0) return std::nullopt;
  if (c.before.busy_s && c.after.busy_s)
    taken.busy_s = *c.after.busy_s - *c.before.busy_s - (c.after.own_cpu_s - c.before.own_cpu_s);
  if (c.before.steal_s && c.after.steal_s) taken.steal_s = *c.after.steal_s - *c.before.steal_s;
  return taken;
}

/// What helps where the others cannot be stopped. A thread that spins at a barrier, while the one
/// that it waits for has no processor, holds one that the other could run on.
std::string load_remedy(const Conditions& c) {
  std::string text = "stop them or use processors of your own (taskset, cpuset)";
  if (c.threads == 1) return text;
  text += "; else --threads 1";
  return c.waiting == Waiting::kSpins ? text + ", or waiting asleep (OMP_WAIT_POLICY=passive)"
                                      : text;
}

std::optional<std::string> load_from_others(const Conditions& c) {
  const std::optional<Taken> taken = taken_by_others(c);
  if (!taken) return std::nullopt;
  const double capacity_s = taken->wall_s * c.before.cpus;
  if (const double share = taken->busy_s.value_or(0) / capacity_s; share > kOthersShare)
    return fmt::format("{}: {:.0f} % of the {} processors while sampling; {}", kLoadFromOthers,
                       100 * share, c.before.cpus, load_remedy(c));
  if (const double share = taken->steal_s.value_or(0) / capacity_s; share > kStealShare)
    return fmt::format(
        "{}: the hypervisor took {:.0f} % of the processors while sampling; use a dedicated "
        "machine",
        kLoadFromOthers, 100 * share);
  return std::nullopt;
}

std::optional<std::string> throttled(const Conditions& c) {
  if (c.before.throttles && c.after.throttles && *c.after.throttles > *c.before.throttles)
    return fmt::format(
        "throttled: {} thermal events while sampling; let the machine cool, or use "
        "fewer --threads",
        *c.after.throttles - *c.before.throttles);
  if (!c.after.clock_hz) return std::nullopt;
  const double now = *c.after.clock_hz;
  // Idle processors clock down by themselves: only a full machine says something.
  const bool slow =
      c.threads >= c.after.cpus && c.after.max_clock_hz && now < kSlowClock * *c.after.max_clock_hz;
  const bool fell = c.before.clock_hz && now < kClockDrop * *c.before.clock_hz;
  if (!slow && !fell) return std::nullopt;
  const double reference = fell ? *c.before.clock_hz : *c.after.max_clock_hz;
  return fmt::format(
      "throttled: clocks at {:.2f} GHz {} {:.2f} GHz; let the machine cool, or fix "
      "them (cpupower frequency-set -g performance)",
      now * 1e-9, fell ? "fell from" : "of", reference * 1e-9);
}

std::string device_remedy(const std::string& reason) {
  if (reason.find("temperature") != std::string::npos)
    return "let it cool or improve its cooling, and fix clocks that it sustains (nvidia-smi -lgc)";
  return "fix clocks that it sustains (nvidia-smi -lgc), or raise the limit (nvidia-smi -pl), and "
         "compare with runs under the same one only";
}

std::optional<std::string> device_throttled(const Conditions& c) {
  std::map<std::string, int> readings;  // by reason
  std::vector<double> clocks_hz;
  for (const DeviceReading& r : c.device) {
    for (const std::string& reason : r.throttle_reasons) ++readings[reason];
    if (r.sm_clock_hz) clocks_hz.push_back(*r.sm_clock_hz);
  }
  std::string clocks;
  bool fell = false;
  if (!clocks_hz.empty()) {
    const auto [low, high] = std::minmax_element(clocks_hz.begin(), clocks_hz.end());
    fell = *low < kClockDrop * clocks_hz.front();
    clocks = fmt::format("SM clock {:.2f} to {:.2f} GHz", *low * 1e-9, *high * 1e-9);
    const double most_hz = std::max(*high, c.device.front().max_sm_clock_hz.value_or(0));
    if (*low > kHeldDown * most_hz) return std::nullopt;  // a limit that was hardly felt
  }
  if (readings.empty() && !fell) return std::nullopt;
  if (readings.empty())
    return fmt::format(
        "throttled: the GPU's clocks fell while sampling, {}; fix them (nvidia-smi "
        "-lgc)",
        clocks);
  const auto most = std::max_element(readings.begin(), readings.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return fmt::format("throttled: the GPU's {} held its clocks down in {} of {} readings{}; {}",
                     most->first, most->second, c.device.size(),
                     clocks.empty() ? "" : ", " + clocks, device_remedy(most->first));
}

}  // namespace

std::vector<double> stolen_s(std::span<const int> cpus, const fs::path& root) {
  std::vector<double> all;
  for (const ProcessorTime& time : read_proc_stat(cpus, root)) all.push_back(time.steal_s);
  return all;
}

std::optional<double> others_cpus(const Conditions& conditions) {
  const std::optional<Taken> taken = taken_by_others(conditions);
  if (!taken || (!taken->busy_s && !taken->steal_s)) return std::nullopt;
  return std::max(0.0, taken->busy_s.value_or(0) + taken->steal_s.value_or(0)) / taken->wall_s;
}

Snapshot take_snapshot(Clock& clock, std::span<const int> cpus, const fs::path& root) {
  Snapshot s;
  s.wall_s = clock.now_s();
  s.cpus = static_cast<int>(cpus.size());
  const CpuTime own = clock.cpu_time();
  s.own_cpu_s = own.user_s + own.system_s;
  for (const ProcessorTime& time : read_proc_stat(cpus, root)) {
    add(s.busy_s, time.busy_s);
    add(s.steal_s, time.steal_s);
  }
  read_clocks(s, cpus, root);
  return s;
}

std::vector<std::string> warnings(const Samples& samples, const Limits& limits,
                                  const Conditions& conditions) {
  std::vector<std::string> all;
  const auto add_warning = [&](std::optional<std::string> text) {
    if (text) all.push_back(std::move(*text));
  };
  add_warning(too_many_threads(conditions));
  if (!samples.times_s.empty()) {
    const Undisturbed undisturbed = samples.undisturbed();
    const Statistics stats = summarize(undisturbed.times_s);
    add_warning(disturbed(samples, conditions));
    if (undisturbed.enough) {
      add_warning(noisy(samples, stats, limits));
      add_warning(outliers(samples, stats));
    }
    add_warning(slow_first_run(samples, stats));
  }
  add_warning(load_from_others(conditions));
  add_warning(throttled(conditions));
  add_warning(device_throttled(conditions));
  return all;
}

}  // namespace flashbench::measure
