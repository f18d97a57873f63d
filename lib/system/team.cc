#include "system/team.h"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <latch>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "system/error.h"
#include "system/machine.h"
#include "system/places.h"
#include "system/quote.h"

namespace flashbench::team {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\r\f\v";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// The whole of `text` as a positive number.
std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

/// Of the outermost team; nullopt where the variable is unset or empty.
std::optional<int> threads_of_environment() {
  const char* variable = std::getenv("OMP_NUM_THREADS");
  std::string_view rest = trimmed(variable == nullptr ? "" : variable);
  if (rest.empty()) return std::nullopt;
  std::optional<int> outermost;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    const std::optional<std::uint64_t> number = to_number(trimmed(rest.substr(0, comma)));
    if (!number || *number > kMostThreads)
      throw UsageError(fmt::format(
          "OMP_NUM_THREADS must be a number of threads from 1 to {}, or a list of such, got {}",
          kMostThreads, quote(variable)));
    if (!outermost) outermost = static_cast<int>(*number);
    more = comma != std::string_view::npos;
    rest = more ? rest.substr(comma + 1) : "";
  }
  return outermost;
}

/// Bytes of OMP_STACKSIZE ("2M"; without a unit KiB), which the threads of a team have for a stack;
/// nullopt where the system decides.
std::optional<std::size_t> stack_bytes() {
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const char* variable = std::getenv(name);
    std::string_view text = trimmed(variable == nullptr ? "" : variable);
    if (text.empty()) continue;
    constexpr std::string_view kUnits = "bkmgBKMG";
    const std::size_t unit = kUnits.find(text.back());
    if (unit != std::string_view::npos) text = trimmed(text.substr(0, text.size() - 1));
    const std::optional<std::uint64_t> number = to_number(text);
    const std::size_t shift = unit == std::string_view::npos ? 10 : 10 * (unit % 4);
    if (number && *number <= (~std::uint64_t{0} >> shift)) return *number << shift;
  }
  return std::nullopt;
}

/// Threads of this process; 0 where the system does not say.
std::ptrdiff_t running_threads() {
  std::error_code error;
  const std::filesystem::directory_iterator tasks("/proc/self/task", error);
  return error ? 0 : std::distance(begin(tasks), end(tasks));
}

/// A joined thread counts against the limits of its user until the system has cleared it away: the
/// next one to start would be one too many.
void wait_until_gone(std::ptrdiff_t threads_before) {
  constexpr auto kPatience = std::chrono::milliseconds(200);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (running_threads() > threads_before && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
}

struct Started {
  int threads = 0;  ///< that ran at the same time, this one included
  int error = 0;    ///< why there were no more; 0 when all were there
};

/// Starts the threads of a team and ends them again. Where OpenMP fails to start one, it ends the
/// program.
Started try_to_start(int threads) {
  const std::ptrdiff_t before = running_threads();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (const auto bytes = stack_bytes()) pthread_attr_setstacksize(&attributes, *bytes);
  std::latch over(1);
  const auto wait = [](void* latch) -> void* {
    static_cast<std::latch*>(latch)->wait();
    return nullptr;
  };
  std::vector<pthread_t> started;
  int error = 0;
  while (static_cast<int>(started.size()) + 1 < threads && error == 0) {
    pthread_t thread{};
    error = pthread_create(&thread, &attributes, wait, &over);
    if (error == 0) started.push_back(thread);
  }
  over.count_down();
  for (const pthread_t thread : started) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  wait_until_gone(before);
  return {static_cast<int>(started.size()) + 1, error};
}

void require_threads(int threads) {
  if (const auto processor = machine::unusable_processor(threads))
    throw UnavailableError(fmt::format(
        "OpenMP would bind one of {} threads to processor {}, on which this process cannot run; "
        "correct GOMP_CPU_AFFINITY or OMP_PLACES, or use --threads 1",
        threads, *processor));
  const Started started = try_to_start(threads);
  if (started.error != 0)
    throw UnavailableError(fmt::format(
        "the system starts {} of {} threads: {}; raise its limits (ulimit -u, ulimit -v, "
        "OMP_STACKSIZE, the control group's pids), or use --threads {}",
        started.threads, threads, std::strerror(started.error), started.threads));
}

int count_in_a_team(int threads) {
  int counted = 1;
#pragma omp parallel num_threads(threads)
#pragma omp single
  counted = omp_get_num_threads();
  return counted;
}

/// Read anew when that was a while ago: an affinity or a quota may change while the program runs.
/// A dozen files say it, and a suite asks once for each of its thousands of cases.
int usable_cpus_lately() {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kAWhile{20};
  static std::mutex mutex;
  static Clock::time_point read;
  static int cpus = 0;
  const std::lock_guard lock(mutex);
  if (const auto now = Clock::now(); cpus == 0 || now - read > kAWhile) {
    cpus = machine::usable_cpus();
    read = now;
  }
  return cpus;
}

}  // namespace

int default_threads() {
  const std::optional<int> asked = threads_of_environment();
  return asked ? *asked : usable_cpus_lately();
}

int limited(int threads) {
  if (omp_get_max_active_levels() < 1) return 1;
  return std::clamp(threads, 1, std::max(omp_get_thread_limit(), 1));
}

std::string limit_text(int threads) {
  if (limited(threads) >= threads) return "";
  if (omp_get_max_active_levels() < 1) return "OMP_MAX_ACTIVE_LEVELS is 0";
  return fmt::format("OMP_THREAD_LIMIT is {}", omp_get_thread_limit());
}

int granted(int threads) {
  static std::map<int, int> known;
  omp_set_dynamic(0);
  const int most = limited(threads);
  if (most == 1) return 1;
  const auto it = known.find(most);
  if (it != known.end()) return it->second;
  // Those of a larger team are there.
  if (known.empty() || known.rbegin()->first < most) require_threads(most);
  return known[most] = count_in_a_team(most);
}

void set_default(int threads) {
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
}

}  // namespace flashbench::team
