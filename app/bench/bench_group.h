#pragma once

#include <vector>

#include "app/case/peaks.h"
#include "app/case/routing.h"
#include "app/case/trace.h"
#include "app/command_line/request.h"
#include "app/terminal/progress.h"
#include "measure/clock.h"
#include "measure/limits.h"
#include "report/record.h"

namespace flashbench::app {

/// What the groups of one bench share.
struct BenchContext {
  const BenchRequest& request;
  const report::Context& machine;
  measure::Clock& clock;
  PeakLog& peaks;
  ProgressLine& progress;
  TraceFile& trace;
  measure::Limits limits;  ///< of this group
  int done;                ///< cases before this group
};

/// Measures the cases of one group interleaved on the same inputs, reads the peaks of the machine
/// between the rounds, and verifies what the last timed launch of each case wrote. One result per
/// case, in order; cases that do not fit into memory are skipped.
std::vector<report::Result> bench_group(RoutedGroup& group, const BenchContext& context);

}  // namespace flashbench::app
