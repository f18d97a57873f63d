#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>

#include "measure/clock.h"

namespace flashbench::measure {

/// What the scheduler says of one thread so far.
struct ThreadTime {
  double waited_s = 0;    ///< ready to run, and without a processor
  std::int64_t runs = 0;  ///< how often it was put on one
};

/// Of every thread of this process, by its number; empty where the system does not tell.
struct ThreadTimes {
  std::map<std::int64_t, ThreadTime> threads;
  std::int64_t reader = 0;  ///< the one that asked: it runs
  double reader_ran_s = 0;  ///< it, on a processor; without what a hypervisor took, if that tells
};

/// Reads /proc/self/task/*/schedstat, about a microsecond a thread; keeps the files open. Says
/// nothing where one of them cannot be opened.
class ThreadTimeReader {
 public:
  explicit ThreadTimeReader(std::filesystem::path tasks = "/proc/self/task");
  ~ThreadTimeReader();
  ThreadTimeReader(const ThreadTimeReader&) = delete;
  ThreadTimeReader& operator=(const ThreadTimeReader&) = delete;

  ThreadTimes read();

 private:
  /// Whether every thread there is has a file.
  bool open_new_threads();

  std::filesystem::path tasks_;
  std::map<std::int64_t, int> files_;  ///< descriptors by thread
};

/// The longest that a thread of this process was kept from running between two readings `wall_s`
/// apart. One that was ready waited for a processor that others had. The reader itself, which runs
/// at both ends, lacks what a hypervisor took, too, unless it slept in between. Threads that came
/// meanwhile count from 0; absent where the system does not tell, as a kernel without these
/// counters.
std::optional<double> lost_s(const ThreadTimes& before, const ThreadTimes& after, double wall_s);

/// Which share of the seconds that `work` says it took a thread lost to others; absent where the
/// system does not tell. A thread that has to leave its processor often does so as it returns from
/// a system call, as the readings are: what one of them took longer than the other is not lost to
/// the work.
std::optional<double> lost_share(Clock& clock, const std::function<ThreadTimes()>& read,
                                 const std::function<double()>& work);

}  // namespace flashbench::measure
