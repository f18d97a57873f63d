#include "kernel/profile.h"

#include <algorithm>
#include <utility>

namespace flashbench {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

PhaseProfile::PhaseProfile(std::vector<std::string> phases, int threads, std::size_t events)
    : phases_(std::move(phases)),
      bytes_(phases_.size()),
      slots_(static_cast<std::size_t>(threads)) {
  for (Slot& s : slots_) {
    s.cells.resize(phases_.size());
    s.log = EventLog(events);
  }
}

void PhaseProfile::add(int thread, std::size_t phase, TimePoint start, TimePoint end,
                       const PhaseCost& cost) {
  Slot& slot = slots_[static_cast<std::size_t>(thread)];
  slot.cells[phase].seconds += seconds(end - start);
  ++slot.cells[phase].calls;
  slot.cells[phase].cost += cost;
  slot.log.add(seconds(start.time_since_epoch()), seconds(end.time_since_epoch()),
               static_cast<std::uint32_t>(phase));
}

void PhaseProfile::add(const PhaseProfile& more) {
  for (std::size_t t = 0; t < slots_.size(); ++t) {
    for (std::size_t p = 0; p < phases_.size(); ++p) {
      slots_[t].cells[p].seconds += more.slots_[t].cells[p].seconds;
      slots_[t].cells[p].calls += more.slots_[t].cells[p].calls;
      slots_[t].cells[p].cost += more.slots_[t].cells[p].cost;
    }
    for (const EventLog::Event& event : more.slots_[t].log.events()) slots_[t].log.add(event);
  }
}

std::vector<PhaseProfile::Row> PhaseProfile::rows() const {
  std::vector<Row> out;
  for (std::size_t p = 0; p < phases_.size(); ++p) {
    Row row{phases_[p], 0, 0, bytes_[p]};
    for (const Slot& s : slots_) {
      row.seconds += s.cells[p].seconds;
      row.calls += s.cells[p].calls;
      row.cost += s.cells[p].cost;
      row.threads.push_back(s.cells[p]);
    }
    out.push_back(std::move(row));
  }
  return out;
}

double phase_timer_cost_s() {
  constexpr int kCalls = 2000;
  constexpr int kRounds = 5;
  PhaseProfile profile({"nothing"}, 1);
  double best_s = 1;
  for (int round = 0; round < kRounds; ++round) {  // the fastest: nothing came in between
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) const PhaseTimer timer(&profile, 0, 0);
    best_s = std::min(best_s, seconds(std::chrono::steady_clock::now() - start) / kCalls);
  }
  return best_s;
}

}  // namespace flashbench
