#include "kernel/profile.h"

#include <algorithm>
#include <utility>

namespace flashbench {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

/// Of rows and of shares.
void add_numbers(auto& to, const auto& more) {
  to.seconds += more.seconds;
  to.calls += more.calls;
  to.cost += more.cost;
}

}  // namespace

void PhaseProfile::Row::add(const Row& more) {
  add_numbers(*this, more);
  threads.resize(std::max(threads.size(), more.threads.size()));
  for (std::size_t t = 0; t < more.threads.size(); ++t) add_numbers(threads[t], more.threads[t]);
  for (const auto& [name, count] : more.counts) {
    const auto known =
        std::find_if(counts.begin(), counts.end(),
                     [&name = name](const auto& counted) { return counted.first == name; });
    if (known != counts.end())
      known->second += count;
    else
      counts.emplace_back(name, count);
  }
}

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
    for (std::size_t p = 0; p < phases_.size(); ++p)
      add_numbers(slots_[t].cells[p], more.slots_[t].cells[p]);
    for (const EventLog::Event& event : more.slots_[t].log.events()) slots_[t].log.add(event);
  }
}

std::vector<PhaseProfile::Row> PhaseProfile::rows() const {
  std::vector<Row> out;
  for (std::size_t p = 0; p < phases_.size(); ++p) {
    Row row{phases_[p], 0, 0, bytes_[p]};
    for (const Slot& s : slots_) {
      add_numbers(row, s.cells[p]);
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
