#include "measure/clock.h"

#include <sys/resource.h>

#include <chrono>

namespace flashbench::measure {

double SteadyClock::now_s() {
  const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
  return now.count();
}

CpuTime SteadyClock::cpu_time() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return {seconds(used.ru_utime), seconds(used.ru_stime)};
}

}  // namespace flashbench::measure
