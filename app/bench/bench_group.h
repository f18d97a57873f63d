#pragma once

#include <functional>
#include <optional>
#include <string>
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
  /// Why a case is given up whose first call took so many seconds; nullopt: it is not.
  std::function<std::optional<std::string>(const RoutedCase&, double)> gives_up;
};

/// One result per case of the group, in order.
struct GroupResults {
  std::vector<report::Result> results;
  double sampling_s = 0;  ///< of the time that the group took: warm-up and samples
};

/// Measures the cases of one group interleaved on the same inputs, reads the peaks of the machine
/// between the rounds, and verifies what the last timed launch of each case wrote. Cases that do
/// not fit into memory are skipped.
GroupResults bench_group(RoutedGroup& group, const BenchContext& context);

/// Marks the cases that bench_group() would skip because they do not fit into memory.
void skip_what_does_not_fit(RoutedGroup& group, const BenchRequest& request,
                            const report::Context& machine);

}  // namespace flashbench::app
