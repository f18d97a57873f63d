#pragma once

#include <string>

/// The teams of threads that OpenMP grants this process, whatever was asked of it.
namespace flashbench::team {

/// The most threads that can be asked for.
inline constexpr int kMostThreads = 4096;

/// Threads of a team where no flag says otherwise: the first number of OMP_NUM_THREADS, else the
/// processors that this process may use. Throws UsageError where OMP_NUM_THREADS is no list of
/// numbers from 1 to kMostThreads.
int default_threads();

/// As many of `threads` as OMP_THREAD_LIMIT and OMP_MAX_ACTIVE_LEVELS leave. Starts none.
int limited(int threads);

/// What of the two takes threads away from a team of `threads`: "OMP_THREAD_LIMIT is 1"; "" where
/// neither does.
std::string limit_text(int threads);

/// The threads of a team for which `threads` were asked, counted in one: all later teams are as
/// large, since OMP_DYNAMIC is switched off. A team of one starts no thread. Throws
/// UnavailableError, and leaves no thread behind, where the system does not start them.
int granted(int threads);

/// From here on a team for which no number is asked has as many threads.
void set_default(int threads);

}  // namespace flashbench::team
