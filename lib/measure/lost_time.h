#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>

namespace flashbench::measure {

/// What the scheduler says of one thread so far.
struct ThreadTime {
  double waited_s = 0;    ///< ready to run, and without a processor
  std::int64_t runs = 0;  ///< how often it was put on one
};

/// Of the thread that asked, which runs.
struct ReaderTime {
  std::int64_t thread = 0;
  double waited_s = 0;
  double ran_s = 0;         ///< on a processor; without what a hypervisor took, if that tells
  std::int64_t sleeps = 0;  ///< how often it gave its processor up
};

/// Of every thread of this process; empty where the system does not tell.
struct ThreadTimes {
  std::map<std::int64_t, ThreadTime> threads;  ///< by number, the reader among them
  /// Before the others were read, and after: what it loses meanwhile it does not lose to the work
  /// that the reading precedes or follows.
  ReaderTime first, last;
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
  ReaderTime read_own();

  std::filesystem::path tasks_;
  std::map<std::int64_t, int> files_;  ///< descriptors by thread
};

/// The longest that a thread of this process was kept from running by others between two readings,
/// while work was done that the reader says took `wall_s`. The reader lost what it did not run,
/// whoever had its processor, unless it slept; any other thread, and a reader that slept, what it
/// waited for a processor. Threads that came meanwhile count from 0; absent where the system does
/// not tell, as a kernel without these counters.
std::optional<double> lost_s(const ThreadTimes& before, const ThreadTimes& after, double wall_s);

/// Which share of the seconds that `work` says it took a thread lost to others; absent where the
/// system does not tell.
std::optional<double> lost_share(const std::function<ThreadTimes()>& read,
                                 const std::function<double()>& work);

/// The same of another process, whose threads `read` reads and none of which is the reader.
std::optional<double> lost_share_of_others(const std::function<ThreadTimes()>& read,
                                           const std::function<double()>& work);

}  // namespace flashbench::measure
