#include "measure/lost_time.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
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

ThreadTimes ThreadTimeReader::read() {
  ThreadTimes times;
  times.reader = ::gettid();
  timespec ran{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
  times.reader_ran_s = static_cast<double>(ran.tv_sec) + 1e-9 * static_cast<double>(ran.tv_nsec);
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
  return times;
}

std::optional<double> lost_s(const ThreadTimes& before, const ThreadTimes& after, double wall_s) {
  const auto reader = after.threads.find(after.reader);
  // It runs, and a kernel that counts has counted that.
  if (reader == after.threads.end() || reader->second.runs == 0) return std::nullopt;
  double lost = 0;
  for (const auto& [thread, now] : after.threads) {
    const auto known = before.threads.find(thread);
    const ThreadTime then = known == before.threads.end() ? ThreadTime{} : known->second;
    lost = std::max(lost, now.waited_s - then.waited_s);
    if (thread == after.reader && thread == before.reader && now.runs == then.runs)
      lost = std::max(lost, wall_s - (after.reader_ran_s - before.reader_ran_s));
  }
  return lost;
}

std::optional<double> lost_share(Clock& clock, const std::function<ThreadTimes()>& read,
                                 const std::function<double()>& work) {
  const double began_s = clock.now_s();
  const ThreadTimes before = read();
  const double read_s = clock.now_s();
  const double took_s = work();
  const double worked_s = clock.now_s();
  const std::optional<double> lost = lost_s(before, read(), took_s);
  const double longer_s = std::abs((clock.now_s() - worked_s) - (read_s - began_s));
  if (!lost) return std::nullopt;
  return took_s > 0 ? std::clamp((*lost - longer_s) / took_s, 0.0, 1.0) : 0;
}

}  // namespace flashbench::measure
