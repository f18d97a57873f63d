#pragma once

#include <string>

namespace flashbench::measure {

/// Waits until no thread of a process runs or waits for a processor, but the one that asks: the
/// threads of an OpenMP team spin for some milliseconds after their work. `threads_folder`: as
/// "/proc/self/task". False once `patience_s` is over; true at once where the system does not tell.
bool wait_until_idle(const std::string& threads_folder, double patience_s = 0.2);

/// Seconds that the threads that there are have been on a processor; 0 where nobody tells.
double ran_s(const std::string& threads_folder);

}  // namespace flashbench::measure
