#pragma once

#include <sched.h>

#include <cstddef>
#include <span>
#include <vector>

namespace flashbench::machine {

/// A mask of processors as large as the machine needs.
class CpuSet {
 public:
  /// Those that the calling thread may run on now; empty where the system does not say.
  static CpuSet of_this_thread();
  explicit CpuSet(std::span<const int> cpus);
  CpuSet(CpuSet&& other) noexcept;
  CpuSet& operator=(const CpuSet&) = delete;
  ~CpuSet();

  /// The processors in it, ascending.
  std::vector<int> cpus() const;
  /// Lets the calling thread run on those of them that there are; false where there are none.
  /// Async-signal-safe.
  bool apply() const;

 private:
  explicit CpuSet(int most_cpus);

  int most_cpus_;
  std::size_t bytes_;
  cpu_set_t* set_;
};

}  // namespace flashbench::machine
