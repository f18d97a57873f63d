#include "kernel/event_log.h"

namespace flashbench {

void EventLog::add(const Event& next) {
  if (most_ == 0) return;
  if (events_.size() <= exact_) return events_.push_back(next);
  if (joins(events_.back(), next)) return join(events_.back(), next);
  if (events_.size() >= most_) halve();
  events_.push_back(next);
}

bool EventLog::joins(const Event& last, const Event& next) const {
  return last.calls + next.calls <= group_;
}

void EventLog::join(Event& into, const Event& next) {
  if (into.phase != next.phase) into.phase = kSeveral;
  into.end_s = next.end_s;
  into.calls += next.calls;
}

/// Twice as coarse from here on, and half as many of what was merged so far.
void EventLog::halve() {
  group_ *= 2;
  std::size_t kept = exact_;
  for (std::size_t i = exact_; i < events_.size(); ++i) {
    if (i > exact_ && joins(events_[kept - 1], events_[i]))
      join(events_[kept - 1], events_[i]);
    else
      events_[kept++] = events_[i];
  }
  events_.resize(kept);
}

}  // namespace flashbench
