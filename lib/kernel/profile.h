#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flashbench {

/// Time and memory by phase of one launch: each thread adds to its own row, so nothing is shared.
class PhaseProfile {
 public:
  struct Row {
    std::string phase;
    double seconds = 0;       ///< summed over threads
    std::uint64_t calls = 0;  ///< summed over threads
    std::size_t bytes = 0;    ///< allocated for this phase
  };

  PhaseProfile(std::vector<std::string> phases, int threads)
      : phases_(std::move(phases)),
        bytes_(phases_.size()),
        slots_(static_cast<std::size_t>(threads)) {
    for (Slot& s : slots_) s.cells.resize(phases_.size());
  }

  void add(int thread, std::size_t phase, double seconds) {
    Cell& cell = slots_[static_cast<std::size_t>(thread)].cells[phase];
    cell.seconds += seconds;
    ++cell.calls;
  }
  void add_bytes(std::size_t phase, std::size_t bytes) { bytes_[phase] += bytes; }

  std::vector<Row> rows() const {
    std::vector<Row> out;
    for (std::size_t p = 0; p < phases_.size(); ++p) {
      Row row{phases_[p], 0, 0, bytes_[p]};
      for (const Slot& s : slots_) {
        row.seconds += s.cells[p].seconds;
        row.calls += s.cells[p].calls;
      }
      out.push_back(std::move(row));
    }
    return out;
  }

 private:
  struct Cell {
    double seconds = 0;
    std::uint64_t calls = 0;
  };
  struct alignas(128) Slot {  // a pair of cache lines per thread: no false sharing
    std::vector<Cell> cells;
  };
  std::vector<std::string> phases_;
  std::vector<std::size_t> bytes_;
  std::vector<Slot> slots_;
};

/// Adds its own lifetime to a phase; costs one branch when there is no profile.
class PhaseTimer {
 public:
  PhaseTimer(PhaseProfile* profile, int thread, std::size_t phase)
      : profile_(profile), thread_(thread), phase_(phase) {
    if (profile_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() {
    if (profile_ == nullptr) return;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    profile_->add(thread_, phase_, elapsed.count());
  }

 private:
  PhaseProfile* profile_;
  int thread_;
  std::size_t phase_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace flashbench
