#include "measure/lost_time.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <string_view>
#include <utility>

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

/// "ran waited runs", the first two in nanoseconds (Documentation/scheduler/sched-stats). The first
/// lags by up to a tick for a thread that runs.
std::optional<ThreadTime> parse(std::string_view text) {
  std::array<std::int64_t, 3> n{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::int64_t& x : n) {
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, x);
    if (error != std::errc{}) return std::nullopt;
    at = next;
  }
  return ThreadTime{1e-9 * static_cast<double>(n[1]), n[2]};
}

/// What only the calling thread can ask, with what it waited.
ReaderTime reader_time(std::int64_t thread, double waited_s) {
  timespec ran{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return {thread, waited_s,
          static_cast<double>(ran.tv_sec) + 1e-9 * static_cast<double>(ran.tv_nsec),
          usage.ru_nvcsw};
}

std::optional<ThreadTime> read_file(int file) {
  std::array<char, 128> text;
  const ssize_t size = ::pread(file, text.data(), text.size(), 0);
  if (size <= 0) return std::nullopt;  // the thread has ended
  return parse({text.data(), static_cast<std::size_t>(size)});
}

}  // namespace

ThreadTimeReader::ThreadTimeReader(fs::path tasks) : tasks_(std::move(tasks)) {}

ThreadTimeReader::~ThreadTimeReader() {
  for (const auto& [thread, file] : files_) ::close(file);
}

/// A folder has one link per folder in it, one per thread, and two of its own.
bool ThreadTimeReader::open_new_threads() {
  struct stat folder;
  if (::stat(tasks_.c_str(), &folder) != 0) return false;
  const auto threads = static_cast<std::size_t>(folder.st_nlink) - 2;
  if (files_.size() == threads) return true;
  std::error_code gone;
  for (const fs::directory_entry& entry : fs::directory_iterator(tasks_, gone)) {
    const std::optional<std::int64_t> thread = number_of(entry.path().filename().native());
    if (!thread || files_.contains(*thread)) continue;
    const int file = ::open((entry.path() / "schedstat").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    files_.emplace(*thread, file);
  }
  return true;
}

ReaderTime ThreadTimeReader::read_own() {
  const std::int64_t thread = ::gettid();
  const auto file = files_.find(thread);
  const std::optional<ThreadTime> time =
      file == files_.end() ? std::nullopt : read_file(file->second);
  return reader_time(thread, time ? time->waited_s : 0);
}

ThreadTimes ThreadTimeReader::read() {
  if (!open_new_threads()) return {};
  ThreadTimes times;
  times.first = read_own();
  bool ended = true;
  // In the place of a thread that ended another may have come.
  for (int attempt = 0; ended; ++attempt) {
    if (attempt == 3 || !open_new_threads()) return {};
    ended = false;
    for (auto at = files_.begin(); at != files_.end();) {
      const std::optional<ThreadTime> time = read_file(at->second);
      if (time) {
        times.threads.insert_or_assign(at->first, *time);
        ++at;
      } else {
        ended = true;
        ::close(at->second);
        at = files_.erase(at);
      }
    }
  }
  times.last = read_own();
  return times;
}

std::optional<double> lost_s(const ThreadTimes& before, const ThreadTimes& after, double wall_s) {
  const ReaderTime &from = before.last, &to = after.first;
  const auto reader = after.threads.find(to.thread);
  // It runs, and a kernel that counts has counted that.
  if (reader == after.threads.end() || reader->second.runs == 0) return std::nullopt;
  double lost = 0;
  for (const auto& [thread, now] : after.threads) {
    if (thread == from.thread && thread == to.thread) continue;
    const auto known = before.threads.find(thread);
    const ThreadTime then = known == before.threads.end() ? ThreadTime{} : known->second;
    lost = std::max(lost, now.waited_s - then.waited_s);
  }
  if (from.thread != to.thread) return lost;
  const bool slept = to.sleeps != from.sleeps;
  return std::max(lost, slept ? to.waited_s - from.waited_s : wall_s - (to.ran_s - from.ran_s));
}

std::optional<double> lost_share(const std::function<ThreadTimes()>& read,
                                 const std::function<double()>& work) {
  const ThreadTimes before = read();
  const double took_s = work();
  const std::optional<double> lost = lost_s(before, read(), took_s);
  if (!lost) return std::nullopt;
  return took_s > 0 ? std::clamp(*lost / took_s, 0.0, 1.0) : 0;
}

std::optional<double> lost_share_of_others(const std::function<ThreadTimes()>& read,
                                           const std::function<double()>& work) {
  const ThreadTimes before = read();
  const double took_s = work();
  const ThreadTimes after = read();
  if (before.threads.empty() || after.threads.empty()) return std::nullopt;
  double lost = 0;
  bool counts = false;  // a kernel without these counters says 0 of everything
  for (const auto& [thread, now] : after.threads) {
    const auto known = before.threads.find(thread);
    const ThreadTime then = known == before.threads.end() ? ThreadTime{} : known->second;
    lost = std::max(lost, now.waited_s - then.waited_s);
    counts = counts || now.runs > 0;
  }
  if (!counts) return std::nullopt;
  return took_s > 0 ? std::clamp(lost / took_s, 0.0, 1.0) : 0;
}

}  // namespace flashbench::measure
