#include "system/places.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "system/cpu_set.h"
#include "system/machine.h"

// With OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY, OpenMP has bound the main thread to the
// first place before main() begins, so that its mask no longer says what the process may use.
namespace flashbench::machine {
namespace {

using Place = std::vector<int>;

/// In the order in which OpenMP deals them out, beginning with that of this thread; empty where it
/// does not bind threads.
std::vector<Place> places() {
  if (omp_get_proc_bind() == omp_proc_bind_false) return {};
  const int count = omp_get_num_places();
  const int first = std::max(omp_get_place_num(), 0);
  std::vector<Place> all;
  for (int i = 0; i < count; ++i) {
    const int at = (first + i) % count;
    Place place(static_cast<std::size_t>(omp_get_place_num_procs(at)));
    omp_get_place_proc_ids(at, place.data());
    all.push_back(std::move(place));
  }
  // The threads of a team all stay with the first one.
  if (!all.empty() && omp_get_proc_bind() == omp_proc_bind_master) all.resize(1);
  return all;
}

/// Those of `cpus` that the system lets a thread of this process run on, which only it can say:
/// names may be of processors that are not there, and a mask may leave out what cpusets allow.
std::vector<int> runnable(const std::vector<int>& cpus) {
  const CpuSet before = CpuSet::of_this_thread();
  if (!CpuSet(cpus).apply()) return {};
  std::vector<int> left = CpuSet::of_this_thread().cpus();
  before.apply();
  return left;
}

}  // namespace

std::vector<int> affinity() {
  std::vector<int> cpus;
  for (const Place& place : places()) cpus.insert(cpus.end(), place.begin(), place.end());
  if (!cpus.empty()) cpus = runnable(cpus);
  return cpus.empty() ? CpuSet::of_this_thread().cpus() : cpus;
}

int affinity_cpus() { return std::max(static_cast<int>(affinity().size()), 1); }

std::optional<int> unusable_processor(int threads) {
  const std::vector<Place> all = places();
  const auto team = static_cast<std::size_t>(std::max(threads, 1));
  // Threads go to one place after the other, but for `spread`, which leaves some out.
  const bool spread = omp_get_proc_bind() == omp_proc_bind_spread;
  const std::size_t reached = spread ? all.size() : std::min(team, all.size());
  for (std::size_t i = 0; i < reached && team > 1; ++i)
    if (!all[i].empty() && runnable(all[i]).empty()) return all[i].front();
  return std::nullopt;
}

}  // namespace flashbench::machine
