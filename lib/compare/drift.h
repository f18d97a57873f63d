#pragma once

#include <string>
#include <vector>

#include "compare/evidence.h"
#include "compare/match.h"

namespace flashbench::compare {

/// What two reports, taken one after the other, show of the machine that changed between them.
struct Drift {
  Shift shift;
  std::vector<std::string> reasons;  ///< what shows it, where it amounts to a percent
};

/// Three witnesses, each absent where a report lacks what it needs:
/// - the peaks, which were read between the samples of both: whether a change of them hits a kernel
///   as it hits the probe is unknown, so that the ratio as it is and the ratio of shares of the
///   peak both stay possible;
/// - a warning of load from others: n processors that they kept busy may all have been one that the
///   rest waited for, so that a time may be too long by 1 / (1 - n), and by anything from n = 1 on;
/// - a calibration: the same program took these times and those, so that what its spread does not
///   explain is the machine's.
Drift drift_between(const Pair& pair);

}  // namespace flashbench::compare
