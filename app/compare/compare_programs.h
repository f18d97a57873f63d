#pragma once

#include "app/command_line/request.h"
#include "compare/comparison.h"
#include "measure/clock.h"

namespace flashbench::app {

/// Runs both programs in turn, in rounds of one fresh process each, after a few rounds of the old
/// one against itself. Looks at the verdicts a fixed number of times and stops when none is
/// AMBIGUOUS, after the last look, when the time is over, or when interrupted (with the rounds that
/// are complete; Interrupted where there is none).
compare::Comparison compare_programs(const CompareRequest& request, const compare::Rule& rule,
                                     measure::Clock& clock);

}  // namespace flashbench::app
