#pragma once

#include "app/command_line/request.h"
#include "report/record.h"

namespace flashbench::app {

/// Fresh processes. Fewer make the factor that Student's t costs large (2.6 at 5 runs, 2.2 at 11);
/// each costs a run.
inline constexpr int kCalibrationRuns = 6;

/// Times the cases of `report` again, briefly, in a few fresh processes of this program one after
/// the other, and stores in each result what the runs differ by. Where a process fails, a warning
/// of the results says so and nothing is stored; an interruption ends it early, with nothing
/// stored.
void calibrate(report::Report& report, const BenchRequest& request);

}  // namespace flashbench::app
