#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/case/peaks.h"
#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "measure/budget.h"
#include "measure/clock.h"
#include "report/record.h"

namespace flashbench::app {

/// Foretells how long the cases of a bench take at the least: from small versions of them, which it
/// runs, from the peaks, and from what cases have taken that are done.
class Foretold {
 public:
  Foretold(const BenchRequest& request, PeakLog& peaks, measure::Clock& clock)
      : request_(request), peaks_(peaks), clock_(clock) {}

  /// Of the cases of a group that run; nothing where none does. The first of a kind runs a small
  /// version of itself, some ten milliseconds.
  measure::Need need(const RoutedGroup& group);
  /// Of one of them, without what the group does once.
  measure::Need need(const RoutedCase& c);

  /// Learns what a call of a case took.
  void learn(const RoutedCase& c, double call_s);
  /// Learns from a group that is done: `fixed_s`, what it took besides sampling.
  void learn(const RoutedGroup& group, const std::vector<report::Result>& results, double fixed_s);

 private:
  /// What a small version of a case told.
  struct Pilot {
    double flop = 0, call_s = 0;
    double least_s = 0;  ///< of any call
    double bytes_s = 0;  ///< of the memory; 0 where unknown
    double taught = 1;   ///< seconds of a real call over what had been foretold
  };
  Pilot& pilot(const RoutedCase& c);
  void run_small_versions(const RoutedCase& c, Pilot& pilot);
  double call_s(const RoutedCase& c);

  const BenchRequest& request_;
  PeakLog& peaks_;
  measure::Clock& clock_;
  std::map<std::string, Pilot> pilots_;  ///< by what decides the speed of a call
  double fixed_taught_ = 1;
};

}  // namespace flashbench::app
