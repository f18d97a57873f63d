#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace flashbench {

/// What one thread did and when, in a bounded number of events. The first half of them stand as
/// they happened; after that neighbours are merged, ever more of them, so that a long run stays
/// covered to its end.
class EventLog {
 public:
  /// The phase of an event that stands for several.
  static constexpr std::uint32_t kSeveral = UINT32_MAX;

  struct Event {
    double start_s = 0, end_s = 0;  ///< of the steady clock
    std::uint32_t phase = 0;
    std::uint32_t calls = 1;
  };

  /// `most`: how many events are kept at the most; 0: none, and add() does nothing.
  explicit EventLog(std::size_t most = 0) : exact_(most / 2), most_(most) {}

  /// Events come in the order of time.
  void add(double start_s, double end_s, std::uint32_t phase) { add({start_s, end_s, phase, 1}); }
  void add(const Event& next);

  const std::vector<Event>& events() const { return events_; }

 private:
  bool joins(const Event& last, const Event& next) const;
  static void join(Event& into, const Event& next);
  void halve();

  std::vector<Event> events_;
  std::size_t exact_, most_;
  std::uint32_t group_ = 2;  ///< calls that a merged event may hold
};

}  // namespace flashbench
