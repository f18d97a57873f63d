#include "system/cpu_set.h"

#include <algorithm>
#include <new>
#include <utility>

namespace flashbench::machine {
namespace {

constexpr int kMostCpus = 1 << 20;

}  // namespace

CpuSet::CpuSet(int most_cpus)
    : most_cpus_(most_cpus),
      bytes_(CPU_ALLOC_SIZE(static_cast<std::size_t>(most_cpus))),
      set_(CPU_ALLOC(static_cast<std::size_t>(most_cpus))) {
  if (set_ == nullptr) throw std::bad_alloc();
  CPU_ZERO_S(bytes_, set_);
}

CpuSet::CpuSet(std::span<const int> cpus)
    : CpuSet(cpus.empty()
                 ? CPU_SETSIZE
                 : std::max(CPU_SETSIZE, *std::max_element(cpus.begin(), cpus.end()) + 1)) {
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes_, set_);
}

CpuSet::CpuSet(CpuSet&& other) noexcept
    : most_cpus_(other.most_cpus_),
      bytes_(other.bytes_),
      set_(std::exchange(other.set_, nullptr)) {}

CpuSet::~CpuSet() {
  if (set_ != nullptr) CPU_FREE(set_);
}

CpuSet CpuSet::of_this_thread() {
  // The kernel refuses a set smaller than its own: grow until it fits.
  for (int bits = CPU_SETSIZE; bits <= kMostCpus; bits *= 2) {
    CpuSet all(bits);
    if (sched_getaffinity(0, all.bytes_, all.set_) == 0) return all;
  }
  return CpuSet(CPU_SETSIZE);
}

std::vector<int> CpuSet::cpus() const {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < most_cpus_; ++cpu)
    if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes_, set_)) cpus.push_back(cpu);
  return cpus;
}

bool CpuSet::apply() const { return sched_setaffinity(0, bytes_, set_) == 0; }

}  // namespace flashbench::machine
